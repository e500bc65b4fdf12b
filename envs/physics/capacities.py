"""How much room `warp` keeps for what touches, scene by scene."""

import os
from typing import NamedTuple

import mujoco

_FACTOR = "METARL_WARP_CAPACITY"  # multiplies all of it


class Capacity(NamedTuple):
    """Room for what touches. Memory and time grow with it; what does not fit is dropped, and a warning says so."""

    scene: str  # for messages
    contacts: int  # pairs of geoms near each other, per world; the worlds share the room of all
    rows: int  # constraint rows of each world


def capacity_of(model: mujoco.MjModel) -> Capacity:
    """The room for a model."""
    name = model.names[: model.names.find(b"\0")].decode() or "the model"
    factor = float(os.environ.get(_FACTOR) or 1.0)
    contacts = max(16, 4 * model.ngeom)
    rows = 4 * contacts + 2 * model.njnt + 6 * model.neq  # 4 edges of a friction pyramid per contact
    return Capacity(name, round(factor * contacts), round(factor * rows))
