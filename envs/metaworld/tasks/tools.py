"""assembly-v3, disassemble-v3 and hammer-v3: a tool is lifted by its handle, and its head brought to a place."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Verdict, place_first
from ..rewards import Grip, distance, funnel, gripper_caging, tolerance
from ..scenes import Readings, Settled, body, body_quat, joint, site

LYING = (0.707, 0.0, 0.0, 0.707)  # orientation (w, x, y, z) of a wrench, and of a lid, that is held level
_IN_PLACE = (0.0, 0.02)  # distances at which a head is in place, m
_LIFTED = 0.02  # height from which a head is lifted, m


class Tool(NamedTuple):
    """What the rewards of tools differ in."""

    handle_length: float  # m
    orientation: tuple[float, float, float, float]  # as it should be held
    grip: Grip
    least_reward: float = -math.inf  # success counts above it alone


_WRENCH_GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.02, xz_thresh=0.01, density="high")
_ASSEMBLED = Tool(handle_length=0.02, orientation=LYING, grip=_WRENCH_GRIP._replace(density="medium"))
_DISASSEMBLED = Tool(handle_length=0.02, orientation=LYING, grip=_WRENCH_GRIP)
_HAMMER = Tool(handle_length=0.14, orientation=(1.0, 0.0, 0.0, 0.0), grip=_WRENCH_GRIP, least_reward=5.0)


def held_level(quat: Array, orientation: tuple, slack: float) -> Array:
    """1 in the given orientation, falling to 0 at an error of `slack`."""
    return jnp.maximum(1.0 - distance(quat, jnp.array(orientation)) / slack, 0.0)


def hold_handle(moment: Moment, tool: Tool) -> Array:
    """How well the handle is gripped; along it, in x, anywhere will do."""
    handle_x, hand_x = moment.obj[0], moment.hand[0]
    at_handle = jnp.abs(handle_x - hand_x) < tool.handle_length / 2
    return gripper_caging(moment, moment.obj.at[0].set(jnp.where(at_handle, hand_x, handle_x)), tool.grip)


def verdict(moment: Moment, tool: Tool, in_place: Array, success: Array) -> Verdict:
    grasped = hold_handle(moment, tool)
    level = held_level(moment.obs[7:11], tool.orientation, slack=0.4)
    total = (2.0 * grasped + 6.0 * in_place) * level
    return Verdict(
        reward=jnp.where(success & (total > tool.least_reward), 10.0, total),
        success=success,
        near_object=level,
        grasp_success=grasped >= 0.5,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=0.0,
    )


def bring_head(head: Array, target: Array) -> Array:
    """A little for lifting the head, the rest for bringing it to `target`."""
    return 0.1 * (head[2] > _LIFTED) + 0.9 * tolerance(distance(head, target), _IN_PLACE, 0.2)


def wrench(readings: Readings) -> Array:
    return jnp.concatenate([readings["handle"], readings["quat"]])


def remember_assembly(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": vector[:3], "goal": vector[3:]}


def reward_assembly(moment: Moment) -> Verdict:
    ring = moment.readings["ring"]
    offset = moment.goal - ring
    radius = jnp.linalg.norm(offset[:2])
    success = (radius < 0.02) & (offset[2] > 0.0)  # the ring is around the peg, and below its top
    threshold = jnp.where(success, 0.02, 0.01)
    # From the side the ring has to come over a funnel around the peg; errors in height weigh three times.
    error = jnp.append(offset[:2], 3.0 * (funnel(radius, threshold, 0.02, 0.2) - ring[2]))
    lifted = (ring[2] > _LIFTED) | (radius < threshold)
    in_place = 0.1 * lifted + 0.9 * tolerance(jnp.linalg.norm(error), _IN_PLACE, 0.4)
    return verdict(moment, _ASSEMBLED, in_place, success)


def remember_disassemble(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": vector[:3], "goal": vector[:3] + jnp.array([0.0, 0.0, 0.15])}


def reward_disassemble(moment: Moment) -> Verdict:
    in_place = bring_head(moment.readings["ring"], moment.goal + jnp.array([0.0, 0.0, 0.1]))
    return verdict(moment, _DISASSEMBLED, in_place, success=moment.obj[2] > moment.goal[2])


def hammer_and_nail(readings: Readings) -> Array:
    return jnp.concatenate([readings[key] for key in ("hammer", "hammer_quat", "nail", "nail_quat")])


def remember_hammer(vector: Array, readings: Readings, settled: Settled) -> Memory:
    return {"obj": vector, "goal": jnp.array([0.24, 0.74, 0.11])}


def reward_hammer(moment: Moment) -> Verdict:
    in_place = bring_head(moment.obj + jnp.array([0.16, 0.06, 0.0]), moment.goal)
    return verdict(moment, _HAMMER, in_place, success=moment.readings["depth"] > 0.09)


_WRENCH_SENSORS = {"handle": site("RoundNut-8"), "ring": site("RoundNut"), "quat": body_quat("RoundNut")}

ASSEMBLY = Family(
    scene="sawyer_assembly_peg.xml",
    low=(0.0, 0.6, 0.02, -0.1, 0.75, 0.1),
    high=(0.0, 0.6, 0.02, 0.1, 0.85, 0.1),
    min_distance=0.1,
    goal_low=(-0.1, 0.75, 0.1),
    goal_high=(0.1, 0.85, 0.1),
    fixture="peg",
    fixture_pos=lambda vector: vector[3:] - jnp.array([0.0, 0.0, 0.05]),
    sensors=_WRENCH_SENSORS,
    place=place_first,
    objects=wrench,
    remember=remember_assembly,
    reward=reward_assembly,
)

DISASSEMBLE = Family(
    scene="sawyer_assembly_peg.xml",
    low=(0.0, 0.6, 0.025, -0.1, 0.6, 0.1699),
    high=(0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701),
    min_distance=0.1,
    goal_low=(-0.1, 0.6, 0.1749),
    goal_high=(0.1, 0.75, 0.1751),
    hand_start=(0.0, 0.4, 0.2),
    fixture="peg",
    fixture_pos=lambda vector: vector[:3] + jnp.array([0.0, 0.0, 0.03]),
    settles_per_task=True,  # the peg may stand where the wrench lies
    sensors=_WRENCH_SENSORS,
    place=place_first,
    objects=wrench,
    remember=remember_disassemble,
    reward=reward_disassemble,
)

HAMMER = Family(
    scene="sawyer_hammer.xml",
    low=(-0.1, 0.4, 0.0),
    high=(0.1, 0.5, 0.0),
    goal_low=(0.2399, 0.7399, 0.109),
    goal_high=(0.2401, 0.7401, 0.111),
    hand_start=(0.0, 0.4, 0.2),
    sensors={
        "hammer": body("hammer"),
        "hammer_quat": body_quat("hammer"),
        "nail": body("nail_link"),
        "nail_quat": body_quat("nail_link"),
        "depth": joint("NailSlideJoint"),
    },
    place=place_first,
    objects=hammer_and_nail,
    remember=remember_hammer,
    reward=reward_hammer,
)

FAMILIES = {"assembly-v3": ASSEMBLY, "disassemble-v3": DISASSEMBLE, "hammer-v3": HAMMER}
