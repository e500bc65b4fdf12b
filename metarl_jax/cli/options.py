"""What reading the command lines of several commands takes."""

import contextlib
import io
import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..errors import ConfigError
from . import choices

T = TypeVar("T")
_LARGEST = 2**63  # what arrays can hold; a longer number would overflow somewhere within
_VALUES = ConstructorRegistry()
_VALUES.struct_rule(choices.named_fields)


def parse(options: type[T], argv: list[str]) -> T:
    """`options` from a command line; ConfigError on a bad one."""
    return read(options, argv, f"metarl {options.__name__.removesuffix('Options').lower()}")


def read(options: type[T], argv: list[str], prog: str, default: T | None = None) -> T:
    """`options` from a command line, `default` where it says nothing; ConfigError, one line, on a bad one."""
    said = io.StringIO()
    otherwise: Any = tyro.MISSING_NONPROP if default is None else default
    check_once(argv)
    try:
        with contextlib.redirect_stderr(said):
            values = tyro.cli(options, args=argv, prog=prog, default=otherwise, registry=_VALUES)
    except SystemExit as stop:
        if not stop.code:  # help
            raise
        raise ConfigError(_one_line(said.getvalue(), prog)) from None
    for name in options_in(argv):  # which may take no value at all, and so would say nothing
        if getattr(values, name.removeprefix("--").replace("-", "_"), None) == ():
            raise ConfigError(f"{name} needs at least one value.")
    return values


def options_in(argv: list[str]) -> list[str]:
    """The options that are given, as they are spelt in the help."""
    return [word.partition("=")[0].replace("_", "-") for word in argv if re.match("--[a-z]", word)]


def check_once(argv: list[str]) -> None:
    """ConfigError where an option is given twice, of which one would be passed over; but for the axes of a grid."""
    given = options_in(argv)
    for name in given:
        if given.count(name) > 1 and name != "--grid":
            raise ConfigError(f"{name} is given twice: leave one out.")


def _one_line(panel: str, prog: str) -> str:
    """What tyro says in a framed panel: the part above its first rule, and the options that it takes for meant below."""
    _, *parts = re.split(r"[^\n]*[─-]{5}[^\n]*\n?", panel)  # the title's line is the first rule
    said, *hints = [re.sub(r"[│|\s]+", " ", part).strip() for part in parts]
    meant = [name for hint in hints if "meant" in hint for name in re.findall(r"(?<!\S)--[a-z][\w.-]*", hint)]
    hint = f"Did you mean {' or '.join(meant[:3])}? " if meant else ""
    said = re.sub(r"^\{[^}]*\}: ", "", said.removeprefix("Error parsing ").rstrip("."))  # of what has no other name
    return f"{said}{'' if said.endswith('?') else '.'} {hint}See {prog.partition(' [')[0]} --help."


@_VALUES.primitive_rule
def _plain_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Whole numbers that arrays can hold, and values that may be left out, each with an error in a few words."""
    kinds = set(typing.get_args(info.type)) - {type(None)}
    optional = type(None) in typing.get_args(info.type)
    kind = next(iter(kinds)) if optional and len(kinds) == 1 else info.type
    if kind not in ((int, float, str, Path) if optional else (int,)):
        return None

    def make(words: list[str]) -> Any:
        (word,) = words
        if optional and word == "None":
            return None
        if kind in (int, float) and len(word) > 40:
            raise ValueError(f"a number of {len(word)} digits is too long")
        try:
            value = kind(word)
        except ValueError:
            raise ValueError(f"{word!r} is not a {'whole number' if kind is int else 'number'}") from None
        if kind is int and abs(value) >= _LARGEST:
            raise ValueError(f"{word} is too large")
        return value

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar={int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}[kind],
        instance_from_str=make,
        is_instance=lambda x: (optional and x is None) or type(x) is kind or (isinstance(x, Path) and kind is Path),
        str_from_instance=lambda x: [str(x)],
    )


def check_ranges(options: object, ranges: dict[str, tuple[int, int]]) -> None:
    """ConfigError where an option is given and not in its range [low, high)."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value < high:
            raise ConfigError(f"--{name} must lie in [{low}, {high - 1}], not {value}.")


def check_seeds(seeds: tuple[int, ...]) -> None:
    """ConfigError where a seed is named twice, or is out of range."""
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ConfigError(f"--seeds must be distinct and lie in [0, 2**32): {' '.join(map(str, seeds))}.")


def spread(argv: list[str], flag: str) -> None:
    """Replaces `A..B` after `flag` by the numbers from A to B; ConfigError where there is nothing after it."""
    for index, word in enumerate(argv):
        if word.startswith(f"{flag}="):
            argv[index : index + 1] = word.split("=", 1)
    for index, word in enumerate(argv):
        if word == flag and (index + 1 == len(argv) or argv[index + 1].startswith("--")):
            raise ConfigError(f"{flag} needs at least one: write 0..7 or 0 1 2.")
    for index, word in enumerate(argv):
        low, dots, high = word.partition("..")
        if dots and index and argv[index - 1] == flag:
            if not (low.isdecimal() and high.isdecimal() and int(low) <= int(high) < int(low) + 10_000):
                raise ConfigError(f"{flag} {word}: write 0..7 or 0 1 2.")
            argv[index : index + 1] = map(str, range(int(low), int(high) + 1))
            return


def take(argv: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` or `flag=VALUE` from the arguments and returns the value."""
    for index, word in enumerate(argv):
        if word.startswith(flag + "="):
            del argv[index]
            return word.removeprefix(flag + "=")
        if word == flag:
            if index + 1 == len(argv) or argv[index + 1].startswith("-"):
                raise ConfigError(f"{flag} needs a value.")
            del argv[index]
            return argv.pop(index)
    return None


def given(options: object, *names: str) -> dict[str, Any]:
    """Those of the options with these names that are there."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def differences(own: object, asked: object) -> dict[str, Any]:
    """The fields of `asked` whose values are not those of `own`, a configuration of the same kind."""
    from ..config import changed_fields  # here: it takes JAX, which `metarl list` does without

    return {name: getattr(asked, name) for name in changed_fields(own, asked)}


def spell(settings: dict[str, Any]) -> str:
    """Settings as the end of a file's name: `-tasks-6-steps-2`."""
    return "".join(f"-{name}-{value}" for name, value in settings.items())
