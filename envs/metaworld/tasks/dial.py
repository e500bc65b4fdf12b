"""dial-turn-v3: a dial is turned by pushing the mark on its rim."""

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Verdict, stay
from ..rewards import distance, hamacher_product, nearing
from ..scenes import Readings, Settled, body, body_quat, joint

_TARGET_RADIUS = 0.07
_REACH_RADIUS = 0.005
_DIAL_RADIUS = 0.05
_TO_PUSH = (0.05, 0.02, 0.09)  # where the fingers should be, from the mark, m


def objects(readings: Readings) -> Array:
    angle = readings["angle"]
    mark = readings["dial"] + _DIAL_RADIUS * jnp.stack([jnp.sin(angle), -jnp.cos(angle), jnp.zeros(())])
    return jnp.concatenate([mark, readings["dial_quat"]])


def remember(vector: Array, readings: Readings, settled: Settled) -> Memory:
    """`push` is where the fingers should be at first."""
    return {"push": objects(readings)[:3] + jnp.array(_TO_PUSH), "goal": vector + jnp.array([0.0, 0.03, 0.03])}


def reward(moment: Moment) -> Verdict:
    mark, first = moment.obj, moment.memory["push"]
    to_goal = distance(mark, moment.goal)
    in_place = nearing(to_goal, distance(first, moment.goal), _TARGET_RADIUS)
    tcp_to_push = distance(mark + jnp.array(_TO_PUSH), moment.readings["tcp"])
    reach = nearing(tcp_to_push, distance(first, moment.settled.readings["tcp"]), _REACH_RADIUS, "gaussian")
    grasped = hamacher_product(reach, jnp.clip(moment.action[3], 0.0, 1.0))
    return Verdict(
        reward=10.0 * hamacher_product(grasped, in_place),
        success=to_goal <= _TARGET_RADIUS,
        near_object=tcp_to_push <= 0.01,
        grasp_success=1.0,
        grasp_reward=grasped,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


DIAL_TURN = Family(
    scene="sawyer_dial.xml",
    low=(-0.1, 0.7, 0.0),
    high=(0.1, 0.8, 0.0),
    goal_low=(-0.1, 0.73, 0.0299),
    goal_high=(0.1, 0.83, 0.0301),
    fixture="dial",
    observes_before_placing=True,
    sensors={"dial": body("dial"), "dial_quat": body_quat("dial"), "angle": joint("knob_Joint_1")},
    place=stay,
    objects=objects,
    remember=remember,
    reward=reward,
)

FAMILIES = {"dial-turn-v3": DIAL_TURN}
