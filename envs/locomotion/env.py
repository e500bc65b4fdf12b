"""A locomotion environment: a body on a plane, and a task family as data plus small pure functions."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from ...types import Array, EnvSpec, Key, Parameter, Task, TimeStep
from ..physics import ModelParams, PhysicsState, is_unstable, make_physics
from ..task_sets import OneOf, fixed_tasks
from .bodies import Body


class Motion(NamedTuple):
    """One control step, as a reward sees it."""

    before: PhysicsState
    after: PhysicsState
    action: Array  # [nu]
    dt: float  # s

    @property
    def velocity(self) -> Array:
        """Mean velocity of the root over the step, m/s: `[0]` along x, `[1]` along the second position coordinate."""
        return (self.after.qpos[:2] - self.before.qpos[:2]) / self.dt


class Family(NamedTuple):
    """A distribution of tasks over one body."""

    body: Body
    sample_task: Callable[[Key], Task]
    reward: Callable[[Motion, Task], Array]
    horizon: int
    terminated: Callable[[PhysicsState], Array] = lambda state: jnp.array(False)
    observe: Callable[[Body, PhysicsState], Array] = Body.observe
    model_params: Callable[[mujoco.MjModel, Task], ModelParams] = lambda model, task: {}
    num_tasks: tuple[int, int] | None = None  # (train, test) sizes of a fixed set of tasks; None: unlimited
    fields: tuple[str, ...] = ()  # arrays of mjData that reward or observation read (see physics/base.py)
    edit_model: Callable[[mujoco.MjSpec], None] | None = None  # before compiling: adds sensors, sets options
    parameters: Mapping[str, Parameter] = {}


class LocomotionEnv:
    """See `MetaEnv`."""

    def __init__(self, name: str, family: Family, physics: str, horizon: int | None, split: str):
        model = family.body.load(family.edit_model)
        self._family, self.parameters = family, family.parameters
        self.physics = make_physics(model, family.body.substeps, physics, family.fields)
        self.dt = model.opt.timestep * family.body.substeps  # s per step
        self.tasks = fixed_tasks(family.sample_task, family.num_tasks, split)
        self._sample_task = family.sample_task if self.tasks is None else OneOf(self.tasks)
        obs = jax.eval_shape(lambda key: self._observe(self.physics.reset(*self._initial(key), {})), jax.random.key(0))
        self.spec = EnvSpec(
            name=name,
            obs_dim=obs.shape[0],
            action_dim=model.nu,
            horizon=horizon or family.horizon,
            action_low=tuple(model.actuator_ctrlrange[:, 0].tolist()),
            action_high=tuple(model.actuator_ctrlrange[:, 1].tolist()),
        )

    def sample_task(self, key: Key) -> Task:
        return self._sample_task(key)

    def reset(self, key: Key, task: Task) -> tuple[PhysicsState, TimeStep]:
        state = self.physics.reset(*self._initial(key), self._params(task))
        return state, TimeStep(self._observe(state), jnp.zeros(()), jnp.array(False))

    def step(self, state: PhysicsState, action: Array, task: Task) -> tuple[PhysicsState, TimeStep]:
        after = self.physics.step(state, action, self._params(task))
        reward = self._family.reward(Motion(state, after, action, self.dt), task)
        unstable = is_unstable(self.physics.model, state, after)
        return after, TimeStep(self._observe(after), reward, self._family.terminated(after), unstable=unstable)

    def _initial(self, key: Key) -> tuple[Array, Array]:
        return self._family.body.initial(key, self.physics.model)

    def _observe(self, state: PhysicsState) -> Array:
        return self._family.observe(self._family.body, state)

    def _params(self, task: Task) -> ModelParams:
        return self._family.model_params(self.physics.model, task)
