"""Environments of other packages, behind the interface of ours: `brax/NAME`, `playground/NAME`, `gymnax/NAME`, `gymnasium/ID`.

Each is the package's raw environment: episodes begin with its own reset, never with a first state that was kept, and the last
observation of an episode is the one that it ended with. None of the packages is imported before it is named.
"""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import jax

from ... import plugins
from ...errors import ConfigError


def import_package(module: str, extra: str, name: str) -> Any:
    """A module of another package; ConfigError where the extra that the environment `name` needs is not installed."""
    try:
        with warnings.catch_warnings():  # what the package says to its authors
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise ConfigError(f"{name!r}: {module} cannot be imported without {error.name}: pip install it.") from error
        raise ConfigError(
            f"{name!r} needs the package {module.partition('.')[0]}: pip install 'metarl-jax[{extra}]'."
        ) from error


def parse(name: str, flags: tuple[str, ...] = ()) -> tuple[str, Callable | None, set[str]]:
    """The parts of `PACKAGE/NAME/option/...`: the package's name for it, who draws its tasks, and the flags that are given.

    Args:
      name: of an environment; of options there is `tasks=MODULE:FUNCTION`, and the flags.
      flags: options without a value that the package has.

    Raises:
      ConfigError: unknown option, or no function in that place.
    """
    _, which, *options = name.split("/")
    draw: Callable | None = None
    for option in options:
        key, _, place = option.partition("=")
        if key == "tasks":
            draw = plugins.load(place)
        elif option not in flags:
            known = ("tasks=MODULE:FUNCTION", *flags)
            raise ConfigError(f"unknown option {option!r} of {name!r}: choose from {', '.join(known)}.")
    return which, draw, set(options) & set(flags)


def check_draws(sample_task: Callable, name: str, signature: str) -> None:
    """ConfigError where the function of the user that `sample_task` calls cannot draw tasks, or none that differ."""
    must = f"{name!r}: what draws its tasks must be a function {signature}"
    try:
        task = jax.eval_shape(sample_task, jax.random.key(0))
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ConfigError(f"{must}: {error}") from error
    if not jax.tree.leaves(task):
        raise ConfigError(f"{must} that changes something.")
