"""One frozen dataclass of options <-> command-line flags: each option is written once.

A field declared with `option(...)` carries its default, help, bounds and choices. From the class
come the absl flags (`parse`), the checks (`check`, called by the dataclass itself so that code and
command line pass the same gate) and the text of `--help` (`render_help`).
"""

from __future__ import annotations

import dataclasses
import textwrap
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from flowrate.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_METADATA = "flowrate.option"
_FLAG_FILE = "give a text file with a flag on each line"
_EXPECTED = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text",
    tuple: "text",
}  # fmt: skip
_DEFINE: dict[type, Callable[..., Any]] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_multi_string,  # tuple[str, ...]: the flag may be given several times.
}

Config = TypeVar("Config", bound="DataclassInstance")


class UnknownFlagError(ConfigError):
    """A flag that the program does not have."""


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of one option besides its name, type and default."""

    group: str
    help: str
    lower_bound: float | None = None
    upper_bound: float | None = None
    choices: Callable[[], Sequence[str]] | Sequence[str] | None = None
    alias: str | None = None

    def list_choices(self) -> list[str]:
        """Returns the allowed values, or an empty list where any value is allowed."""
        choices = self.choices() if callable(self.choices) else self.choices
        return list(choices or [])


def option(default: Any, *, group: str, help: str, **details: Any) -> Any:
    """Declares a dataclass field that is also a flag; `details` are fields of Option."""
    metadata = {_METADATA: Option(group=group, help=help, **details)}
    return dataclasses.field(default=default, metadata=metadata)


def described_fields(config_class: type) -> list[tuple[dataclasses.Field, Option, type]]:
    """Returns (field, option, plain type) for each option of a dataclass, in order."""
    hints = typing.get_type_hints(config_class)
    return [
        (field, field.metadata[_METADATA], _plain_type(hints[field.name]))
        for field in dataclasses.fields(config_class)
        if _METADATA in field.metadata
    ]


def parse(config_class: type[Config], argv: Sequence[str]) -> Config | None:
    """Reads flags into a config; `--flagfile` works as in every absl program.

    Args:
        config_class: a frozen dataclass whose fields are made by `option`.
        argv: the command line, program name first.

    Returns:
        The config, or None where `--help` was asked for.

    Raises:
        ConfigError: an unknown flag, a value of the wrong type, a stray argument, or whatever the
            class itself refuses.
    """
    values = flags.FlagValues()
    expected = {}
    for field, description, kind in described_fields(config_class):
        _DEFINE[kind](field.name, field.default, description.help, flag_values=values)
        expected[field.name] = _EXPECTED[kind]
        if description.alias:
            flags.DEFINE_alias(description.alias, field.name, flag_values=values)
    expected["flagfile"] = "the name of a file"
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    try:
        stray = values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        known = nearest_name(error.flagname, expected)
        raise UnknownFlagError(f"--{error.flagname}: no such flag.{known} See --help.") from None
    except flags.IllegalFlagValueError as error:
        given = str(error).removeprefix("flag ").split(": ")[0]
        name = given.removeprefix("--").split("=")[0].split(" ")[0]
        raise ConfigError(f"{given}: expected {expected.get(name, 'another value')}.") from None
    except flags.CantOpenFlagFileError as error:
        reason = str(error).partition("] ")[2]
        raise ConfigError(f"--flagfile: cannot be read: {reason}; {_FLAG_FILE}.") from None
    except flags.Error as error:
        flag = str(error).rpartition(" ")[2]
        if str(error) == f"Missing value for flag {flag}":
            raise ConfigError(f"{flag}: no value; write it as {flag}=VALUE.") from None
        raise ConfigError(" ".join(str(error).split())) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"--flagfile: is no text: {error}; {_FLAG_FILE}.") from None
    except ValueError as error:  # --noflag=value
        raise ConfigError(" ".join(str(error).split())) from None
    if values["help"].value:
        return None
    if stray:
        raise ConfigError(
            f"{stray[0]!r} stands alone; write every flag as --name=value "
            "(--name value is read as a switch and a stray word)."
        )
    fields = {field.name: values[field.name].value for field in dataclasses.fields(config_class)}
    # absl gives lists.
    return config_class(**{n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})


def parse_with_words(
    config_class: type[Config], argv: Sequence[str]
) -> tuple[Config | None, list[str]]:
    """Reads flags, and words that stand between them, such as the names of folders.

    Returns:
        The config, None where `--help` was asked for, and the words in order.

    Raises:
        ConfigError: as `parse`.
    """
    flags_end = argv.index("--") if "--" in argv else len(argv)
    words = [word for word in argv[1:flags_end] if not word.startswith("-")]
    given = [word for word in argv[1:flags_end] if word.startswith("-")]
    return parse(config_class, [argv[0], *given]), [*words, *argv[flags_end + 1 :]]


def parse_until_dashes(
    config_class: type[Config], argv: Sequence[str]
) -> tuple[Config | None, list[str]]:
    """Reads the flags before `--`; what stands after it is another program's.

    Returns:
        The config, None where `--help` was asked for, and the words after `--`.

    Raises:
        ConfigError: as `parse`.
    """
    place = argv.index("--") if "--" in argv else len(argv)
    return parse(config_class, argv[:place]), list(argv[place + 1 :])


def check(config: Any) -> None:
    """Raises ConfigError if a value is of the wrong type, out of bounds or not a choice."""
    for field, description, kind in described_fields(type(config)):
        value = getattr(config, field.name)
        flag = f"--{field.name}={value}"
        if value is None and field.default is None:
            continue
        right_type = isinstance(value, (int, float) if kind is float else kind)
        if not right_type or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{flag}: expected {_EXPECTED[kind]}.")
        choices = description.list_choices()
        if choices and value not in choices:
            raise ConfigError(
                f"{flag}: choose from {', '.join(choices)}.{nearest_name(value, choices)}"
            )
        if kind in (int, float) and not _within(value, description):
            allowed = _bounds_text(description) if _is_finite(value) else "a finite number"
            raise ConfigError(f"{flag}: must be {allowed}.")


def render_help(config_class: type, usage: str) -> str:
    """Returns the `--help` text: one block per group, with defaults, bounds and choices."""
    lines = [usage]
    group = None
    for field, description, kind in described_fields(config_class):
        if description.group != group:
            group = description.group
            lines += ["", f"{group}:"]
        names = f"--{field.name}" + (f" (or --{description.alias})" if description.alias else "")
        facts = [f"default: {field.default if field.default not in (None, ()) else 'unset'}"]
        if kind is tuple:
            facts.append("may be given several times")
        if choices := description.list_choices():
            facts.append(f"one of: {', '.join(choices)}")
        if bounds := _bounds_text(description):
            facts.append(bounds)
        if field.default is None and len(facts) == 1:
            facts.insert(0, _EXPECTED[kind])
        lines.append(f"  {names}")
        lines += textwrap.wrap(
            f"{description.help} [{'; '.join(facts)}]", 96,
            initial_indent="      ", subsequent_indent="      ",
        )  # fmt: skip
    return "\n".join([*lines, "", "Any flag may also stand in a file, given as --flagfile=FILE."])


def _plain_type(hint: Any) -> type:
    """Returns `int` for `int | None`, `tuple` for `tuple[str, ...]`, and so on."""
    if typing.get_origin(hint) is tuple:
        return tuple
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    return members[0] if members else hint


def _within(value: float, description: Option) -> bool:
    low, high = description.lower_bound, description.upper_bound
    return _is_finite(value) and (low is None or value >= low) and (high is None or value <= high)


def _is_finite(value: float) -> bool:
    # NaN compares false with everything; math.isfinite fails on huge whole numbers.
    return abs(value) < float("inf")


def _bounds_text(description: Option) -> str:
    low, high = description.lower_bound, description.upper_bound
    if low is not None and high is not None:
        return f"between {low:.10g} and {high:.10g}"
    if low is not None:
        return f"at least {low:.10g}"
    return f"at most {high:.10g}" if high is not None else ""
