"""shelf-place-v3: a block is carried onto a shelf."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Verdict
from ..rewards import Grip, gripper_caging, hamacher_product
from ..scenes import Readings, Settled
from . import puck
from .pick_place import PICK_PLACE

_BOARD = 0.24  # height of the shelf's board from the table, m
_HALF_WIDTH = 0.15  # m
_FRONT = 3 * puck.TARGET_RADIUS  # how far the keep-out zone reaches out before the goal, m
_GRIP = Grip(obj_radius=0.02, pad_success_thresh=0.05, xz_thresh=0.01)


def shelf_pos(vector: Array) -> Array:
    """The goal is 0.3 m above the shelf's frame."""
    return vector[3:] - jnp.array([0.0, 0.0, 0.3])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": puck.on_table(settled, vector[:2]), "goal": vector[3:]}


def reward(moment: Moment) -> Verdict:
    placed = puck.in_place(moment)
    grasped = gripper_caging(moment, moment.obj, _GRIP)
    clear = without_collision(moment, placed)
    carried = puck.near(moment, 0.025) & puck.lifted(moment, 0.01)
    total = hamacher_product(grasped, placed) + jnp.where(carried, 1.0 + 5.0 * clear, 0.0)
    return puck.verdict(moment, total, clear, grasped)


def without_collision(moment: Moment, placed: Array) -> Array:
    """What remains of a "placed" as the block comes to where the shelf's board is above it."""
    x, y, z = moment.obj
    low = (z > 0.0) & (z < _BOARD) & (jnp.abs(x - moment.goal[0]) < _HALF_WIDTH)
    inward = y - (moment.goal[1] - _FRONT)
    loss = hamacher_product(inward / _FRONT, (_BOARD - z) / _BOARD)
    placed = jnp.where(low & (inward > 0.0) & (y < moment.goal[1]), jnp.clip(placed - loss, 0.0, 1.0), placed)
    return jnp.where(low & (y > moment.goal[1]), 0.0, placed)


SHELF_PLACE = Family(
    scene="sawyer_shelf_placing.xml",
    low=(-0.1, 0.5, 0.019, -0.1, 0.8, 0.299),
    high=(0.1, 0.6, 0.021, 0.1, 0.9, 0.301),
    min_distance=0.1,
    goal_low=(-0.1, 0.8, 0.299),
    goal_high=(0.1, 0.9, 0.301),
    fixture="shelf",
    fixture_pos=shelf_pos,
    sensors=puck.SENSORS,
    place=puck.place_on_table,
    objects=puck.objects,
    remember=remember,
    reward=reward,
    reward_v1=PICK_PLACE.reward_v1,
)

FAMILIES = {"shelf-place-v3": SHELF_PLACE}
