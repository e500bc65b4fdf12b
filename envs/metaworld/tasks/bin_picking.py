"""bin-picking-v3: a cube is carried from one bin to another."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Verdict
from ..rewards import Grip, distance, funnel, gripper_caging, hamacher_product, tolerance
from ..scenes import Readings, Settled, body, body_quat
from . import puck

_GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.05, xz_thresh=0.01, desired_gripper_effort=0.7, density="high")


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """The package's `_target_pos` is a view of the other bin's position, which never changes."""
    return {"obj": puck.on_table(settled, vector[:2]), "goal": readings["other_bin"]}


def reward(moment: Moment) -> Verdict:
    hand, obj, first = moment.hand, moment.obj, moment.memory["obj"]
    to_goal = distance(obj, moment.goal)
    # The package takes the margin after the first step of an episode, when the cube has hardly moved.
    in_place = puck.in_place(moment)
    grasped = gripper_caging(moment, obj, _GRIP)

    near = distance(obj, hand) < 0.04
    held = near & puck.lifted(moment, 0.02) & (moment.gripper_opening >= 0.43)
    carried = hamacher_product(above_bins(hand, first, moment.goal), in_place)
    total = hamacher_product(grasped, in_place) + jnp.where(held, 1.0 + 5.0 * carried, 0.0)
    return Verdict(
        reward=jnp.where(to_goal < puck.TARGET_RADIUS, 10.0, total),
        success=to_goal <= puck.TARGET_RADIUS,
        near_object=near,
        grasp_success=held,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


def above_bins(hand: Array, start: Array, goal: Array) -> Array:
    """1 above two funnels, around start and goal, that keep the hand from running into the edges of the bins."""
    radii = jnp.stack([distance(hand[:2], start[:2]), distance(hand[:2], goal[:2])])
    floor = funnel(radii, throat=0.03, slope=0.02, height=0.2).min()
    return tolerance(jnp.maximum(floor - hand[2], 0.0), (0.0, 0.01), 0.05)


BIN_PICKING = Family(
    scene="sawyer_bin_picking.xml",
    low=(-0.21, 0.65, 0.02, 0.1199, 0.699, -0.001),
    high=(-0.03, 0.75, 0.02, 0.1201, 0.701, 0.001),
    goal_low=(0.1199, 0.699, -0.001),
    goal_high=(0.1201, 0.701, 0.001),
    hand_low=(-0.5, 0.4, 0.07),
    sensors={"obj": body("obj"), "obj_quat": body_quat("obj"), "other_bin": body("bin_goal")},
    place=puck.place_on_table,
    objects=puck.wxyz_objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"bin-picking-v3": BIN_PICKING}
