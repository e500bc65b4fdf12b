"""faucet-close-v3 and faucet-open-v3: the handle of a faucet is turned to one side or the other."""

import functools
import math

import jax.numpy as jnp

from ....types import Array
from ..family import Family, Memory, Moment, Verdict, stay
from ..rewards import distance, nearing
from ..scenes import Readings, Settled, body_quat, site

_TARGET_RADIUS = 0.07
_REACH_RADIUS = 0.01
_TO_GOAL = (0.175, 0.0, 0.125)  # from the faucet's foot, m; x is the length of the handle


def objects(readings: Readings) -> Array:
    return jnp.concatenate([readings["handle"] + jnp.array([0.0, 0.0, -0.01]), readings["faucet_quat"]])


def remember(vector: Array, readings: Readings, settled: Settled, *, side: float) -> Memory:
    """`side` is that of the goal along x, -1 or 1."""
    return {"obj": vector, "goal": vector + jnp.array(_TO_GOAL) * jnp.array([side, 1.0, 1.0])}


def reward(moment: Moment, *, tip: tuple) -> Verdict:
    """`tip` is the point to push, seen from the observed one."""
    obj = moment.obj + jnp.array(tip)
    to_goal = distance(obj, moment.goal)
    in_place = nearing(to_goal, math.hypot(*_TO_GOAL), _TARGET_RADIUS)
    tcp_to_obj = distance(obj, moment.readings["tcp"])
    first = distance(moment.memory["obj"], moment.settled.readings["tcp"])
    reach = nearing(tcp_to_obj, first, _REACH_RADIUS, "gaussian")
    success = to_goal <= _TARGET_RADIUS
    return Verdict(
        reward=jnp.where(success, 10.0, 4.0 * reach + 6.0 * in_place),
        success=success,
        near_object=tcp_to_obj <= 0.01,
        grasp_success=1.0,
        grasp_reward=reach,
        in_place_reward=in_place,
        obj_to_target=to_goal,
    )


FAUCET_CLOSE = Family(
    scene="sawyer_faucet.xml",
    low=(-0.1, 0.8, 0.0),
    high=(0.1, 0.85, 0.0),
    hand_start=(0.0, 0.4, 0.2),
    hand_low=(-0.5, 0.4, -0.15),
    goal_low=(-0.5, 0.4, -0.15),
    goal_high=(0.5, 1.0, 0.5),
    fixture="faucetBase",
    sensors={"handle": site("handleStartClose"), "faucet_quat": body_quat("faucetBase")},
    place=stay,
    objects=objects,
    remember=functools.partial(remember, side=-1.0),
    reward=functools.partial(reward, tip=(0.0, 0.0, 0.0)),
)

FAUCET_OPEN = FAUCET_CLOSE._replace(
    observes_before_placing=True,
    low=(-0.05, 0.8, 0.0),
    high=(0.05, 0.85, 0.0),
    sensors=FAUCET_CLOSE.sensors | {"handle": site("handleStartOpen")},
    remember=functools.partial(remember, side=1.0),
    reward=functools.partial(reward, tip=(-0.04, 0.0, 0.03)),
)

FAMILIES = {"faucet-close-v3": FAUCET_CLOSE, "faucet-open-v3": FAUCET_OPEN}
