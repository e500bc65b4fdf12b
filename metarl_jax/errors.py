"""The one error that is the user's to mend, and what its messages suggest."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

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


# Whole numbers of a configuration, by the last part of their names, and the most that each may be.
_AT_MOST = {
    "seed": 2**32 - 1,
    "steps": 2**10,  # of adaptation, which a program holds one after the other; as it does layers
    "layers": 2**10,
    "window": 2**14,  # of whose iterations the metrics wait on the device
    **dict.fromkeys(("hidden", "width", "state"), 2**16),
}
_COUNTS, _FLOATS = 2**31 - 1, 3.4e38  # programs have 32 bits for a number


def check_sizes(config: Any, prefix: str = "") -> None:
    """ConfigError where a number in a configuration, a dataclass, is larger than a program can be made for."""
    for field in dataclasses.fields(config):
        value, most = getattr(config, field.name), _AT_MOST.get(field.name, _COUNTS)
        if dataclasses.is_dataclass(value):
            check_sizes(value, f"{prefix}{field.name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and number > most:
                raise ConfigError(f"{prefix}{field.name} must be at most {most:,}, not {number:,}.")
            if isinstance(number, float) and _FLOATS < abs(number) < math.inf:  # where that may be, it is written so
                raise ConfigError(f"{prefix}{field.name} must be at most {_FLOATS:.3g}, not {number:g}.")


def check_seeds(seeds: tuple[int, ...]) -> None:
    """ConfigError unless they are seeds, each another one."""
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ConfigError(f"--seeds must be distinct and lie in [0, 2**32): {' '.join(map(str, seeds))}.")


def check_worlds(**factors: int) -> None:
    """ConfigError where the product of named numbers of worlds (`__` stands for a dot) is more than any machine holds.

    XLA does not raise an error there but ends the process.
    """
    if math.prod(factors.values()) > MAX_WORLDS:
        names = " x ".join(name.replace("__", ".") for name in factors)
        raise ConfigError(
            f"{names} must be at most {MAX_WORLDS:,}, not {' x '.join(f'{n:,}' for n in factors.values())}."
        )


def check_steps(steps: int, what: str) -> None:
    """ConfigError where `what`, an iteration or an evaluation, has more environment steps than a program can count."""
    if steps > _COUNTS:
        raise ConfigError(
            f"{what} has {steps:,} environment steps, of which a program can count {_COUNTS:,}: lower its horizon, tasks or "
            "episodes."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that the memory of the host or of a device does not suffice, in any of the words for that."""
    words = f"{type(error).__name__}: {error}"
    return any(sign in words for sign in ("RESOURCE_EXHAUSTED", "Out of memory", "bad_alloc", "MemoryError"))


def nearest_divisors(size: int, wanted: int) -> str:
    """The numbers next to `wanted`, below and above, that divide `size`: "2 or 4"."""
    fitting = [d for d in range(1, size + 1) if size % d == 0]
    below, above = [d for d in fitting if d < wanted], [d for d in fitting if d > wanted]
    return " or ".join(str(d) for d in below[-1:] + above[:1])


def nearest_multiples(number: int, wanted: int) -> str:
    """The positive multiples of `number` around `wanted`, which is none: "8 or 12"."""
    below = wanted // number * number
    return f"{below} or {below + number}" if below else f"{number}"
