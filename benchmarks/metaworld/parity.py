"""How near our Meta-World is to the installed package, task by task: `python -m metarl_jax.benchmarks.metaworld.parity`.

Columns, worst values over the goals and steps tried:
  reset            error of the observation at reset
  step             relative errors of positions, observation, reward and info after one step from each of the package's
                   states, double precision
  free             distance of hand and objects over 50 steps of the same actions, m, double precision
  step, single     as "step", in single precision
  steps alike      share of these steps whose positions agree to 1e-5
  free, single     as "free", in single precision
  package, shaken  as "free", the package against itself when its states move at random by up to a unit in the last place of
                   single precision; worst of 10
An object at the point of touching, or loose on an edge, makes 1e-4 m of such a difference in one step. That alone parts
the "single" columns from the others, and it parts the package from itself as far.
"""

import jax
import numpy as np

from ...envs import make
from ...envs.metaworld import FAMILIES, suites
from . import reference, table

SEED = 0
NUM_GOALS = 5
STEPS = 150
FREE_STEPS = 50
NOISE = 0.3
SHAKES = 10


def measure(name: str) -> dict[str, float]:
    """One row of the table."""
    vectors = suites.family_vectors(name, SEED)[:NUM_GOALS]
    theirs = reference.make_reference(name, vectors[0], show_goal=True)
    single, rows = make(f"metaworld/{name}/mt1", physics="mujoco"), []
    with _DoublePrecision():
        double = make(f"metaworld/{name}/mt1", physics="mujoco")
    for vector in vectors:
        reference.set_vector(theirs, vector, show_goal=True)
        episode = reference.expert_episode(theirs, name, STEPS, NOISE, start="rounded")
        free = reference.expert_episode(theirs, name, FREE_STEPS, NOISE)
        row = {"reset": np.abs(reference.first_step(single, vector)[1].obs - episode.first_obs).max()}
        with _DoublePrecision():
            row["step"] = _worst(reference.step_errors(double, vector, episode))
            row["free"] = reference.free_running_error(double, vector, free).max()
        errors = reference.step_errors(single, vector, episode)
        row["step, single"] = _worst(errors)
        row["steps alike"] = (errors["qpos"] < 1e-5).mean()
        row["free, single"] = reference.free_running_error(single, vector, free).max()
        again = [reference.replay(theirs, free, "shaken", seed) for seed in range(SHAKES)]
        row["package, shaken"] = max(reference.apart(run.obs, free.obs).max() for run in again)
        rows.append(row)
    return {key: float((min if key == "steps alike" else max)(row[key] for row in rows)) for key in rows[0]}


class _DoublePrecision:
    """For all threads, since the physics' callback runs on one of XLA's."""

    def __enter__(self):
        jax.config.update("jax_enable_x64", True)

    def __exit__(self, *error):
        jax.config.update("jax_enable_x64", False)


def _worst(errors: dict[str, np.ndarray]) -> float:
    return max(error.max() for error in errors.values())


if __name__ == "__main__":
    settings = {"seed": SEED, "goals": NUM_GOALS, "steps": STEPS, "free_steps": FREE_STEPS}
    table.main("parity", measure, FAMILIES, settings | {"noise": NOISE, "shakes": SHAKES})
