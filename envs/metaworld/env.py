"""Meta-World's environments: the arm, a scene, and a family's rules."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ...types import Array, EnvSpec, Key, Parameter, Task, TimeStep
from ..parameters import entry
from ..physics import PhysicsState, is_unstable, make_physics, resolve_backend, together
from ..physics.host_call import host_call
from ..physics.mujoco import MujocoPhysics
from ..task_sets import OneOf
from . import arm, scenes
from .family import Family, Memory, Moment, Verdict
from .scenes import Settled
from .suites import sample_vector

HORIZON = 500


class State(NamedTuple):
    """The state of one world."""

    physics: PhysicsState
    seen: Array  # [18] what was observed last, without the goal and unclipped
    memory: Memory
    settled: Settled | None  # where it differs from task to task


class Variant(NamedTuple):
    """What the options of a name decide, beside the family."""

    tasks: Task | None  # task vectors `[M, ...]`; None: fresh ones
    show_goal: bool
    label: Array  # [any size], appended to observations
    reward: Callable[[Moment], Verdict]


class MetaWorldEnv:
    """See `MetaEnv`. A task is a task vector of the family (see family.py).

    `info` holds success, near_object, grasp_success, grasp_reward, in_place_reward and obj_to_target, zeros after a reset.
    Nothing terminates an episode.
    """

    def __init__(self, name: str, family: Family, variant: Variant, physics: str, horizon: int):
        scene_args = (family.scene, family.fixture, tuple(family.sensors.items()))
        self._family = family
        self.tasks, self.shows_goal, self._label, self._reward = variant
        self._sample_task = sample_vector(family) if self.tasks is None else OneOf(self.tasks)
        self.parameters = parameters(family)
        self._scene_args = scene_args
        self.scene = scenes.load(*scene_args)
        middle = (np.array(family.low) + np.array(family.high)) / 2
        fixture_pos = None if family.fixture is None else tuple(np.asarray(family.fixture_pos(middle)).tolist())
        settle_at = functools.partial(scenes.settle, scene_args, family.hand_start, steps=family.settle_steps)
        self._settle_each = functools.partial(scenes.settle_each, settle_at)
        self._calls: dict = {}  # see `host_call`
        self._settled = jax.tree.map(lambda x: jnp.asarray(x, float), settle_at(fixture_pos))
        model = self.scene.model
        if resolve_backend(physics) == "warp":
            model = scenes.without_margins(model)
        self.physics = make_physics(model, scenes.SUBSTEPS, physics)
        hidden = (0.0, 0.0, 0.0)
        self._bounds = arm.observation_bounds(
            family.goal_low if self.shows_goal else hidden, family.goal_high if self.shows_goal else hidden
        )
        self.spec = EnvSpec(
            name=name,
            obs_dim=39 + self._label.size,
            action_dim=4,
            horizon=horizon,
            action_low=(-1.0,) * 4,
            action_high=(1.0,) * 4,
            has_success=True,
            num_labels=self._label.size,
        )

    def sample_task(self, key: Key) -> Task:
        return self._sample_task(key)

    def reset(self, key: Key, task: Task) -> tuple[State, TimeStep]:
        settled = self._settle(task)
        mocap_pos = settled.mocap_pos
        if self._family.fixture is not None:
            mocap_pos = mocap_pos.at[self.scene.fixture].set(self._family.fixture_pos(task))
        placed = self._family.place(settled, task)
        observed = settled.qpos_read if self._family.observes_before_placing else placed.qpos
        physics = self.physics.reset(observed, placed.qvel, {}, mocap_pos)
        readings = self.scene.read(physics.sensordata)
        memory = self._family.remember(task, readings, settled)
        seen = arm.observe(readings, self._family.objects(readings))
        physics = physics._replace(qpos=placed.qpos, warmstart=settled.warmstart)
        state = State(physics, seen, memory, settled if self._family.settles_per_task else None)
        obs = self._observation(seen, seen, self._family.goal(readings, memory))
        return state, self._timestep(obs, None)

    def step(self, state: State, action: Array, task: Task) -> tuple[State, TimeStep]:
        return self.judge(state, action, self.physics.step(*self.aim(state, action), {}))

    def aim(self, state: State, action: Array) -> tuple[PhysicsState, Array]:
        """What a step gives to the physics: the state with the hand's target moved, and the gripper's control."""
        hand = arm.move_hand(
            state.physics.mocap_pos[self.scene.hand], action, self._family.hand_low, self._family.hand_high
        )
        mocap_pos = state.physics.mocap_pos.at[self.scene.hand].set(hand)
        return state.physics._replace(mocap_pos=mocap_pos), arm.gripper_control(action)

    def judge(self, state: State, action: Array, physics: PhysicsState) -> tuple[State, TimeStep]:
        """What a step makes of the physics after it."""
        readings = self.scene.read(physics.sensordata)
        seen = arm.observe(readings, self._family.objects(readings))
        goal = self._family.goal(readings, state.memory)
        # The package clips the observations of steps, not those of resets.
        obs = jnp.clip(self._observation(seen, state.seen, goal), *self._bounds)
        settled = self._settled if state.settled is None else state.settled
        verdict = self._reward(Moment(obs, action, readings, state.memory, goal, settled))
        unstable = is_unstable(self.physics.model, state.physics, physics)
        return state._replace(physics=physics, seen=seen), self._timestep(obs, verdict)._replace(unstable=unstable)

    @property
    def dt(self) -> float:
        """Seconds per step."""
        return self.physics.model.opt.timestep * scenes.SUBSTEPS

    def goal(self, state: State) -> Array:
        """Where the goal is, hidden or not, `[3]`, m."""
        return self._family.goal(self.scene.read(state.physics.sensordata), state.memory)

    def visible_model(self) -> mujoco.MjModel:
        """The scene with what is only there to be looked at; its positions are those of `physics.model`."""
        return scenes.load(*self._scene_args, visuals=True).model

    def _settle(self, task: Task) -> Settled:
        """The settled scene. Where the fixture matters to it, that is part of every reset."""
        if not self._family.settles_per_task:
            return self._settled
        if not isinstance(self.physics, MujocoPhysics):
            return scenes.settle_within(
                self.physics,
                self.scene,
                self._family.hand_start,
                self._family.fixture_pos(task),
                self._family.settle_steps,
            )
        shapes = jax.eval_shape(lambda: self._settled)
        name = f"settle {self._scene_args} from {self._family.hand_start} for {self._family.settle_steps} steps"
        return host_call(name, self._settle_each, shapes, self._family.fixture_pos(task), keep=self._calls)

    def _observation(self, seen: Array, seen_before: Array, goal: Array) -> Array:
        return jnp.concatenate([seen, seen_before, goal if self.shows_goal else jnp.zeros(3)])

    def _timestep(self, obs: Array, verdict: Verdict | None) -> TimeStep:
        """After a step, or after a reset, where there is no verdict."""
        names = Verdict._fields[1:]
        verdict = Verdict(*[0.0] * len(Verdict._fields)) if verdict is None else verdict
        info = {name: jnp.asarray(getattr(verdict, name), float) for name in names}
        reward = jnp.asarray(verdict.reward, float)
        return TimeStep(jnp.concatenate([obs, self._label]), reward, jnp.array(False), info)


def parameters(family: Family) -> dict[str, Parameter]:
    """The numbers of task vectors that differ from task to task, m: the first three are where the object begins, or the fixture;
    others, named first, where the goal is. Those that the package draws from a few millimetres are left out.
    """
    names = [f"{what}-{axis}" for what in ("object", "goal") for axis in "xyz"]
    bounds = enumerate(zip(names, family.low, family.high, strict=False))
    found = {name: entry(i, low, high, "m") for i, (name, low, high) in bounds if high - low > 0.01}
    return dict(sorted(found.items()))


def step_together(envs: Sequence[MetaWorldEnv]) -> Callable | None:
    """`Suite.step` for these, where their physics backend steps several scenes at once; else None."""
    step_physics = together([env.physics for env in envs])
    if step_physics is None:
        return None

    def step(states: tuple[State, ...], actions: tuple[Array, ...], tasks: Task) -> list[tuple[State, TimeStep]]:
        each = list(zip(envs, states, actions, strict=True))
        aims = [jax.vmap(jax.vmap(env.aim))(state, action) for env, state, action in each]
        after = step_physics(*zip(*aims, strict=True))
        return [
            jax.vmap(jax.vmap(env.judge))(state, action, p) for (env, state, action), p in zip(each, after, strict=True)
        ]

    return step
