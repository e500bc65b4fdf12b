"""door-open-v3 and door-close-v3: a door is pulled open by its handle, or pushed shut."""

import functools
import math

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint, scipy_quat
from ..rewards import distance, funnel, hamacher_product, tolerance
from ..scenes import Readings, Settled, geom, geom_quat, joint

_TARGET_RADIUS = 0.05
_CLOSED, _OPEN = 0.0, -1.5708  # angles of the hinge, rad
_TO_OPEN = (-0.3, -0.45, 0.0)  # where the handle has to go, from the task vector, m
_TO_CLOSED = (0.2, -0.2, 0.0)
_WAY_OPEN, _WAY_CLOSED = 0.547529677, 0.564114559  # from where the handle begins to the goal, in x and y, m


def place(settled: Settled, vector: Array, *, angle: float) -> Pose:
    return place_joint(settled, angle)


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["handle"], scipy_quat(readings["handle_quat"])])


def remember(vector: Array, readings: Readings, settled: Settled, *, to_goal: tuple) -> Memory:
    return {"goal": vector + jnp.array(to_goal)}


def reward_open(moment: Moment) -> Verdict:
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
    floor = funnel(distance(hand[:2], door[:2]), threshold, slope=0.04, height=0.4)
    above_floor = jnp.where(hand[2] >= floor, 1.0, tolerance(floor - hand[2], (0.0, 0.01), floor / 2.0))
    in_place = tolerance(distance(hand, door + jnp.array([0.05, 0.03, -0.01])), (0.0, threshold / 2.0), 0.5)
    return hamacher_product(above_floor, in_place)


def reward_close(moment: Moment) -> Verdict:
    to_goal = distance(moment.obj, moment.goal)
    closed = tolerance(to_goal, (0.0, _TARGET_RADIUS), math.hypot(*_TO_CLOSED), "gaussian")
    margin = distance(jnp.array(DOOR_CLOSE.hand_start), moment.obj) + 0.1
    tcp_to_goal = distance(moment.readings["tcp"], moment.goal)
    hand_in_place = tolerance(tcp_to_goal, (0.0, 0.25 * _TARGET_RADIUS), margin, "gaussian")
    return Verdict(
        reward=jnp.where(to_goal < _TARGET_RADIUS, 10.0, 3.0 * hand_in_place + 6.0 * closed),
        success=to_goal <= 0.08,
        near_object=0.0,
        grasp_success=1.0,
        grasp_reward=1.0,
        in_place_reward=hand_in_place,
        obj_to_target=to_goal,
    )


def pulled(moment: Moment, way: float) -> tuple[Array, Array]:
    """The distance of the handle from its goal, in x and y, and the reward of the first design, for a given `way` to go."""
    to_goal = distance(moment.obj[:2], moment.goal[:2])
    return to_goal, rewards_v1.reach_and_move(moment, rewards_v1.gain(to_goal, way))


def reward_open_v1(moment: Moment) -> Verdict:
    to_goal, total = pulled(moment, _WAY_OPEN)
    success = jnp.abs(moment.obj[0] - moment.goal[0]) <= 0.08
    return rewards_v1.verdict(total, to_goal, 0.08)._replace(success=success, near_object=0.0, obj_to_target=0.0)


def reward_close_v1(moment: Moment) -> Verdict:
    to_goal, total = pulled(moment, _WAY_CLOSED)
    return rewards_v1.verdict(total, to_goal, 0.08)._replace(near_object=0.0, grasp_success=1.0, grasp_reward=1.0)


DOOR_OPEN = Family(
    scene="sawyer_door_pull.xml",
    low=(0.0, 0.85, 0.15),
    high=(0.1, 0.95, 0.15),
    goal_low=(-0.3, 0.4, 0.1499),
    goal_high=(-0.2, 0.5, 0.1501),
    fixture="door",
    sensors={"handle": geom("handle"), "handle_quat": geom_quat("handle"), "hinge": joint("doorjoint")},
    place=functools.partial(place, angle=_CLOSED),
    objects=objects,
    remember=functools.partial(remember, to_goal=_TO_OPEN),
    reward=reward_open,
    reward_v1=reward_open_v1,
)

DOOR_CLOSE = DOOR_OPEN._replace(
    hand_start=(-0.5, 0.6, 0.2),
    goal_low=(0.2, 0.65, 0.1499),
    goal_high=(0.3, 0.75, 0.1501),
    sensors={"handle": geom("handle"), "handle_quat": geom_quat("handle")},
    place=functools.partial(place, angle=_OPEN),
    remember=functools.partial(remember, to_goal=_TO_CLOSED),
    reward=reward_close,
    reward_v1=reward_close_v1,
)

FAMILIES = {"door-close-v3": DOOR_CLOSE, "door-open-v3": DOOR_OPEN}
