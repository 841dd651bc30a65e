"""Lines that can be read at 80 columns, and the line that names what failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.doctor.check import VERDICTS, Check, run_check
from trainer.doctor.diagnosis import describe_failures, to_json
from trainer.doctor.table import lines_of, show

WORDS = st.lists(st.text("abcdefghij.,/-", min_size=1, max_size=40), min_size=1, max_size=40)
FAST = Check("ok", "fast", section="machine", name="CPU")
LITTLE = Check("failed", "little", "buy some", {"bytes": 1}, "machine", "memory")


@given(st.sampled_from(VERDICTS), WORDS, WORDS, st.booleans())
def test_no_line_is_too_long_and_nothing_is_left_out(verdict, found, to_do, has_name):
    name = "multi_worker_mirrored, mixed_bfloat16, jit off" if has_name else "CPU"
    check = Check(verdict, " ".join(found), " ".join(to_do), name=name)
    lines = list(lines_of(check))
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"  {verdict}")
    assert {*found, *to_do} <= set(" ".join(lines).split())


def test_a_pipe_gets_plain_lines(capsys):
    assert show(iter([FAST, LITTLE])) == [FAST, LITTLE]
    assert capsys.readouterr().out.splitlines() == [
        "machine",
        "  ok      CPU               fast",
        "  failed  memory            little",
        "          > buy some",
    ]


def test_the_last_line_names_what_failed():
    damaged = Check("failed", "damaged " * 40, "get it anew", {}, "data sets", "mnist")
    old = Check("warning", "old", "buy one", {}, "GPU", "GPU")
    line = describe_failures([FAST, LITTLE, damaged, old])
    assert "machine, memory (little); data sets, mnist (damaged" in line
    assert "GPU" not in line
    assert len(line) < 300
    assert to_json([FAST, LITTLE])["exit_code"] == 4
    assert describe_failures([FAST]) == ""
    assert to_json([FAST])["exit_code"] == 0


def test_a_check_that_breaks_does_not_end_the_others():
    def breaks():
        raise OSError("first line\nsecond")

    def lacks():
        import a_package_that_is_not_there  # noqa: F401

    (broken,) = run_check("machine", "one", breaks)
    assert (broken.verdict, broken.name) == ("failed", "one")
    assert broken.found.endswith("OSError: first line second")
    (lacking,) = run_check("machine", "two", lacks)
    assert lacking.verdict == "absent"
    assert "a_package_that_is_not_there" in lacking.found
    (fine,) = run_check("machine", "CPU", lambda: Check("ok", "fast"))
    assert fine == FAST
