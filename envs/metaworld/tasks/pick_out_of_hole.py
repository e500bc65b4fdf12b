"""pick-out-of-hole-v3: a puck is carried out of a hole of the table to a point in the air."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Moment, Verdict, place_first
from ..rewards import Grip, distance, funnel, gripper_caging, hamacher_product, tolerance
from . import puck

_HOLE_RADIUS = 0.03
_GRIP = Grip(obj_radius=0.015, pad_success_thresh=0.02, xz_thresh=0.03, desired_gripper_effort=0.1, density="high")


def reward(moment: Moment) -> Verdict:
    placed = puck.in_place(moment, radius=0.02)
    grasped = gripper_caging(moment, moment.obj, _GRIP)
    at_puck = distance(moment.obj, moment.readings["tcp"]) < 0.04
    carried = at_puck & puck.lifted(moment, 0.02) & (moment.gripper_opening >= 0.33)
    bonus = 1.0 + 5.0 * hamacher_product(placed, above_edge(moment))
    total = hamacher_product(grasped, placed) + jnp.where(carried, bonus, 0.0)
    return puck.verdict(moment, total, placed, grasped)._replace(grasp_success=carried)


def above_edge(moment: Moment) -> Array:
    """The hand stays above a funnel around the hole so that it does not run into its edge."""
    tcp = moment.readings["tcp"]
    floor = funnel(distance(tcp[:2], moment.memory["obj"][:2]), _HOLE_RADIUS, slope=0.015, height=0.15)
    return tolerance(jnp.maximum(floor - tcp[2], 0.0), (0.0, 0.01), 0.02)


PICK_OUT_OF_HOLE = Family(
    scene="sawyer_pick_out_of_hole.xml",
    low=(0.0, 0.75, 0.02, -0.1, 0.5, 0.15),
    high=(0.0, 0.75, 0.02, 0.1, 0.6, 0.3),
    min_distance=0.15,
    goal_low=(-0.1, 0.5, 0.15),
    goal_high=(0.1, 0.6, 0.3),
    hand_low=(-0.5, 0.4, -0.05),
    sensors=puck.WXYZ_SENSORS,
    place=place_first,
    objects=puck.wxyz_objects,
    remember=puck.remember_vector,
    reward=reward,
)

FAMILIES = {"pick-out-of-hole-v3": PICK_OUT_OF_HOLE}
