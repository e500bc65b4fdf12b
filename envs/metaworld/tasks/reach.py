"""reach-v3: the finger tips go to a point; reach-wall-v3: past a wall."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Verdict, place_first
from ..rewards import distance, tolerance
from ..scenes import Readings, Settled, body, geom_quat
from . import puck


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": vector[3:]}


def reward(moment: Moment) -> Verdict:
    to_goal = distance(moment.readings["tcp"], moment.goal)
    margin = distance(jnp.array(REACH.hand_start), moment.goal)
    in_place = tolerance(to_goal, (0.0, 0.05), margin)
    return Verdict(
        reward=10.0 * in_place,
        success=to_goal <= 0.05,
        near_object=to_goal,
        grasp_success=1.0,
        grasp_reward=to_goal,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def reward_v1(moment: Moment) -> Verdict:
    to_goal = distance(moment.readings["tcp"], moment.goal)
    gain = rewards_v1.gain(to_goal, distance(moment.settled.readings["tcp"], moment.goal))
    verdict = rewards_v1.verdict(gain, to_goal, 0.05)
    return verdict._replace(near_object=to_goal, grasp_success=1.0, grasp_reward=to_goal)


def past_wall(reward: Callable[[Moment], Verdict], moment: Moment) -> Verdict:
    return reward(moment)._replace(near_object=0.0, grasp_success=0.0, grasp_reward=0.0)


REACH = Family(
    scene="sawyer_reach_v3.xml",
    low=(-0.1, 0.6, 0.02, -0.1, 0.8, 0.05),
    high=(0.1, 0.7, 0.02, 0.1, 0.9, 0.3),
    min_distance=0.15,
    goal_low=(-0.1, 0.8, 0.05),
    goal_high=(0.1, 0.9, 0.3),
    sensors={"obj": body("obj"), "obj_quat": geom_quat("objGeom")},
    place=place_first,
    objects=puck.objects,
    remember=remember,
    reward=reward,
    reward_v1=reward_v1,
)

REACH_WALL = REACH._replace(
    scene="sawyer_reach_wall_v3.xml",
    low=(-0.05, 0.6, 0.015, -0.05, 0.85, 0.05),
    high=(0.05, 0.65, 0.015, 0.05, 0.9, 0.3),
    goal_low=(-0.05, 0.85, 0.05),
    goal_high=(0.05, 0.9, 0.3),
    reward=partial(past_wall, reward),
    reward_v1=partial(past_wall, reward_v1),
)

FAMILIES = {"reach-v3": REACH, "reach-wall-v3": REACH_WALL}
