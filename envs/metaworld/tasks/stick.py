"""stick-push-v3 and stick-pull-v3: a stick is taken up, and a thermos moved with it."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Pose, Verdict, place_object, scipy_quat
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat, pad_forces, site

_STICK_HEIGHT = 0.02  # m
_SUCCESS_RADIUS = 0.12
_PUSH_GRIP = Grip(obj_radius=0.04, pad_success_thresh=0.05, xz_thresh=0.01, density="high")
_PULL_GRIP = Grip(obj_radius=0.014, pad_success_thresh=0.05, xz_thresh=0.01, density="high")


def place(settled: Settled, vector: Array, thermos: tuple[float, float]) -> Pose:
    """The thermos keeps its velocity in x, as in the package."""
    pose = place_object(settled, on_table(vector[:2]))
    return Pose(pose.qpos.at[16:18].set(jnp.array(thermos)), pose.qvel.at[16].set(0.0))


def on_table(xy: Array) -> Array:
    return jnp.append(xy, _STICK_HEIGHT)


def observe(readings: Readings, second: Array) -> Array:
    """The package gives the second object a quaternion of zeros."""
    return jnp.concatenate([readings["stick"], scipy_quat(readings["stick_quat"]), second, jnp.zeros(4)])


def is_held(moment: Moment, tcp_to_stick: Array, first: Array) -> Array:
    """The stick is off the table, and the hand is at it."""
    return (tcp_to_stick < 0.02) & (moment.gripper_opening > 0) & (moment.obj[2] - 0.01 > first[2])


def place_push(settled: Settled, vector: Array) -> Pose:
    return place(settled, vector, (0.0, 0.0))


def objects_push(readings: Readings) -> Array:
    return observe(readings, readings["insertion"] + jnp.array([0.0, 0.09, 0.0]))


def remember_push(vector: Array, readings: Readings, settled: Settled) -> Memory:
    goal = jnp.append(vector[3:5], settled.readings["insertion"][2])
    return {"obj": on_table(vector[:2]), "thermos": readings["thermos"], "goal": goal}


def reward_push(moment: Moment) -> Verdict:
    memory, goal, bounds = moment.memory, moment.goal, (0.0, _SUCCESS_RADIUS)
    stick = moment.obj + jnp.array([0.015, 0.0, 0.0])
    tcp_to_stick = distance(stick, moment.readings["tcp"])
    margin = distance(memory["obj"], goal) - _SUCCESS_RADIUS
    stick_in_place = tolerance(distance(stick, goal), bounds, margin)
    to_goal = distance(moment.obs[11:14], goal)
    margin = distance(memory["thermos"], goal) - _SUCCESS_RADIUS
    thermos_in_place = tolerance(to_goal, bounds, margin)
    there = to_goal <= _SUCCESS_RADIUS
    held = is_held(moment, tcp_to_stick, memory["obj"])
    grasped = gripper_caging(moment, stick, _PUSH_GRIP)
    total = jnp.where(there, 10.0, 2.0 + 5.0 * stick_in_place + 3.0 * thermos_in_place)
    lifted = stick[2] - 0.01 > memory["obj"][2]
    grasp_success = moment.touching & (moment.gripper_opening > 0) & lifted
    return Verdict(
        reward=jnp.where(held, total, grasped),
        success=grasp_success & there,
        near_object=tcp_to_stick <= 0.03,
        grasp_success=grasp_success,
        grasp_reward=jnp.where(held, 1.0, grasped),
        in_place_reward=stick_in_place,
        obj_to_target=to_goal,
    )


def place_pull(settled: Settled, vector: Array) -> Pose:
    return place(settled, vector, (0.0, 0.09))


def objects_pull(readings: Readings) -> Array:
    return observe(readings, readings["insertion"])


def remember_pull(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """The package's gripping reward takes the thermos' first position for the stick's."""
    return {"obj": readings["thermos"], "stick": on_table(vector[:2]), "goal": on_table(vector[3:5])}


def reward_pull(moment: Moment) -> Verdict:
    stick, handle, goal, memory = moment.obj, moment.obs[11:14], moment.goal, moment.memory
    middle = jnp.array([0.05, 0.0, 0.0])  # of the container, seen from what stands for it
    container, weights, bounds = handle + middle, jnp.array([1.0, 1.0, 2.0]), (0.0, 0.05)
    tcp_to_stick, to_goal = distance(stick, moment.readings["tcp"]), distance(handle, goal)

    margin = distance(memory["stick"] * weights, (memory["obj"] + middle) * weights)
    in_container = tolerance(distance(stick * weights, container * weights), bounds, margin)
    stick_in_place = tolerance(distance(stick, goal), bounds, distance(memory["stick"], goal))
    container_in_place = tolerance(distance(container, goal), bounds, distance(memory["obj"], goal))

    held = is_held(moment, tcp_to_stick, memory["stick"])
    grasped = jnp.where(held, 1.0, gripper_caging(moment, stick, _PULL_GRIP))
    inserted = is_inserted(moment.readings["stick_end"], handle)
    there = to_goal <= _SUCCESS_RADIUS
    total = hamacher_product(grasped, in_container)
    pulling = jnp.where(there, 10.0, 6.0 + total + 2.0 * stick_in_place + container_in_place)
    lifted = stick[2] - 0.02 > memory["obj"][2]
    return Verdict(
        reward=jnp.where(held, jnp.where(inserted, pulling, 1.0 + total + 5.0 * in_container), total),
        success=there & inserted,
        near_object=tcp_to_stick <= 0.03,
        grasp_success=moment.touching & (moment.gripper_opening > 0) & lifted,
        grasp_reward=grasped,
        in_place_reward=in_container,
        obj_to_target=to_goal,
    )


def is_inserted(stick_end: Array, handle: Array) -> Array:
    """The stick's end is behind the handle, and within it in y and z."""
    apart = jnp.abs(stick_end - handle)
    return (stick_end[0] >= handle[0]) & (apart[1] <= 0.04) & (apart[2] <= 0.06)


_SENSORS = {
    "stick": body("stick"),
    "stick_quat": body_quat("stick"),
    "thermos": body("object"),
    "insertion": site("insertion"),
    **pad_forces("objGeom"),
}

STICK_PUSH = Family(
    scene="sawyer_stick_obj.xml",
    low=(-0.08, 0.58, 0.0, 0.399, 0.55, 0.1319),
    high=(-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321),
    min_distance=0.1,
    goal_low=(0.399, 0.55, 0.1319),
    goal_high=(0.401, 0.6, 0.1321),
    sensors=_SENSORS,
    place=place_push,
    objects=objects_push,
    remember=remember_push,
    reward=reward_push,
)

STICK_PULL = Family(
    scene="sawyer_stick_obj.xml",
    low=(-0.1, 0.55, 0.0, 0.35, 0.45, 0.0199),
    high=(0.0, 0.65, 0.001, 0.45, 0.55, 0.0201),
    min_distance=0.1,
    goal_low=(0.35, 0.45, 0.0199),
    goal_high=(0.45, 0.55, 0.0201),
    hand_low=(-0.5, 0.35, 0.05),
    sensors={**_SENSORS, "stick_end": site("stick_end")},
    place=place_pull,
    objects=objects_pull,
    remember=remember_pull,
    reward=reward_pull,
)

FAMILIES = {"stick-pull-v3": STICK_PULL, "stick-push-v3": STICK_PUSH}
