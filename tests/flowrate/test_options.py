"""Options: declared once; read from the command line, checked and shown from there."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate import options
from flowrate.errors import ConfigError
from flowrate.options import option

FRUITS = ("apple", "pear", "plum")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cake:
    """An option of each kind."""

    eggs: int = option(3, group="Dough", help="How many.", lower_bound=0, upper_bound=12)
    sugar: float = option(0.5, group="Dough", help="Share of the flour.", lower_bound=0)
    salt: float | None = option(None, group="Dough", help="Grams.", upper_bound=9.5)
    fruit: str = option("apple", group="Topping", help="What is on top.", choices=FRUITS)
    guests: int | None = option(None, group="Table", help="For how many.", alias="people")
    candles: bool = option(False, group="Table", help="Whether it is a birthday.")
    message: str = option("", group="Table", help="In icing.")

    def __post_init__(self):
        options.check(self)


def bake(*flags: str) -> Cake | None:
    return options.parse(Cake, ["bake", *flags])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], Cake()),
        (["--sugar=2"], Cake(sugar=2.0)),
        (["--people=8"], Cake(guests=8)),
        (["--candles"], Cake(candles=True)),
        (["--candles=true"], Cake(candles=True)),
        (["--candles", "--nocandles"], Cake()),
        (["--message=to you = and me"], Cake(message="to you = and me")),
        (["--eggs=5", "--fruit=pear", "--eggs=6"], Cake(eggs=6, fruit="pear")),
    ],
)
def test_flags(flags, expected):
    assert bake(*flags) == expected


@given(
    st.builds(
        Cake,
        eggs=st.integers(0, 12),
        sugar=st.floats(0, 1e300),
        salt=st.none() | st.floats(-1e300, 9.5),
        fruit=st.sampled_from(FRUITS),
        guests=st.none() | st.integers(),
        candles=st.booleans(),
        message=st.text(),
    )
)
def test_whatever_can_be_asked_for_can_be_asked_for_by_flags(cake):
    given_values = {k: v for k, v in dataclasses.asdict(cake).items() if v is not None}
    assert bake(*(f"--{name}={value}" for name, value in given_values.items())) == cake


def test_a_file_of_flags(tmp_path):
    path = tmp_path / "birthday.flags"
    path.write_text("# for the party\n--candles\n--eggs=7\n")
    assert bake(f"--flagfile={path}", "--fruit=pear") == Cake(candles=True, eggs=7, fruit="pear")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_gives_no_config(flag):
    assert bake(flag, "--eggs=5") is None


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--eggs=many", "--eggs=many: expected a whole number."),
        ("--eggs=1.5", "--eggs=1.5: expected a whole number."),
        ("--eggs=", "--eggs=: expected a whole number."),
        ("--people=many", "--guests=many: expected a whole number."),
        ("--sugar=sweet", "--sugar=sweet: expected a number."),
        ("--candles=perhaps", "--candles=perhaps: expected true or false."),
        ("--nocandles=false", ""),
        ("--egs=3", "--egs: no such flag. Did you mean 'eggs'? See --help."),
        ("--zzz=3", "--zzz: no such flag. See --help."),
        ("--zzz", "--zzz: no such flag. See --help."),
        ("--eggs", "--eggs: no value; write it as --eggs=VALUE."),
        ("--eggs=13", "--eggs=13: must be between 0 and 12."),
        ("--eggs=-1", "--eggs=-1: must be between 0 and 12."),
        ("--sugar=-0.5", "--sugar=-0.5: must be at least 0."),
        ("--salt=10", "--salt=10.0: must be at most 9.5."),
        ("--sugar=nan", "--sugar=nan: must be a finite number."),
        ("--sugar=inf", "--sugar=inf: must be a finite number."),
        ("--salt=-inf", "--salt=-inf: must be a finite number."),
        ("--fruit=appel", "--fruit=appel: choose from apple, pear, plum. Did you mean 'apple'?"),
        ("--fruit=", "--fruit=: choose from apple, pear, plum."),
        ("eggs=3", "'eggs=3' stands alone; write every flag as --name=value"),
    ],
)
def test_what_is_refused(flag, message):
    with pytest.raises(ConfigError) as caught:
        bake(flag)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eggs": "3"}, "--eggs=3: expected a whole number."),
        ({"eggs": 3.0}, "--eggs=3.0: expected a whole number."),
        ({"eggs": True}, "--eggs=True: expected a whole number."),
        ({"eggs": None}, "--eggs=None: expected a whole number."),
        ({"sugar": True}, "--sugar=True: expected a number."),
        ({"candles": 1}, "--candles=1: expected true or false."),
        ({"message": 7}, "--message=7: expected text."),
        ({"fruit": "fig"}, "--fruit=fig: choose from apple, pear, plum."),
        ({"eggs": 10**400}, "--eggs=1000"),
    ],
)
def test_code_passes_the_same_gate_as_the_command_line(values, message):
    with pytest.raises(ConfigError) as caught:
        Cake(**values)
    assert str(caught.value).startswith(message)


def test_a_whole_number_is_a_number():
    assert Cake(sugar=2).sugar == 2


def test_choices_may_be_listed_late():
    @dataclasses.dataclass(frozen=True)
    class Menu:
        dish: str = option("a", group="G", help="H.", choices=lambda: ["a", *extra])

        def __post_init__(self):
            options.check(self)

    extra: list[str] = []
    with pytest.raises(ConfigError, match="choose from a"):
        Menu(dish="soup")
    extra.append("soup")
    assert Menu(dish="soup").dish == "soup"


def test_described_fields_are_in_order_with_their_plain_types():
    described = options.described_fields(Cake)
    assert [(field.name, kind) for field, _, kind in described] == [
        ("eggs", int), ("sugar", float), ("salt", float), ("fruit", str), ("guests", int),
        ("candles", bool), ("message", str),
    ]  # fmt: skip
    assert described[4][1].alias == "people"


def test_help_is_grouped_and_says_all_that_is_known():
    text = options.render_help(Cake, "bake [--flag=value ...]")
    paragraphs = text.split("\n\n")
    assert paragraphs[0] == "bake [--flag=value ...]"
    assert [p.splitlines()[0] for p in paragraphs[1:4]] == ["Dough:", "Topping:", "Table:"]
    assert "--flagfile=FILE" in paragraphs[-1]
    assert paragraphs[1].splitlines()[1:] == [
        "  --eggs",
        "      How many. [default: 3; between 0 and 12]",
        "  --sugar",
        "      Share of the flour. [default: 0.5; at least 0]",
        "  --salt",
        "      Grams. [default: unset; at most 9.5]",
    ]
    assert "What is on top. [default: apple; one of: apple, pear, plum]" in paragraphs[2]
    assert "--guests (or --people)" in paragraphs[3]
    assert "For how many. [a whole number; default: unset]" in paragraphs[3]
    assert max(len(line) for line in text.splitlines()) <= 100
