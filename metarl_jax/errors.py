"""The one error that is the user's to mend, and how to look a name up."""

import difflib
from collections.abc import Mapping


class ConfigError(ValueError):
    """Bad input; the message says what to change. The command line prints it and exits with 2."""


def lookup(name: str, table: Mapping, kind: str):
    """`table[name]`, or a ConfigError that suggests the nearest names."""
    if name in table:
        return table[name]

    def likeness(candidate: str) -> float:  # a good beginning counts as much as a good whole
        return max(difflib.SequenceMatcher(None, name, part).ratio() for part in (candidate, candidate[: len(name)]))

    near = max(table, key=likeness)
    hint = f"did you mean {near!r}?" if likeness(near) > 0.6 else f"choose from {', '.join(sorted(table))}."
    raise ConfigError(f"unknown {kind} {name!r}: {hint}")
