"""door-lock-v3 and door-unlock-v3: the bolt of a door's lock is turned down, or back to the side."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_joint, stay
from ..rewards import distance, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat, site
from .lever import shoulder_nearness

_LOCK_LENGTH = 0.1  # m
_SCALE = (0.25, 1.0, 0.5)  # how much the directions count on the way to the bolt


def lock(settled: Settled, vector: Array) -> Pose:
    return place_joint(settled, 1.5708)


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["bolt"], readings["door_quat"]])


def remember_lock(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": readings["lock"] + jnp.array([0.0, -0.04, -_LOCK_LENGTH])}


def remember_unlock(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"goal": readings["lock"] + jnp.array([_LOCK_LENGTH, -0.04, 0.0])}


def reward_lock(moment: Moment) -> Verdict:
    scale = jnp.array(_SCALE)
    away = distance(scale * moment.obj, scale * moment.readings["left_pad"])
    # The margin is the distance itself, since the package's `init_left_pad` is a view of where the pad is now.
    near = tolerance(away, (0.0, 0.01), away)
    return verdict(moment, away, near, hint=hamacher_product(moment.gripper_opening, near), axis=2)


def reward_unlock(moment: Moment) -> Verdict:
    # The package's `obj_init_pos` is a view of where the lock is now.
    away, near = shoulder_nearness(moment, moment.readings["lock"], _SCALE)
    return verdict(moment, away, near, hint=near, axis=0)


def verdict(moment: Moment, away: Array, near: Array, hint: Array, axis: int) -> Verdict:
    """The bolt goes to the goal along one axis, and a hint leads the gripper to it."""
    to_goal = jnp.abs(moment.goal[axis] - moment.obj[axis])
    pushed = tolerance(to_goal, (0.0, 0.005), _LOCK_LENGTH)
    return Verdict(
        reward=2.0 * hint + 8.0 * pushed,
        success=to_goal <= 0.02,
        near_object=away <= 0.05,
        grasp_success=moment.gripper_opening > 0,
        grasp_reward=near,
        in_place_reward=pushed,
        obj_to_target=to_goal,
    )


DOOR_LOCK = Family(
    scene="sawyer_door_lock.xml",
    low=(-0.1, 0.8, 0.15),
    high=(0.1, 0.85, 0.15),
    hand_low=(-0.5, 0.4, -0.15),
    goal_low=(-0.5, 0.4, -0.15),
    goal_high=(0.5, 1.0, 0.5),
    settle_steps=51,
    fixture="door",
    settles_per_task=True,  # the hand leans on the lock
    observes_before_placing=True,
    sensors={"bolt": site("lockStartLock"), "lock": body("lock_link"), "door_quat": body_quat("door_link")},
    place=stay,
    objects=objects,
    remember=remember_lock,
    reward=reward_lock,
)

DOOR_UNLOCK = DOOR_LOCK._replace(
    goal_low=(0.0, 0.64, 0.21),
    goal_high=(0.2, 0.7, 0.2111),
    settle_steps=50,
    observes_before_placing=False,
    sensors=DOOR_LOCK.sensors | {"bolt": site("lockStartUnlock")},
    place=lock,
    remember=remember_unlock,
    reward=reward_unlock,
)

FAMILIES = {"door-lock-v3": DOOR_LOCK, "door-unlock-v3": DOOR_UNLOCK}
