"""Environments by name: `make("cheetah-dir", physics="mujoco")`. Importing this module imports no simulator."""

import importlib
from typing import Literal, NamedTuple

from ..errors import ConfigError, lookup
from ..types import MetaEnv


class Entry(NamedTuple):
    """Where an environment is made: `make(name, physics, horizon, split)` of that module, and one line about it."""

    module: str
    summary: str


ENVIRONMENTS: dict[str, Entry] = {
    "cheetah-dir": Entry("locomotion", "HalfCheetah runs forward or backward; 17 observations, H=200"),
    "cheetah-dir/pearl": Entry("locomotion", "... with the torso's position observed (20), H=200"),
    "cheetah-vel": Entry("locomotion", "HalfCheetah keeps a speed drawn from U[0, 3] m/s, H=200"),
}


def make(
    name: str, *, physics: str = "auto", horizon: int | None = None, split: Literal["train", "test"] = "train"
) -> MetaEnv:
    """Builds an environment.

    Args:
      name: a key of `ENVIRONMENTS`.
      physics: a key of `physics.BACKENDS`.
      horizon: steps per episode, where it should differ from the environment's own.
      split: which tasks `sample_task` draws from, for families with a fixed set of them.

    Raises:
      ConfigError: unknown name or backend, backend not installed, or horizon < 1.
    """
    entry = lookup(name, ENVIRONMENTS, "environment")
    if horizon is not None and horizon < 1:
        raise ConfigError(f"horizon must be at least 1, not {horizon}.")
    return importlib.import_module(f".{entry.module}", __name__).make(name, physics, horizon, split)
