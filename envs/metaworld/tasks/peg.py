"""peg-insert-side-v3 and peg-unplug-side-v3: a peg goes sideways into a hole, a plug out of its socket."""

import jax.numpy as jnp

from ....types import Array
from .. import rewards_v1
from ..family import Family, Memory, Moment, Pose, Verdict, place_first, scipy_quat
from ..rewards import Grip, distance, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, body_quat, site, site_quat

_SUCCESS_RADIUS = 0.07
_OUT_RADIUS = 0.05  # within it the plug's reward is complete
_PEG_GRIP = Grip(obj_radius=0.0075, pad_success_thresh=0.03, xz_thresh=0.005, density="high")
_PLUG_GRIP = Grip(
    obj_radius=0.025, pad_success_thresh=0.05, xz_thresh=0.005, desired_gripper_effort=0.8, density="high"
)
_FROM_HOLE = (1.0, 2.0, 2.0)  # weights of the distance between the peg's head and the hole
_HOLE = (0.03, 0.0, 0.13)  # seen from the box, m
_SOCKET = (0.044, 0.0, 0.131)  # where the plug begins, seen from the wall, m
_OUT = (0.15, 0.0, 0.0)  # where the plug has to go, seen from the socket, m


def peg(readings: Readings) -> Array:
    return jnp.concatenate([readings["grasp"], scipy_quat(readings["quat"])])


def remember_insert(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """The package reads where the peg's head begins before it places the peg."""
    return {"obj": vector[:3], "head": settled.readings["head"], "goal": vector[3:] + jnp.array(_HOLE)}


def reward_insert(moment: Moment) -> Verdict:
    obj, readings, weights = moment.obj, moment.readings, jnp.array(_FROM_HOLE)
    tcp_to_obj = distance(obj, readings["tcp"])
    to_goal = distance(readings["head"] * weights, moment.goal * weights)
    margin = distance(moment.memory["head"] * weights, moment.goal * weights)
    beside_box = hamacher_product(
        inside_prism(readings["head"], readings["upper_near"], readings["upper_far"]),
        inside_prism(readings["head"], readings["lower_near"], readings["lower_far"]),
    )
    in_place = hamacher_product(tolerance(to_goal, (0.0, _SUCCESS_RADIUS), margin), beside_box)
    lifted = (moment.gripper_opening > 0) & (obj[2] - 0.01 > moment.memory["obj"][2])
    held = lifted & (tcp_to_obj < 0.08)
    grasped = jnp.where(held, 1.0, gripper_caging(moment, obj, _PEG_GRIP))
    total = hamacher_product(grasped, in_place) + jnp.where(held, 1.0 + 5.0 * in_place, 0.0)
    success = to_goal <= _SUCCESS_RADIUS
    return Verdict(
        reward=jnp.where(success, 10.0, total),
        success=success,
        near_object=tcp_to_obj <= 0.03,
        grasp_success=lifted & (tcp_to_obj < 0.02),
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def reward_insert_v1(moment: Moment) -> Verdict:
    """The peg's head is brought to the hole; once it is there, the rest of the peg."""
    to_goal = distance(moment.obj, moment.goal)
    head_to_goal = distance(moment.readings["head"], moment.goal)
    placing = jnp.where(head_to_goal <= 0.05, to_goal, head_to_goal)
    total = rewards_v1.pick_and_place(moment, 0.11, placing, height_weight=1.0)
    return rewards_v1.verdict(total, to_goal, _SUCCESS_RADIUS)


def inside_prism(point: Array, zero: Array, one: Array) -> Array:
    """Within the box that two corners span, from 0 at `zero` to 1 at `one`; 1 outside. `[3]` each."""
    shares = (point - zero) / (one - zero)
    inside = ((shares >= 0.0) & (shares <= 1.0)).all()
    return jnp.where(inside, shares.prod(), 1.0)


def plug_in(settled: Settled, vector: Array) -> Pose:
    """The package stops the plug, but lets it turn on as it did when it settled."""
    pose = jnp.concatenate([vector + jnp.array(_SOCKET), jnp.array([1.0, 0.0, 0.0, 0.0])])
    return Pose(settled.qpos.at[9:16].set(pose), settled.qvel.at[9:12].set(0.0))


def plug(readings: Readings) -> Array:
    return jnp.concatenate([readings["end"], readings["quat"]])


def remember_unplug(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": readings["end"], "goal": vector + jnp.array(_SOCKET) + jnp.array(_OUT)}


def reward_unplug(moment: Moment) -> Verdict:
    obj, first = moment.obj, moment.memory["obj"]
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    to_goal = distance(obj, moment.goal)
    grasped = gripper_caging(moment, obj, _PLUG_GRIP)
    in_place = tolerance(to_goal, (0.0, _OUT_RADIUS), distance(first, moment.goal))
    pulled = (moment.gripper_opening > 0.5) & (obj[0] - first[0] > 0.015)
    total = 2.0 * grasped + jnp.where(pulled & (tcp_to_obj < 0.035), 1.0 + 5.0 * in_place, 0.0)
    return Verdict(
        reward=jnp.where(to_goal <= _OUT_RADIUS, 10.0, total),
        success=to_goal <= _SUCCESS_RADIUS,
        near_object=tcp_to_obj <= 0.03,
        grasp_success=pulled,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


PEG_INSERT_SIDE = Family(
    scene="sawyer_peg_insertion_side.xml",
    low=(0.0, 0.5, 0.02, -0.35, 0.4, -0.001),
    high=(0.2, 0.7, 0.02, -0.25, 0.7, 0.001),
    min_distance=0.1,
    goal_low=(-0.32, 0.4, 0.129),
    goal_high=(-0.22, 0.7, 0.131),
    fixture="box",
    fixture_pos=lambda vector: vector[3:],
    sensors={
        "grasp": site("pegGrasp"),
        "quat": site_quat("pegGrasp"),
        "head": site("pegHead"),
        "lower_near": site("bottom_right_corner_collision_box_1"),
        "lower_far": site("top_left_corner_collision_box_1"),
        "upper_near": site("bottom_right_corner_collision_box_2"),
        "upper_far": site("top_left_corner_collision_box_2"),
    },
    place=place_first,
    objects=peg,
    remember=remember_insert,
    reward=reward_insert,
    reward_v1=reward_insert_v1,
)

PEG_UNPLUG_SIDE = Family(
    scene="sawyer_peg_unplug_side.xml",
    low=(-0.25, 0.6, -0.001),
    high=(-0.15, 0.8, 0.001),
    goal_low=(-0.056, 0.6, 0.13),
    goal_high=(0.044, 0.8, 0.132),
    fixture="box",
    settles_per_task=True,  # the plug falls from the wall, and is thrown where the two overlap
    sensors={"end": site("pegEnd"), "quat": body_quat("plug1")},
    place=plug_in,
    objects=plug,
    remember=remember_unplug,
    reward=reward_unplug,
)

FAMILIES = {"peg-insert-side-v3": PEG_INSERT_SIDE, "peg-unplug-side-v3": PEG_UNPLUG_SIDE}
