"""Which tasks a benchmark holds: the goal vectors that the installed `metaworld` package draws for a seed, and fresh ones.

The package draws 50 task vectors per family while it resets its environments. The draws do not depend on physics, so
that they can be repeated here without a simulator.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from metaworld import env_dict

from ...errors import lookup
from ...types import Array, Key, Split
from .family import Family
from .tasks import FAMILIES

_NUM_GOALS = 50

# Names of the families, in the order in which the package draws their task vectors.
SUITES: dict[str, dict[str, tuple[str, ...]]] = {
    "MT10": {"train": tuple(env_dict.MT10_V3)},
    "MT25": {"train": tuple(env_dict.MT25_V3)},
    "MT50": {"train": tuple(env_dict.MT50_V3)},
    "ML10": {split: tuple(env_dict.ML10_V3[split]) for split in ("train", "test")},
    "ML25": {split: tuple(env_dict.ML25_V3[split]) for split in ("train", "test")},
    "ML45": {split: tuple(env_dict.ML45_V3[split]) for split in ("train", "test")},
}


def suite_vectors(suite: str, seed: int, split: Split = "train") -> dict[str, np.ndarray]:
    """The task vectors of `metaworld.<suite>(seed=seed)`, `[50, d]` per family; train and test begin with the same seed.

    Raises:
      ConfigError: no such suite, or a suite without that split.
    """
    return draw_vectors(lookup(split, lookup(suite, SUITES, "suite"), f"split of {suite}"), seed)


def family_vectors(name: str, seed: int, split: Split = "train") -> np.ndarray:
    """The task vectors of `metaworld.ML1(name, seed=seed)`, `[50, d]`; those of MT1 are the training ones."""
    return draw_vectors((name,), seed + (split == "test"))[name]


def draw_vectors(names: tuple[str, ...], seed: int) -> dict[str, np.ndarray]:
    """The task vectors of a custom list of families, `[50, d]` each, drawn one family after the other."""
    rng = np.random.RandomState(seed)
    return {name: _draw_family(lookup(name, FAMILIES, "family"), rng) for name in names}


def _draw_family(family: Family, rng: np.random.RandomState) -> np.ndarray:
    low, high = np.array(family.low), np.array(family.high)

    def draw() -> np.ndarray:
        while True:
            vector = rng.uniform(low, high, size=low.size)
            if np.linalg.norm(vector[:2] - _kept_away_from(family, vector)) >= family.min_distance:
                return vector

    # The package's reset places its objects twice, with a draw each, and keeps the second.
    return np.array([(draw(), draw())[1] for _ in range(_NUM_GOALS)])


def sample_vector(family: Family) -> Callable[[Key], Array]:
    """Draws fresh task vectors of a family from the space of the package's, rejected ones drawn again."""

    def sample(key: Key) -> Array:
        def draw(key: Key) -> Array:
            return jax.random.uniform(
                key, (len(family.low),), minval=jnp.array(family.low), maxval=jnp.array(family.high)
            )

        def too_near(carry: tuple[Key, Array]) -> Array:
            return jnp.linalg.norm(carry[1][:2] - _kept_away_from(family, carry[1])) < family.min_distance

        def again(carry: tuple[Key, Array]) -> tuple[Key, Array]:
            key, key_draw = jax.random.split(carry[0])
            return key, draw(key_draw)

        return jax.lax.while_loop(too_near, again, again((key, jnp.zeros(len(family.low)))))[1]

    return sample


def _kept_away_from(family: Family, vector):
    """The point, `[2]`, that the first two numbers of a task vector keep a distance from."""
    return vector[-3:-1] if family.min_distance_to is None else np.array(family.min_distance_to)
