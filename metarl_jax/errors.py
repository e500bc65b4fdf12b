"""The one error that is the user's to mend, and how to look a name up."""

import difflib
from collections.abc import Mapping


class ConfigError(ValueError):
    """Bad input; the message says what to change. The command line prints it and exits with 2."""


def lookup(name: str, table: Mapping, kind: str):
    """`table[name]`, or a ConfigError that suggests the nearest names."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(table))}."
    raise ConfigError(f"unknown {kind} {name!r}: {hint}")
