"""What other packages bring: environments and algorithms by name, or by where they are, `my_package.my_module:make`.

A package gives them names in its metadata, which can be listed without importing it:

    [project.entry-points."metarl_jax.environments"]
    corridor = "my_package.corridor:make"

    [project.entry-points."metarl_jax.algorithms"]
    hill-climbing = "my_package.hill_climbing:ENTRY"

A name that metarl_jax has itself stays its own.
"""

import functools
import importlib
import importlib.metadata
import operator
import os
import re
import sys
from typing import Any

from .errors import ConfigError

ENVIRONMENTS, ALGORITHMS = "metarl_jax.environments", "metarl_jax.algorithms"  # groups of entry points


@functools.cache
def named(group: str) -> dict[str, str]:
    """The names in a group of entry points, and where each is, `module:attribute`; nothing is imported.

    Raises:
      ConfigError: two packages use the same name for different things.
    """
    found: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=group):
        if found.setdefault(point.name, point.value) != point.value:
            raise ConfigError(
                f"two installed packages bring {point.name!r} ({group}): {found[point.name]} and {point.value}. Uninstall one."
            )
    return found


def find(group: str, name: str) -> Any:
    """What a name of that group, or a place `module:attribute`, stands for; None where it is neither.

    Raises:
      ConfigError: there is nothing in that place, or it cannot be imported.
    """
    if name in named(group):
        return load(named(group)[name])
    return load(name) if ":" in name else None


def load(place: str) -> Any:
    """The object at `module:attribute`; modules in the folder where the command runs are found too.

    Raises:
      ConfigError: there is none, or its module cannot be imported.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", place):
        raise ConfigError(f"{place!r} is no place of something in Python: write my_package.my_module:name.")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, attribute = place.partition(":")
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module))
    except Exception as error:  # whatever happens where another package's module runs
        raise ConfigError(f"cannot load {place!r}: {type(error).__name__}: {error}.") from error
