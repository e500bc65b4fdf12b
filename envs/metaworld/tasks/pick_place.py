"""pick-place-v3: a puck is carried to a point in the air."""

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Moment, Verdict, place_first
from ..rewards import distance, hamacher_product
from . import puck


def reward(moment: Moment) -> Verdict:
    placed, grasped = puck.in_place(moment), gripping(moment)
    carried = puck.near(moment, 0.02) & puck.lifted(moment, 0.01)
    total = hamacher_product(grasped, placed) + jnp.where(carried, 1.0 + 5.0 * placed, 0.0)
    return puck.verdict(moment, total, placed, grasped)


def gripping(moment: Moment) -> Array:
    """How well the gripper surrounds the puck and closes around it."""
    caged = puck.caging(moment, obj_radius=0.015, xz_thresh=0.005)
    closed = jnp.where(caged > 0.97, jnp.clip(moment.action[3], 0.0, 1.0), 0.0)
    return (hamacher_product(caged, closed) + caged) / 2


def reward_v1(moment: Moment) -> Verdict:
    to_goal = distance(moment.obj, moment.goal)
    return rewards_v1.verdict(rewards_v1.pick_and_place(moment, 0.04, to_goal), to_goal, 0.07)


PICK_PLACE = Family(
    scene="sawyer_pick_place_v3.xml",
    low=(-0.1, 0.6, 0.02, -0.1, 0.8, 0.05),
    high=(0.1, 0.7, 0.02, 0.1, 0.9, 0.3),
    min_distance=0.15,
    goal_low=(-0.1, 0.8, 0.05),
    goal_high=(0.1, 0.9, 0.3),
    sensors=puck.SENSORS,
    place=place_first,
    objects=puck.objects,
    remember=puck.remember_vector,
    reward=reward,
    reward_v1=reward_v1,
)

FAMILIES = {"pick-place-v3": PICK_PLACE}
