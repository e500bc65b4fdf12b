"""The one error that is the user's to mend, and what its messages suggest."""

import difflib
import math
from collections.abc import Mapping

MAX_WORLDS = 2**22  # environments at once


class ConfigError(ValueError):
    """Bad input; the message says what to change. The command line prints it and exits with 2."""


def lookup(name: str, table: Mapping, kind: str):
    """`table[name]`, or a ConfigError that suggests the nearest names."""
    if name in table:
        return table[name]

    def likeness(candidate: str) -> float:  # a good beginning counts as much as a good whole
        return max(difflib.SequenceMatcher(None, name, part).ratio() for part in (candidate, candidate[: len(name)]))

    near = max(table, key=likeness)
    hint = f"did you mean {near!r}?" if name and likeness(near) > 0.6 else f"choose from {', '.join(sorted(table))}."
    raise ConfigError(f"unknown {kind} {name!r}: {hint}")


def check_worlds(**factors: int) -> None:
    """ConfigError where the product of named numbers of worlds (`__` stands for a dot) is more than any machine holds.

    XLA does not raise an error there but ends the process.
    """
    if math.prod(factors.values()) > MAX_WORLDS:
        names = " x ".join(name.replace("__", ".") for name in factors)
        raise ConfigError(
            f"{names} must be at most {MAX_WORLDS:,}, not {' x '.join(f'{n:,}' for n in factors.values())}."
        )


def nearest_divisors(size: int, wanted: int) -> str:
    """The numbers next to `wanted`, below and above, that divide `size`: "2 or 4"."""
    fitting = [d for d in range(1, size + 1) if size % d == 0]
    below, above = [d for d in fitting if d < wanted], [d for d in fitting if d > wanted]
    return " or ".join(str(d) for d in below[-1:] + above[:1])


def nearest_multiples(number: int, wanted: int) -> str:
    """The positive multiples of `number` around `wanted`, which is none: "8 or 12"."""
    below = wanted // number * number
    return f"{below} or {below + number}" if below else f"{number}"
