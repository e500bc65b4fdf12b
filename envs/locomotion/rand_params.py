"""Walker and Hopper whose masses, inertias, frictions and dampings differ from task to task.

PEARL (arXiv:1903.08254), after Dennis Lee's rand_param_envs. A task holds one multiplier for every element of four
arrays of the model; derived constants (`dof_invweight0` and the like) stay those of the original, as in the source.
"""

import functools

import jax
import jax.numpy as jnp
import mujoco

from ...types import Array, Key, Parameter, Task
from ..physics import ModelParams
from .bodies import HOPPER, WALKER
from .env import Family, Motion
from .terms import control_cost, hopper_fallen, walker_fallen

_BASES = {"body_mass": 1.5, "body_inertia": 1.5, "geom_friction": 1.5, "dof_damping": 1.3}
_NAMES = {"mass": "body_mass", "inertia": "body_inertia", "friction": "geom_friction", "damping": "dof_damping"}


def sample_multipliers(key: Key, num_bodies: int, num_geoms: int, num_dofs: int) -> dict[str, Array]:
    """base ** U[-3, 3] for each element of each array."""
    shapes = {
        "body_mass": (num_bodies,),
        "body_inertia": (num_bodies, 3),
        "geom_friction": (num_geoms, 3),
        "dof_damping": (num_dofs,),
    }
    keys = jax.random.split(key, len(shapes))
    return {
        name: _BASES[name] ** jax.random.uniform(k, shape, minval=-3.0, maxval=3.0)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def multiplier(name: str) -> Parameter:
    """That of a whole array: the geometric mean of its elements' multipliers; to set it is to give all of them this one."""
    return Parameter(
        trained=(_BASES[name] ** -3.0, _BASES[name] ** 3.0),
        of=lambda task: jnp.exp(jnp.log(task[name]).mean()),
        at=lambda task, value: task | {name: jnp.full_like(task[name], value)},
        limits=(0.01, 100.0),
    )


def model_params(model: mujoco.MjModel, task: Task) -> ModelParams:
    """The model's arrays times the task's multipliers."""
    return {name: getattr(model, name) * multiplier for name, multiplier in task.items()}


def reward(motion: Motion, task: Task) -> Array:
    """Forward speed, 1 for being alive (in the last step too), control cost."""
    return motion.velocity[0] + 1.0 - control_cost(1e-3, motion.action)


# The source's environments ask for 4 or 5 substeps, its base class takes 4 for both: 0.008 s per step.
WALKER_RAND_PARAMS = Family(
    WALKER,
    functools.partial(sample_multipliers, num_bodies=8, num_geoms=8, num_dofs=9),
    reward,
    horizon=200,
    terminated=walker_fallen,
    model_params=model_params,
    num_tasks=(40, 10),
    parameters={short: multiplier(name) for short, name in _NAMES.items()},
)
HOPPER_RAND_PARAMS = WALKER_RAND_PARAMS._replace(
    body=HOPPER,
    sample_task=functools.partial(sample_multipliers, num_bodies=5, num_geoms=5, num_dofs=6),
    terminated=hopper_fallen,
)

FAMILIES = {"walker-rand-params": WALKER_RAND_PARAMS, "hopper-rand-params": HOPPER_RAND_PARAMS}
