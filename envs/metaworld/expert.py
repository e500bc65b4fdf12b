"""The scripted policies of the installed `metaworld` package as policies of ours."""

import warnings
from collections.abc import Callable

import jax
import numpy as np
from metaworld.policies import ENV_POLICY_MAP

from ...errors import ConfigError
from ...types import Array, Key, MetaEnv
from .env import MetaWorldEnv


def scripted_policy(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The package's policy for a family: obs `[39]`, goal shown -> action `[4]`, not clipped to its bounds."""
    make: Callable = ENV_POLICY_MAP[name]
    policy = make()

    def act(obs: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constant")  # "... may be too high": the policies rely on clipping
            return policy.get_action(np.array(obs, float))  # a copy: some policies write into what they are given

    return act


def expert_policy(env: MetaEnv) -> Callable[[Array, Key], Array]:
    """The family's scripted policy: obs `[39]`, key (unused) -> action `[4]`; computed on the host.

    Raises:
      ConfigError: there is none for `env`, or `env` hides the goal that it must see.
    """
    name = env.spec.name
    if not isinstance(env, MetaWorldEnv):
        raise ConfigError(f"there is no expert for {name!r}, only for Meta-World: use --policy random.")
    family = name.removeprefix("metaworld/").split("/")[0]
    if not env.shows_goal:
        raise ConfigError(f"the expert must see the goal, which {name!r} hides: use --env metaworld/{family}/mt1.")
    scripted = scripted_policy(family)

    def act_on_host(obs: np.ndarray) -> np.ndarray:
        return np.clip(scripted(obs), -1.0, 1.0).astype(obs.dtype)

    def act(obs: Array, key: Key) -> Array:
        return jax.pure_callback(act_on_host, jax.ShapeDtypeStruct((4,), obs.dtype), obs)

    return act
