"""push-wall-v3: a puck is pushed around a wall to a point of the table; pick-place-wall-v3: it is carried over the wall."""

import jax.numpy as jnp

from ....types import Array
from ..family import Moment, Verdict
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from . import puck
from .pick_place import PICK_PLACE
from .push import PUSH, PUSH_BACK

_BEHIND_WALL = 0.75  # y, m
_CARRY_GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.05, xz_thresh=0.005)


def reward_push(moment: Moment) -> Verdict:
    beside_wall = jnp.array([-0.05, 0.77, 0.0]).at[2].set(moment.obj[2])
    halfway = in_place_halfway(moment, beside_wall, jnp.array([3.0, 1.0, 1.0]))
    placed = puck.in_place(moment)
    grasped = gripper_caging(moment, moment.obj, puck.GRIP)
    pushed = puck.near(moment, 0.02)
    total = 2.0 * grasped + jnp.where(pushed, progress(moment, halfway, placed), 0.0)
    return puck.verdict(moment, total, placed, grasped)


def reward_carry(moment: Moment) -> Verdict:
    above_wall = jnp.array([0.0, 0.77, 0.25]).at[0].set(moment.goal[0])
    halfway = in_place_halfway(moment, above_wall, jnp.array([1.0, 1.0, 3.0]))
    placed = puck.in_place(moment)
    grasped = gripper_caging(moment, moment.obj, _CARRY_GRIP)
    carried = puck.near(moment, 0.02) & puck.lifted(moment, 0.015)
    total = hamacher_product(grasped, halfway) + jnp.where(carried, progress(moment, halfway, placed), 0.0)
    return puck.verdict(moment, total, placed, grasped)


def in_place_halfway(moment: Moment, midpoint: Array, scaling: Array) -> Array:
    """How near the puck is to a point from which the way to the goal is free."""
    margin = distance(moment.memory["obj"] * scaling, midpoint * scaling)
    return tolerance(distance(moment.obj * scaling, midpoint * scaling), (0.0, puck.TARGET_RADIUS), margin)


def progress(moment: Moment, halfway: Array, placed: Array) -> Array:
    """What a puck in the gripper earns, before the wall and behind it."""
    return 1.0 + jnp.where(moment.obj[1] > _BEHIND_WALL, 4.0 + 3.0 * placed, 4.0 * halfway)


PUSH_WALL = PUSH._replace(
    scene="sawyer_push_wall_v3.xml",
    low=(-0.05, 0.6, 0.015, -0.05, 0.85, 0.01),
    high=(0.05, 0.65, 0.015, 0.05, 0.9, 0.02),
    goal_low=(-0.05, 0.85, 0.01),
    goal_high=(0.05, 0.9, 0.02),
    reward=reward_push,
    reward_v1=PUSH_BACK.reward_v1,
)

PICK_PLACE_WALL = PICK_PLACE._replace(
    scene="sawyer_pick_place_wall_v3.xml",
    low=(-0.05, 0.6, 0.015, -0.05, 0.85, 0.05),
    high=(0.05, 0.65, 0.015, 0.05, 0.9, 0.3),
    goal_low=(-0.05, 0.85, 0.05),
    goal_high=(0.05, 0.9, 0.3),
    reward=reward_carry,
)

FAMILIES = {"push-wall-v3": PUSH_WALL, "pick-place-wall-v3": PICK_PLACE_WALL}
