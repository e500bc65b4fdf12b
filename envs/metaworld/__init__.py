"""Meta-World's tasks (arXiv:1910.10897, arXiv:2505.11289) as pure functions.

Scenes and constants come from the installed `metaworld` package (MIT, Farama Foundation); rewards are its second design
(v2), written anew. A family has three forms: goal hidden and fresh task vectors; `/ml1`, goal hidden and the package's
50 training or 50 test vectors; `/mt1`, goal shown and the training vectors.
"""

import jax
import jax.numpy as jnp

from ...types import Key
from .env import HORIZON, MetaWorldEnv
from .suites import family_vectors, sample_vector
from .tasks import FAMILIES

__all__ = ["FAMILIES", "MetaWorldEnv", "make"]

_SEED = 0  # of the package's benchmark


def make(name: str, physics: str, horizon: int | None, split: str) -> MetaWorldEnv:
    _, family_name, form = f"{name}/".split("/")[:3]
    family = FAMILIES[family_name]
    if form == "":
        sample_task = sample_vector(family)
    else:
        vectors = jnp.asarray(family_vectors(family_name, _SEED, split if form == "ml1" else "train"), float)

        def sample_task(key: Key) -> jax.Array:
            return jax.random.choice(key, vectors)

    return MetaWorldEnv(name, family, sample_task, physics, horizon or HORIZON, show_goal=form == "mt1")
