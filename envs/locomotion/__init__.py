"""Bodies that learn to walk: task families over MuJoCo models, and Gymnasium's v5 tasks.

`family` is the default form of a family, `family/paper` the form a paper used. The differences between the forms
(ranges, horizons, what is observed) change returns, so each is its own entry.
"""

from . import ant, cheetah, gymnasium_v5, humanoid, rand_params
from .env import LocomotionEnv

FAMILIES = cheetah.FAMILIES | ant.FAMILIES | humanoid.FAMILIES | rand_params.FAMILIES | gymnasium_v5.FAMILIES


def make(name: str, physics: str, horizon: int | None, split: str) -> LocomotionEnv:
    """Builds the environment of a name in FAMILIES."""
    return LocomotionEnv(name, FAMILIES[name], physics, horizon, split)
