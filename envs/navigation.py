"""A point that must find a goal on the plane, in pure JAX: dense and sparse rewards.

MAML (arXiv:1703.03400), PEARL (arXiv:1903.08254), ProMP (arXiv:1810.06784), VariBAD (arXiv:1910.08348). A task is the
goal `[2]`; the state is the position `[2]`, which is what is observed; an action `[2]` is a displacement. Lengths have
no unit.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, Parameter, Task, TimeStep
from .parameters import angle, on_circle, radius, square
from .task_sets import OneOf, fixed_tasks

CORNERS = np.array([[-2.0, -2.0], [2.0, -2.0], [-2.0, 2.0], [2.0, 2.0]])


class Navigation(NamedTuple):
    """A distribution of goals and the rules around it."""

    sample_goal: Callable[[Key], Array]
    reward: Callable[[Array, Array, Array], Array]  # (position before, position after, goal) -> []
    horizon: int
    shaped_reward: Callable[[Array, Array, Array], Array] | None = (
        None  # for algorithms that can learn from another one
    )
    action_limit: float = 0.1
    start_range: float = 0.0  # the start is uniform in a square of this half side
    goal_tolerance: float = 0.0  # an episode ends where both offsets to the goal are smaller
    num_tasks: tuple[int, int] | None = None  # (train, test) sizes of a fixed set of goals; None: unlimited
    parameters: Mapping[str, Parameter] = {}


class NavigationEnv:
    """See `MetaEnv`."""

    def __init__(self, name: str, rules: Navigation, horizon: int | None, split: str):
        self._rules = rules
        self.parameters = rules.parameters
        self.tasks = fixed_tasks(rules.sample_goal, rules.num_tasks, split)
        self._sample_goal = rules.sample_goal if self.tasks is None else OneOf(self.tasks)
        limit = (rules.action_limit, rules.action_limit)
        self.spec = EnvSpec(
            name=name,
            obs_dim=2,
            action_dim=2,
            horizon=horizon or rules.horizon,
            action_low=tuple(-x for x in limit),
            action_high=limit,
        )

    def sample_task(self, key: Key) -> Task:
        return self._sample_goal(key)

    def reset(self, key: Key, task: Task) -> tuple[Array, TimeStep]:
        position = self._rules.start_range * jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        info = {} if self._rules.shaped_reward is None else {"shaped_reward": jnp.zeros(())}
        return position, TimeStep(position, jnp.zeros(()), jnp.array(False), info)

    def step(self, state: Array, action: Array, task: Task) -> tuple[Array, TimeStep]:
        position = state + action
        terminated = (jnp.abs(position - task) < self._rules.goal_tolerance).all()
        shaped = self._rules.shaped_reward
        info = {} if shaped is None else {"shaped_reward": shaped(state, position, task)}
        return position, TimeStep(position, self._rules.reward(state, position, task), terminated, info)


def distance(position: Array, goal: Array) -> Array:
    """L2."""
    return jnp.linalg.norm(position - goal, axis=-1)


def dense_reward(before: Array, after: Array, goal: Array) -> Array:
    """Minus the distance to the goal after the step."""
    return -distance(after, goal)


def radius_reward(before: Array, after: Array, goal: Array) -> Array:
    """1 - distance within 0.2 of the goal, 0 elsewhere (PEARL, VariBAD)."""
    away = distance(after, goal)
    return jnp.where(away <= 0.2, 1.0 - away, 0.0)


def progress_reward(before: Array, after: Array, goal: Array) -> Array:
    """How much nearer the goal a step came; 0 while |x| + |y| < 0.5 or while another corner is nearer (ProMP)."""
    progress = distance(before, goal) - distance(after, goal)
    goal_nearest = distance(after, goal) <= distance(after[None], jnp.asarray(CORNERS)).min()
    return jnp.where((jnp.abs(after).sum() >= 0.5) & goal_nearest, progress, 0.0)


sample_corner = OneOf(CORNERS)


def sample_square(half_side: float) -> Callable[[Key], Array]:
    """Draws goals `[2]`, uniform in the square around the origin."""
    return lambda key: jax.random.uniform(key, (2,), minval=-half_side, maxval=half_side)


def sample_half_circle(key: Key) -> Array:
    """A point of the upper half of the unit circle."""
    return on_circle(jnp.ones(()), jax.random.uniform(key, maxval=jnp.pi))


POINT = Navigation(sample_square(1.0), dense_reward, horizon=20, start_range=1.0, parameters=square(1.0))
POINT_SPARSE = Navigation(
    sample_half_circle, radius_reward, horizon=20, parameters={"angle": angle(0.0, np.pi), "radius": radius(1.0, 1.0)}
)
POINT_CORNERS = Navigation(sample_corner, dense_reward, horizon=100, action_limit=0.2, start_range=0.2)

NAVIGATIONS = {
    "point": POINT,
    "point/pearl": POINT._replace(num_tasks=(80, 20)),
    "point/maml": Navigation(
        sample_square(0.5), dense_reward, horizon=100, goal_tolerance=0.01, parameters=square(0.5)
    ),
    "point/promp": POINT_CORNERS,
    "point-sparse": POINT_SPARSE,
    # PEARL's actor and critics learn from the dense reward; what it knows of a task, and is judged by, is the sparse one.
    "point-sparse/pearl": POINT_SPARSE._replace(num_tasks=(80, 20), shaped_reward=dense_reward),
    "point-sparse/promp": POINT_CORNERS._replace(reward=progress_reward),
    "point-sparse/varibad": POINT_SPARSE._replace(horizon=100),
}


def make(name: str, physics: str, horizon: int | None, split: str) -> NavigationEnv:
    """Builds the environment; ConfigError where a physics backend is asked for, since there is none to choose."""
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    return NavigationEnv(name, NAVIGATIONS[name], horizon, split)
