"""Two folders are compared case by case; what is unlike, missing or failed is said, not hidden."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.compare import compare_folders, print_comparison
from benchmarks.records import primary_metric
from benchmarks.suites import SUITES
from flowrate.errors import ConfigError, DataError
from flowrate.records import append_json_lines

STEADY = (100.0, 100.5, 101.0)
SLOWER = (80.0, 80.5, 81.0)
FASTER = (120.0, 120.5, 121.0)
NOISY = (95.0, 100.0, 106.0)


def make_environment(**changes):
    row = {
        "kind": "environment",
        "schema_version": 1,
        "environment_id": "e1",
        "hostname": "one",
        "platform": "Linux",
        "python": "3.11.9",
        "cpu": {"model": "EPYC", "count": 2, "flags": ["avx2", "fma"]},
        "memory_bytes": 2**33,
        "versions": {"tensorflow": "2.21.0", "torch": None},
        "commit": "abc",
        "devices": [{"name": "CPU:0"}],
        "command": "python -m benchmarks.main run",
        "started_at": "2026-11-22T05:00:00+00:00",
    }
    return row | changes


def make_rows(values, metric="steps_per_second", **changes):
    """Returns a result row for each value; None stands for a repeat without the metric."""
    return [
        {
            "kind": "result",
            "schema_version": 1,
            "environment_id": "e1",
            "suite": "tutorials",
            "case": "mnist-cnn",
            "contender": "flowrate",
            "repeat": repeat,
            "seed": repeat,
            "status": "ok",
            "error": None,
            "labels": {"global_batch_size": 32, "jit": "on"},
            "command": "python -m trainer.main",
            "started_at": "2026-11-22T05:00:00+00:00",
            "wall_seconds": 1.0,
            "metrics": {} if value is None else {metric: value},
            "samples": {},
            "phases": {},
            "verdict": None,
            "health": {"noisy": False},
        }
        | changes
        for repeat, value in enumerate(values)
    ]


def fail(rows, *repeats, status="failed", error="killed by signal 9"):
    """Returns the rows with some repeats failed."""
    failed = {"status": status, "error": error, "metrics": {}}
    return [row | failed if row["repeat"] in repeats else row for row in rows]


@pytest.fixture
def compared(tmp_path):
    def compare(rows_a, rows_b, environment_a=(), environment_b=(), **arguments):
        folders = []
        for name, rows, environments in (
            ("a", rows_a, environment_a),
            ("b", rows_b, environment_b),
        ):
            folder = tmp_path / name
            folder.mkdir()
            environments = environments or [make_environment()]
            append_json_lines(folder / "records.jsonl", [*environments, *rows])
            folders.append(folder)
        return compare_folders(*folders, **arguments)

    return compare


def printed(comparison, width=160):
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False, markup=False, emoji=False)
    print_comparison(comparison, console)
    return text.getvalue()


@pytest.mark.parametrize(
    ("values", "answer", "exit_status"),
    [
        (STEADY, "same", 0),
        (FASTER, "faster", 0),
        (NOISY, "cannot tell", 0),
        (SLOWER, "slower", 1),
        ((80.0,), "cannot tell", 0),
    ],
)
def test_the_answer_and_the_exit_status(compared, values, answer, exit_status):
    comparison = compared(make_rows(STEADY), make_rows(values))
    [case] = comparison.cases
    assert case.difference.answer == answer
    assert case.reason == ""
    assert comparison.exit_status == exit_status
    assert (case.a.n, case.b.n) == (3, len(values))
    assert case.a.median == 100.5
    assert case.difference.ratio == pytest.approx(sum(values) / len(values) / 100.5, rel=1e-3)


@pytest.mark.parametrize("suite", SUITES.names())
def test_every_suite_is_judged_by_its_own_metric(compared, suite):
    metric = primary_metric(suite)
    rows = [make_rows(values, metric.name, suite=suite) for values in (STEADY, SLOWER)]
    comparison = compared(*rows)
    [case] = comparison.cases
    assert case.difference.answer == ("faster" if metric.is_lower_better else "slower")
    assert comparison.exit_status == (0 if metric.is_lower_better else 1)
    assert f"{suite}: {metric.name}" in printed(comparison)


def test_same_within_is_the_callers(compared):
    rows = make_rows(STEADY), make_rows([value * 1.03 for value in STEADY])
    comparison = compared(*rows, same_within=0.01)
    assert comparison.cases[0].difference.answer == "faster"
    wider = compare_folders(*comparison.folders, 0.05)
    assert wider.cases[0].difference.answer == "same"


@pytest.mark.parametrize("same_within", [-0.01, 1, 5])
def test_same_within_must_be_a_share(compared, same_within):
    with pytest.raises(ConfigError, match="from 0 to below 1"):
        compared(make_rows(STEADY), make_rows(STEADY), same_within=same_within)


def test_one_slower_case_is_enough_for_status_1(compared):
    unlike = make_rows(STEADY, case="other"), make_rows(STEADY, case="other", labels={})
    comparison = compared(
        make_rows(STEADY) + make_rows(STEADY, contender="keras_fit") + unlike[0],
        make_rows(FASTER) + make_rows(SLOWER, contender="keras_fit") + unlike[1],
    )
    assert [case.key[2] for case in comparison.cases] == ["flowrate", "keras_fit", "flowrate"]
    assert comparison.exit_status == 1


def test_unlike_cases_are_refused(compared):
    other = {"global_batch_size": 64, "jit": "on", "cache": None}
    comparison = compared(
        make_rows(STEADY) + make_rows(STEADY, case="alike"),
        make_rows(SLOWER, labels=other) + make_rows(STEADY, case="alike"),
    )
    unlike, alike = comparison.cases
    assert unlike.difference is None
    assert unlike.reason == "unlike: global_batch_size 32 / 64; cache absent / None"
    assert unlike.b.median == 80.5
    assert alike.difference.answer == "same"
    assert comparison.exit_status == 2
    assert "unlike: global_batch_size 32 / 64" in printed(comparison)


def test_repeats_that_are_unlike_each_other_are_refused(compared):
    rows = make_rows(STEADY) + make_rows(STEADY, case="alike")
    rows[1] = rows[1] | {"labels": {"global_batch_size": 16, "jit": "on"}}
    comparison = compared(rows, rows)
    assert comparison.cases[0].reason == "unlike: global_batch_size 16, 32 / 16, 32"
    assert comparison.exit_status == 2


def test_labels_may_be_flags(compared):
    labels = {"global_batch_size": 32, "jit": True}
    rows = make_rows(STEADY, labels=labels), make_rows(STEADY, labels=labels | {"jit": False})
    with pytest.raises(ConfigError, match="jit True / False"):
        compared(*rows)


def test_no_like_case_at_all_is_a_usage_error(compared):
    rows = make_rows(STEADY) + make_rows(STEADY, case="second")
    other = [row | {"labels": {"global_batch_size": 64, "jit": "on"}} for row in rows]
    with pytest.raises(ConfigError) as error:
        compared(rows, other)
    message = str(error.value)
    assert "tutorials mnist-cnn flowrate: unlike: global_batch_size 32 / 64 (and 1 more)" in message
    assert "same flags" in message
    assert "\n" not in message
    assert error.value.exit_code == 2


def test_no_case_in_common_is_a_usage_error(compared):
    with pytest.raises(ConfigError, match="only in A"):
        compared(make_rows(STEADY), make_rows(STEADY, suite="scaling"))


def test_folders_without_results_are_a_usage_error(compared):
    with pytest.raises(ConfigError, match=r"neither .* holds a result"):
        compared([], [])


def test_a_missing_folder_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match="not a folder"):
        compare_folders(tmp_path / "a", tmp_path / "b")


def test_a_damaged_row_is_named(compared):
    with pytest.raises(DataError, match="schema_version"):
        compared(make_rows(STEADY), make_rows(STEADY, schema_version=2))


def test_a_case_that_is_gone_is_status_2_and_a_new_one_is_not(compared):
    both, more = make_rows(STEADY), make_rows(STEADY, case="more")
    gone = compared(both + more, both)
    assert gone.cases[1].reason == "only in A"
    assert (gone.cases[1].a.n, gone.cases[1].b.n, gone.cases[1].b.median) == (3, 0, None)
    assert gone.exit_status == 2
    new = compare_folders(*reversed(gone.folders))
    assert new.cases[1].reason == "only in B"
    assert new.exit_status == 0
    assert "only in B" in printed(new)


def test_a_case_that_failed_is_status_2_only_if_it_was_measured_before(compared):
    both = make_rows(STEADY)
    fine = make_rows(STEADY, case="big")
    broken = fail(fine, 0, 1, 2, status="out_of_memory", error="batch of 4096")
    comparison = compared(both + fine, both + broken)
    assert comparison.cases[1].reason == "no result in B: out_of_memory"
    assert comparison.exit_status == 2
    assert comparison.not_ok[0] == (
        "B  tutorials big flowrate repeat 0  out_of_memory: batch of 4096"
    )
    assert len(comparison.not_ok) == 3
    text = printed(comparison)
    assert "no result in B: out_of_memory" in text
    assert all(line in text for line in comparison.not_ok)
    mended = compare_folders(comparison.folders[1], comparison.folders[0])
    assert mended.cases[1].reason == "no result in A: out_of_memory"
    assert mended.not_ok[0].startswith("A  tutorials big")
    assert mended.exit_status == 0
    assert compare_folders(comparison.folders[1], comparison.folders[1]).exit_status == 0


def test_some_failed_repeats_do_not_pass_unseen(compared):
    rows = make_rows((*STEADY, 100.2))
    comparison = compared(rows, fail(rows, 3))
    [case] = comparison.cases
    assert case.difference.answer == "same"
    assert (case.a.n, case.b.n) == (4, 3)
    assert comparison.exit_status == 2
    assert compare_folders(comparison.folders[1], comparison.folders[1]).exit_status == 0
    assert compare_folders(comparison.folders[1], comparison.folders[0]).exit_status == 0


def test_a_missed_target_is_not_left_out(compared):
    """The repeats that reached the target are not all that ran."""
    rows = make_rows(STEADY, "seconds_to_target", suite="accuracy")
    missed = make_rows((80.0, None, None), "seconds_to_target", suite="accuracy")
    speed = make_rows(STEADY)
    comparison = compared(rows + speed, missed + speed)
    assert comparison.cases[0].reason == "2 of 3 in B without seconds_to_target"
    assert comparison.cases[0].b.n == 1
    assert comparison.exit_status == 2
    assert compare_folders(comparison.folders[1], comparison.folders[0]).cases[0].reason == (
        "2 of 3 in A without seconds_to_target"
    )


def test_the_environments_differences_come_first(compared):
    environment_b = make_environment(
        environment_id="e2",
        hostname="two",
        cpu={"model": "EPYC", "count": 4, "flags": ["avx2", "fma", "avx512f"]},
        versions={"tensorflow": "2.22.0", "torch": "2.13.0", "jax": None, "optax": "0.2"},
        commit=None,
        devices=[{"name": "H100"}, {"name": "H100"}],
        memory_bytes=2**33 + 4096,
        command="other",
        started_at="other",
    )
    comparison = compared(
        make_rows(STEADY),
        make_rows(STEADY, environment_id="e2"),
        environment_b=[environment_b],
    )
    assert comparison.environment == (
        ("hostname", "one", "two"),
        ("cpu.count", "2", "4"),
        ("cpu.flags", "avx2, fma", "avx2, fma, avx512f"),
        ("versions.tensorflow", "2.21.0", "2.22.0"),
        ("versions.torch", "absent", "2.13.0"),
        ("commit", "abc", "absent"),
        ("devices", "CPU:0", "H100, H100"),
        ("versions.optax", "absent", "0.2"),
    )
    text = printed(comparison)
    assert "2.22.0" in text
    assert text.index("The environments differ") < text.index("versions.torch")
    assert text.index("versions.torch") < text.index("mnist-cnn")
    assert comparison.exit_status == 0


def test_equal_environments_are_said_to_be_the_same(compared):
    comparison = compared(make_rows(STEADY), make_rows(STEADY))
    assert comparison.environment == ()
    assert "The two environments are the same." in printed(comparison)


def test_two_environments_in_one_folder_are_a_difference(compared):
    rows = make_rows(STEADY)
    moved = [*rows[:2], rows[2] | {"environment_id": "e2"}]
    both = [make_environment(), make_environment(environment_id="e2", hostname="two")]
    comparison = compared(rows, moved, environment_a=both, environment_b=both)
    # In A, no row was measured in the second.
    assert comparison.environment == (("hostname", "one", "one and two"),)
    assert compare_folders(comparison.folders[1], comparison.folders[1]).environment == (
        ("hostname", "one and two", "one and two"),
    )


def test_the_table(compared):
    comparison = compared(
        make_rows([value * 100 for value in STEADY])
        + make_rows(NOISY, contender="keras_fit")
        + make_rows((5.0,), contender="jax_scan")
        + make_rows(STEADY, contender="torch_eager"),
        make_rows([value * 120 for value in STEADY])
        + make_rows(STEADY, contender="keras_fit", health={"noisy": True})
        + make_rows((5.0,), contender="jax_scan")
        + make_rows(STEADY, contender="torch_eager"),
    )
    lines = {
        line.split("│")[2].strip(): [cell.strip() for cell in line.split("│")[3:-1]]
        for line in printed(comparison).splitlines()
        if line.count("│") == 8
    }
    assert lines["flowrate"][:3] == ["3 / 3", "10,050", "12,060"]
    assert lines["flowrate"][3] == "1.200 (1.187 to 1.214)"
    assert lines["flowrate"][4] == "faster"
    smallest = comparison.cases[1].difference.smallest_detectable
    assert lines["keras_fit"][4] == (
        f"cannot tell (could have seen {100 * smallest:.0f} %); noisy 0 / 3"
    )
    assert lines["jax_scan"][3:] == ["1.000", "cannot tell (n of 1 has no spread)"]
    assert lines["torch_eager"][1:] == [
        "100.5", "100.5", "1.000 (0.989 to 1.011)", "same within 5 %",
    ]  # fmt: skip
    assert "4 compared with 95 % confidence each" in printed(comparison)
    assert "about 0.2 of them" in printed(comparison)


@pytest.mark.parametrize(
    ("same_within", "words"), [(0.05, "5 %"), (0.075, "7.5 %"), (0.1, "10 %"), (0.5, "50 %")]
)
def test_shares_are_printed_as_they_were_given(compared, same_within, words):
    rows = make_rows(STEADY)
    text = printed(compared(rows, rows, same_within=same_within))
    assert f"same within {words} " in text


def test_there_is_a_table_for_each_suite(compared):
    rows = make_rows(STEADY) + make_rows(STEADY, "images_per_second", suite="input")
    text = printed(compared(rows, rows))
    assert text.index("tutorials: steps_per_second") < text.index("input: images_per_second")
    assert text.count("mnist-cnn") == 2


def test_names_are_printed_as_they_are(compared):
    rows = make_rows(STEADY, case="[red]:smile:")
    assert "[red]:smile:" in printed(compared(rows, rows))


def test_a_narrow_window_cuts_no_name(compared):
    rows = make_rows(STEADY, contender="image_dataset_from_directory")
    lines = printed(compared(rows, rows), width=80).splitlines()
    rows = [line.split("│") for line in lines if line.count("│") == 8]
    assert "".join(row[2].strip() for row in rows) == "image_dataset_from_directory"


def test_a_log_file_gets_whole_lines(compared, capsys):
    fail_line = "x" * 300
    rows = make_rows(STEADY) + fail(make_rows((1.0,), case="broken"), 0, error=fail_line)
    print_comparison(compared(rows, rows))
    text = capsys.readouterr().out
    assert fail_line in text
    assert "tutorials broken flowrate repeat 0  failed" in text
    [line] = [line for line in text.splitlines() if "same within" in line]
    assert "mnist-cnn" in line
    assert "(0.989 to 1.011)" in line
    assert "\x1b" not in text
