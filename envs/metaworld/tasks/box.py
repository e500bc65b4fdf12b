"""box-close-v3: a lid is lifted by its handle and put onto a box."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_object
from ..rewards import distance, funnel, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat
from .tools import LYING, held_level

_LID_HEIGHT = 0.02  # where the lid begins, m
_HANDLE = (0.0, 0.0, 0.02)  # where to take the lid, seen from its frame, m


def place(settled: Settled, vector: Array) -> Pose:
    return place_object(settled, jnp.append(vector[:2], _LID_HEIGHT))


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["lid"], readings["lid_quat"]])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": vector[3:]}


def reward(moment: Moment) -> Verdict:
    effort = (jnp.clip(moment.action[3], -1.0, 1.0) + 1.0) / 2.0
    handle = moment.obj + jnp.array(_HANDLE)
    ready = ready_to_lift(moment.hand, handle)
    error = (moment.goal - handle) * jnp.array([1.0, 1.0, 3.0])  # height counts more
    lifted = 0.2 * (handle[2] > 0.04) + 0.8 * tolerance(jnp.linalg.norm(error), (0.0, 0.05), 0.25)
    success = distance(moment.obj, moment.goal) < 0.08
    total = jnp.where(success, 10.0, 2.0 * hamacher_product(effort, ready) + 8.0 * lifted)
    return Verdict(
        reward=total * held_level(moment.obs[7:11], LYING, slack=0.2),
        success=success,
        near_object=ready,
        grasp_success=effort >= 0.5,
        grasp_reward=effort,
        in_place_reward=lifted,
        obj_to_target=0.0,
    )


def ready_to_lift(hand: Array, handle: Array) -> Array:
    """The hand comes to the handle, from above a funnel around it so that it does not run into it."""
    floor = funnel(distance(hand[:2], handle[:2]), 0.02, 0.04, 0.4)
    above_floor = tolerance(jnp.maximum(floor - hand[2], 0.0), (0.0, 0.01), floor / 2.0)
    return hamacher_product(above_floor, tolerance(distance(hand, handle), (0.0, 0.02), 0.5))


BOX_CLOSE = Family(
    scene="sawyer_box.xml",
    low=(-0.05, 0.5, 0.02, -0.1, 0.7, 0.133),
    high=(0.05, 0.55, 0.02, 0.1, 0.8, 0.133),
    min_distance=0.25,
    goal_low=(-0.1, 0.7, 0.133),
    goal_high=(0.1, 0.8, 0.133),
    fixture="boxbody",
    fixture_pos=lambda vector: jnp.append(vector[3:5], 0.0),
    settle_steps=51,
    settles_per_task=True,  # the lid falls onto the box
    sensors={"lid": body("top_link"), "lid_quat": body_quat("top_link")},
    place=place,
    objects=objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"box-close-v3": BOX_CLOSE}
