"""Meta-World's 36 scenes on Warp (CPU) and on MJX: `python -m metarl_jax.benchmarks.metaworld.warp_drift`.

One family per scene. Warp computes in single precision, stops its solver at a tolerance of 1e-6 and refuses contact
margins, which it therefore runs without (1 mm around the fingers' and objects' geoms elsewhere). Columns:
  scene        its file in the package
  mjx          whether MJX loads it, or what it says
  warp         the same of Warp
  step         relative errors of positions, observation, reward and info after one step from each of the package's
               states, worst of these; median over 50 steps of an expert's noisy episode
  step, worst  the worst of these steps
  steps alike  share of these steps with an error below 1e-3
  drift        distance of hand and objects from the C backend's over 50 steps of the same actions from each backend's
               own reset, m; median over 5 goals of the furthest
  drift, worst the worst of these goals
  no margins   as "drift, worst", from the C backend without contact margins: what is left to Warp's arithmetic and solver
"""

from typing import Any

import numpy as np

from ...envs import make
from ...envs.metaworld import FAMILIES, MetaWorldEnv, scenes, suites
from ...envs.physics import make_physics
from ...errors import ConfigError
from . import reference, table

SEED = 0
NUM_GOALS = 5
STEPS = 50
NOISE = 0.3
ALIKE = 1e-3

ONE_PER_SCENE = {family.scene: name for name, family in reversed(FAMILIES.items())}


def measure(name: str) -> dict[str, Any]:
    """One row of the table."""
    _, mjx = _load(name, "mjx")
    warp, verdict = _load(name, "warp")
    row = {"scene": FAMILIES[name].scene, "mjx": mjx, "warp": verdict}
    if warp is None:
        return row
    vectors = suites.family_vectors(name, SEED)[:NUM_GOALS]
    theirs = reference.make_reference(name, vectors[0], show_goal=True)
    episode = reference.expert_episode(theirs, name, STEPS, NOISE, start="rounded")
    step = np.max(list(reference.step_errors(warp, vectors[0], episode).values()), axis=0)
    c_env = make(f"metaworld/{name}/mt1", physics="mujoco")
    actions = np.array([_expert_actions(theirs, name, vector) for vector in vectors])
    run, *c_runs = (reference.free_run(env, vectors, actions) for env in (warp, c_env, c_without_margins(name)))
    drift, no_margins = (reference.apart(run, c_run).max(axis=1) for c_run in c_runs)
    return row | {
        "step": float(np.median(step)),
        "step, worst": float(step.max()),
        "steps alike": float((step < ALIKE).mean()),
        "drift": float(np.median(drift)),
        "drift, worst": float(drift.max()),
        "no margins": float(no_margins.max()),
    }


def c_without_margins(name: str) -> MetaWorldEnv:
    """The C backend on the scene as Warp has it."""
    env = make(f"metaworld/{name}/mt1", physics="mujoco")
    env.physics = make_physics(scenes.without_margins(env.scene.model), scenes.SUBSTEPS, "mujoco")
    return env


def _load(name: str, backend: str) -> tuple[MetaWorldEnv | None, str]:
    try:
        return make(f"metaworld/{name}/mt1", physics=backend), "loads"
    except ConfigError as error:
        return None, str(error.__cause__ or error).rstrip(".")


def _expert_actions(theirs: reference.SawyerXYZEnv, name: str, vector: np.ndarray) -> np.ndarray:
    reference.set_vector(theirs, vector, show_goal=True)
    return reference.expert_episode(theirs, name, STEPS, NOISE).action


if __name__ == "__main__":
    settings = {"seed": SEED, "goals": NUM_GOALS, "steps": STEPS, "noise": NOISE, "alike": ALIKE}
    table.main("warp_drift", measure, reversed(ONE_PER_SCENE.values()), settings)
