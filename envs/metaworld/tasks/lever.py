"""lever-pull-v3: a lever is pulled up by the gripper's shoulder."""

import math

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Verdict, scipy_quat, stay
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, geom_quat, joint, site

_LEVER_RADIUS = 0.2
_AXIS = (0.12, 0.0, 0.25)  # of the lever, from the task vector, m
_SCALE = (4.0, 1.0, 4.0)  # the shoulder comes under the lever before it goes at it
_SHOULDER = (0.0, 0.055, 0.07)  # of the gripper, from the hand, m
_UPRIGHT = math.pi / 2  # rad


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["lever"], scipy_quat(readings["lever_quat"])])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """`first` is the end of the lever lying down, the goal that of the lever standing up."""
    axis = vector + jnp.array(_AXIS)
    first = axis - jnp.array([0.0, _LEVER_RADIUS, 0.0])
    return {"first": first, "goal": axis + jnp.array([0.0, 0.0, _LEVER_RADIUS])}


def reward(moment: Moment) -> Verdict:
    away, ready = shoulder_nearness(moment, moment.memory["first"], _SCALE)
    in_place = tolerance(distance(moment.obj, moment.goal), (0.0, 0.04), math.hypot(_LEVER_RADIUS, _LEVER_RADIUS))
    off_upright = jnp.abs(-moment.readings["angle"] - _UPRIGHT)
    return Verdict(
        reward=10.0 * hamacher_product(ready, in_place),
        success=off_upright <= math.pi / 24,
        near_object=away < 0.03,
        grasp_success=ready > 0.9,
        grasp_reward=ready,
        in_place_reward=tolerance(off_upright, (0.0, math.pi / 48), _UPRIGHT - math.pi / 12),
        obj_to_target=away,
    )


def reward_v1(moment: Moment) -> Verdict:
    """The package measures the way from the task vector, and compares a distance in m with an angle in rad."""
    to_goal = distance(moment.obj, moment.goal)
    way = math.hypot(_AXIS[0], _AXIS[2] + _LEVER_RADIUS)
    total = rewards_v1.reach_and_move(moment, rewards_v1.gain(to_goal, way))
    return rewards_v1.verdict(total, to_goal, math.pi / 24)._replace(obj_to_target=0.0)


def shoulder_nearness(moment: Moment, first: Array, scale: tuple) -> tuple[Array, Array]:
    """How far the gripper's shoulder is from the object, and a reward for being near it.

    Args:
      moment: the control step.
      first: where the object was at first, `[3]`, m.
      scale: how much the three directions count.
    """
    shoulder, weights = jnp.array(_SHOULDER), jnp.array(scale)
    away = distance(weights * (moment.hand + shoulder), weights * moment.obj)
    margin = distance(weights * (moment.settled.readings["tcp"] + shoulder), weights * first)
    return away, tolerance(away, (0.0, 0.02), margin)


LEVER_PULL = Family(
    scene="sawyer_lever_pull.xml",
    low=(-0.1, 0.7, 0.0),
    high=(0.1, 0.8, 0.0),
    hand_start=(0.0, 0.4, 0.2),
    hand_low=(-0.5, 0.4, -0.15),
    goal_low=(-0.5, 0.4, -0.15),
    goal_high=(0.5, 1.0, 0.5),
    fixture="lever",
    observes_before_placing=True,
    sensors={"lever": site("leverStart"), "lever_quat": geom_quat("objGeom"), "angle": joint("LeverAxis")},
    place=stay,
    objects=objects,
    remember=remember,
    reward=reward,
    reward_v1=reward_v1,
)

FAMILIES = {"lever-pull-v3": LEVER_PULL}
