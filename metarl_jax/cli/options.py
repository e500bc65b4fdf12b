"""What reading the command lines of several commands takes."""

from typing import Any, TypeVar

import tyro

from ..config import changed_fields
from ..errors import ConfigError

T = TypeVar("T")


def parse(options: type[T], argv: list[str]) -> T:
    """`options` from a command line; exits with 2 on a bad one."""
    command = options.__name__.removesuffix("Options").lower()
    return tyro.cli(options, args=argv, prog=f"metarl {command}")


def check_ranges(options: object, ranges: dict[str, tuple[int, int]]) -> None:
    """ConfigError where an option is given and not in its range [low, high)."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not low <= value < high:
            raise ConfigError(f"--{name} must lie in [{low}, {high - 1}], not {value}.")


def check_seeds(seeds: tuple[int, ...]) -> None:
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
            if not (low.isdigit() and high.isdigit() and int(low) <= int(high) < int(low) + 10_000):
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
    return {name: getattr(asked, name) for name in changed_fields(own, asked)}


def spell(settings: dict[str, Any]) -> str:
    """Settings as the end of a file's name: `-tasks-6-steps-2`."""
    return "".join(f"-{name}-{value}" for name, value in settings.items())
