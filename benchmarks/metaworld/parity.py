"""How near our Meta-World is to the installed package, task by task: `python -m metarl_jax.benchmarks.metaworld.parity`.

Columns, worst values over the goals and steps tried:
  reset          error of the observation at reset
  step           relative errors of positions, observation, reward and info after one step from each of the package's
                 states, double precision
  free           distance of hand and objects over 50 steps of the same actions, m, double precision, cold solver
  step, single   as "step", in single precision
  steps alike    share of these steps whose positions agree to 1e-5
  free, single   as "free", in single precision against the package as it is
A loose object on edge multiplies a rounding by 10^4 in a step: that is all that parts the "single" columns from the others.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from ...envs import make
from ...envs.metaworld import FAMILIES, MetaWorldEnv, suites
from . import reference

NUM_GOALS = 5
STEPS = 150
FREE_STEPS = 50
NOISE = 0.3


def measure(name: str) -> dict[str, float]:
    """One row of the table."""
    theirs = reference.make_reference(name, suites.family_vectors(name, seed=0)[0], show_goal=True)
    single, rows = make(f"metaworld/{name}/mt1", physics="mujoco"), []
    for vector in suites.family_vectors(name, seed=0)[:NUM_GOALS]:
        reference.set_vector(theirs, vector, show_goal=True)
        episode = reference.expert_episode(theirs, name, STEPS, NOISE, start="rounded")
        cold = reference.expert_episode(theirs, name, FREE_STEPS, NOISE, start="cold")
        warm = reference.expert_episode(theirs, name, FREE_STEPS, NOISE)
        row = {"reset": np.abs(_first_obs(single, vector) - episode.first_obs).max()}
        with _DoublePrecision():
            double = make(f"metaworld/{name}/mt1", physics="mujoco")
            row["step"] = _worst(reference.step_errors(double, vector, episode))
            row["free"] = reference.free_running_error(double, vector, cold).max()
        errors = reference.step_errors(single, vector, episode)
        row["step, single"] = _worst(errors)
        row["steps alike"] = (errors["qpos"] < 1e-5).mean()
        row["free, single"] = reference.free_running_error(single, vector, warm).max()
        rows.append(row)
    return {key: (min if key == "steps alike" else max)(row[key] for row in rows) for key in rows[0]}


class _DoublePrecision:
    """For all threads, since the physics' callback runs on one of XLA's."""

    def __enter__(self):
        jax.config.update("jax_enable_x64", True)

    def __exit__(self, *error):
        jax.config.update("jax_enable_x64", False)


def _first_obs(env: MetaWorldEnv, vector: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(env.reset)(jax.random.key(0), jnp.asarray(vector, float))[1].obs)


def _worst(errors: dict[str, np.ndarray]) -> float:
    return max(error.max() for error in errors.values())


def main(names: list[str]) -> None:
    """Prints the table for some tasks, or for all."""
    for i, name in enumerate(names or FAMILIES):
        row = measure(name)
        if i == 0:
            print("| task | " + " | ".join(row) + " |\n" + "|---" * (len(row) + 1) + "|")
        print(f"| {name} | " + " | ".join(f"{value:.1e}" for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
