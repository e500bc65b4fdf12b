"""Environments of MuJoCo Playground: `playground/NAME`, `.../randomized`, `.../tasks=MODULE:FUNCTION`."""

import subprocess

from ...errors import ConfigError, lookup
from . import import_package, parse
from .brax import BraxEnv


def make(name: str, physics: str, horizon: int | None, split: str) -> BraxEnv:
    """Builds an environment of Playground on MJX; with "randomized", its own domain randomiser draws the tasks."""
    registry = import_package("mujoco_playground", "playground", name).registry
    which, draw, flags = parse(name, flags=("randomized",))
    lookup(which, dict.fromkeys(registry.ALL_ENVS), "environment of Playground")
    if physics not in ("auto", "mjx"):
        raise ConfigError(f"{name!r} runs on MJX: leave the physics backend at 'auto' instead of {physics!r}.")
    if flags:
        draw = registry.get_domain_randomizer(which)
        if draw is None:
            raise ConfigError(f"Playground has no domain randomiser for {which!r}: take tasks=MODULE:FUNCTION instead.")
    config = registry.get_default_config(which)
    overrides = {"impl": "jax"} if "impl" in config else {}  # Warp's worlds cannot be merged leaf by leaf
    try:
        env = registry.load(which, config, overrides)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"{name!r} needs models of MuJoCo Menagerie, which Playground clones at its first use and could not: {error}."
        ) from error
    return BraxEnv(name, env, horizon or config.episode_length, draw, model="_mjx_model")
