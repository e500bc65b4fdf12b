"""Bodies that learn to walk: task families over MuJoCo models, and Gymnasium's v5 tasks."""

from .env import LocomotionEnv
from .families import FAMILIES


def make(name: str, physics: str, horizon: int | None, split: str) -> LocomotionEnv:
    return LocomotionEnv(name, FAMILIES[name], physics, horizon, split)
