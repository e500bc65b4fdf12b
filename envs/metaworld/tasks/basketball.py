"""basketball-v3: a ball is lifted and dropped through a hoop."""

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_object
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat, site
from . import puck

_TARGET_RADIUS = 0.08
_TARGET_HEIGHT = 0.3  # slightly above the hoop
_GRIP = Grip(obj_radius=0.025, pad_success_thresh=0.06, xz_thresh=0.005, density="high")


def place(settled: Settled, vector: Array) -> Pose:
    return place_object(settled, _start(vector))


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """The package's `_target_pos` is a view of the hoop's site, which does not move within an episode."""
    return {"obj": _start(vector), "goal": readings["hoop"]}


def _start(vector: Array) -> Array:
    """The height in the task vector is ignored."""
    return vector[:3].at[2].set(0.03)


def reward(moment: Moment) -> Verdict:
    obj = moment.obj
    target = moment.goal.at[2].set(_TARGET_HEIGHT)
    to_target = stretched_distance(obj, target)
    in_place = tolerance(to_target, (0.0, _TARGET_RADIUS), stretched_distance(moment.memory["obj"], target))

    held = puck.near(moment, 0.035) & puck.lifted(moment, 0.01)
    grasped = jnp.where(held, 1.0, gripper_caging(moment, obj, _GRIP))
    total = hamacher_product(grasped, in_place) + jnp.where(held, 1.0 + 5.0 * in_place, 0.0)
    return Verdict(
        reward=jnp.where(to_target < _TARGET_RADIUS, 10.0, total),
        success=to_target <= _TARGET_RADIUS,
        near_object=distance(obj, moment.readings["tcp"]) <= 0.05,
        grasp_success=(moment.gripper_opening > 0) & puck.lifted(moment, 0.03),
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_target,
    )


def reward_v1(moment: Moment) -> Verdict:
    to_goal = distance(moment.obj, moment.goal)
    return rewards_v1.verdict(rewards_v1.pick_and_place(moment, 0.3, to_goal), to_goal, _TARGET_RADIUS)


def stretched_distance(a: Array, b: Array) -> Array:
    """Missing the height counts twice."""
    return jnp.linalg.norm((a - b) * jnp.array([1.0, 1.0, 2.0]))


BASKETBALL = Family(
    scene="sawyer_basketball.xml",
    low=(-0.1, 0.6, 0.0299, -0.1, 0.85, 0.0),
    high=(0.1, 0.7, 0.0301, 0.1, 0.9 + 1e-7, 0.0),
    min_distance=0.15,
    goal_low=(-0.1, 0.85 - 0.083, 0.2499),
    goal_high=(0.1, 0.9 + 1e-7 - 0.083, 0.2501),
    fixture="basket_goal",
    fixture_pos=lambda vector: vector[3:],
    sensors={"obj": body("bsktball"), "obj_quat": body_quat("bsktball"), "hoop": site("goal")},
    place=place,
    objects=puck.wxyz_objects,
    remember=remember,
    reward=reward,
    reward_v1=reward_v1,
)

FAMILIES = {"basketball-v3": BASKETBALL}
