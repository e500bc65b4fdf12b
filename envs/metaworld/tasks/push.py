"""push-v3: a puck is pushed to a point of the table; push-back-v3: a block, towards the robot."""

from functools import partial

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Verdict
from ..rewards import distance, gripper_caging, hamacher_product
from ..scenes import Readings, Settled
from . import puck


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": puck.on_table(settled, vector[:2]), "goal": puck.on_table(settled, vector[3:5])}


def reward(moment: Moment) -> Verdict:
    placed = puck.in_place(moment)
    grasped = gripper_caging(moment, moment.obj, puck.GRIP)
    total = jnp.where(puck.near(moment, 0.02), 1.0 + 4.0 * grasped + 5.0 * placed, 2.0 * grasped)
    return puck.verdict(moment, total, placed, grasped, puck.TARGET_RADIUS)


def reward_back(moment: Moment) -> Verdict:
    placed = puck.in_place(moment)
    grasped = puck.pinching(moment, obj_radius=0.007, slack=0.003, xz_thresh=0.01)
    covered = distance(moment.memory["obj"], moment.goal) - distance(moment.obj, moment.goal)
    pushing = puck.near(moment, 0.01) & (moment.gripper_opening < 0.55) & (covered > 0.01)
    total = hamacher_product(grasped, placed) + jnp.where(pushing, 1.0 + 5.0 * placed, 0.0)
    return puck.verdict(moment, total, placed, grasped)


def reward_v1(moment: Moment, *, success_radius: float) -> Verdict:
    """The puck's height does not count."""
    goal = moment.goal[:2]
    to_goal = distance(moment.obj[:2], goal)
    pushed = rewards_v1.gain(to_goal, distance(moment.memory["obj"][:2], goal))
    return rewards_v1.verdict(rewards_v1.reach_and_move(moment, pushed), to_goal, success_radius)


PUSH = Family(
    scene="sawyer_push_v3.xml",
    low=(-0.1, 0.6, 0.02, -0.1, 0.8, 0.01),
    high=(0.1, 0.7, 0.02, 0.1, 0.9, 0.02),
    min_distance=0.15,
    goal_low=(-0.1, 0.8, 0.01),
    goal_high=(0.1, 0.9, 0.02),
    sensors=puck.SENSORS,
    place=puck.place_on_table,
    objects=puck.objects,
    remember=remember,
    reward=reward,
    reward_v1=partial(reward_v1, success_radius=puck.TARGET_RADIUS),
)

PUSH_BACK = PUSH._replace(
    scene="sawyer_push_back_v3.xml",
    low=(-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199),
    high=(0.1, 0.85, 0.02, 0.1, 0.7, 0.0201),
    goal_low=(-0.1, 0.6, 0.0199),
    goal_high=(0.1, 0.7, 0.0201),
    reward=reward_back,
    reward_v1=partial(reward_v1, success_radius=0.07),
)

FAMILIES = {"push-v3": PUSH, "push-back-v3": PUSH_BACK}
