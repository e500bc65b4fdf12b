"""door-open-v3: a door is pulled open by its handle."""

import math

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint, scipy_quat
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, geom, geom_quat, joint


def close_door(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, 0.0)


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["handle"], scipy_quat(readings["handle_quat"])])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": vector + jnp.array([-0.3, -0.45, 0.0])}


def reward(moment: Moment) -> Verdict:
    effort = (jnp.clip(moment.action[3], -1.0, 1.0) + 1.0) / 2.0
    ready = ready_to_open(moment.hand, moment.obj + jnp.array([-0.05, 0.0, 0.0]))
    angle = -moment.readings["hinge"]
    opened = 0.2 * (angle > math.pi / 90) + 0.8 * tolerance(math.pi / 2 + math.pi / 6 - angle, (0.0, 0.5), math.pi / 3)
    success = jnp.abs(moment.obj[0] - moment.goal[0]) <= 0.08
    return Verdict(
        reward=jnp.where(success, 10.0, 2.0 * hamacher_product(ready, effort) + 8.0 * opened),
        success=success,
        near_object=ready,
        grasp_success=effort >= 0.5,
        grasp_reward=effort,
        in_place_reward=opened,
        obj_to_target=0.0,
    )


def ready_to_open(hand: Array, door: Array) -> Array:
    """The hand comes between handle and door, from above a funnel around the handle so that it does not run into it."""
    threshold = 0.12
    radius = distance(hand[:2], door[:2])
    outside = radius > threshold
    floor = jnp.where(outside, 0.04 * jnp.log(jnp.where(outside, radius - threshold, 1.0)) + 0.4, 0.0)
    above_floor = jnp.where(hand[2] >= floor, 1.0, tolerance(floor - hand[2], (0.0, 0.01), floor / 2.0))
    in_place = tolerance(distance(hand, door + jnp.array([0.05, 0.03, -0.01])), (0.0, threshold / 2.0), 0.5)
    return hamacher_product(above_floor, in_place)


DOOR_OPEN = Family(
    scene="sawyer_door_pull.xml",
    low=(0.0, 0.85, 0.15),
    high=(0.1, 0.95, 0.15),
    goal_low=(-0.3, 0.4, 0.1499),
    goal_high=(-0.2, 0.5, 0.1501),
    fixture="door",
    sensors={"handle": geom("handle"), "handle_quat": geom_quat("handle"), "hinge": joint("doorjoint")},
    place=close_door,
    objects=objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"door-open-v3": DOOR_OPEN}
