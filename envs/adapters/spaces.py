"""Spaces of gymnax and of Gymnasium, which spell them alike: what of them a policy can see and do."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ConfigError
from ...types import Array


def is_discrete(space: Any) -> bool:
    """Whether its members are single integers."""
    return hasattr(space, "n") and space.shape == ()


def observed(space: Any, name: str) -> tuple[str | None, Any]:
    """Which entry of an observation is taken, "state" where there are several, else None; and its space."""
    spaces = getattr(space, "spaces", None)
    if isinstance(spaces, Mapping) and "state" in spaces:
        return "state", observed(spaces["state"], name)[1]
    if not is_discrete(space) and not hasattr(space, "low"):
        raise ConfigError(
            f"{name!r} observes {space}: take an environment that observes a Box, a Discrete, or one of these under 'state'."
        )
    return None, space


def size(space: Any) -> int:
    """How many numbers `vector` makes of a member."""
    return int(space.n) if is_discrete(space) else math.prod(space.shape)


def vector(space: Any, x: Array) -> Array:
    """A member as a vector of floats: of integers one-hot, of an array its numbers row by row."""
    if is_discrete(space):
        return jax.nn.one_hot(x - getattr(space, "start", 0), int(space.n))
    return jnp.ravel(x).astype(float)


def action_fields(space: Any, name: str) -> dict[str, Any]:
    """The fields of `EnvSpec` about actions; ConfigError where they are neither one of several nor numbers in bounds."""
    if is_discrete(space):
        return {"action_dim": int(space.n), "action_low": (), "action_high": (), "discrete": True}
    if not hasattr(space, "low") or not np.issubdtype(space.dtype, np.floating):
        raise ConfigError(
            f"{name!r} takes actions from {space}: only a Discrete, or a Box of real numbers, can be learned."
        )
    low, high = (tuple(np.broadcast_to(x, space.shape).ravel().tolist()) for x in (space.low, space.high))
    return {"action_dim": math.prod(space.shape), "action_low": low, "action_high": high}


def action(space: Any, x: Any) -> Any:
    """A policy's action, an array of JAX or of NumPy, as a member of the space, with any leading axes."""
    if is_discrete(space):
        return x + getattr(space, "start", 0)
    return x.reshape(*x.shape[:-1], *space.shape)
