"""Success of the package's scripted policies, here and in the package: `python -m metarl_jax.benchmarks.metaworld.experts`.

The policies read the observation alone, so that they know nothing of which simulator they steer. Columns, over the 50
goals of MT1, shown, single precision:
  ours     share of goals with success at any of the 500 steps
  package  the same in the installed package
  nudged   the same in the package with the hand's target 1e-8 m further at the beginning: what a rounding decides
  gap      ours - package, percentage points
  alike    share of goals that both reach, or both miss
"""

import jax
import jax.numpy as jnp
import numpy as np
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from ...envs import make
from ...envs.metaworld import FAMILIES, MetaWorldEnv, suites
from ...envs.metaworld.env import HORIZON
from . import reference, table

SEED = 0
NUDGE = 1e-8  # m


def measure(name: str) -> dict[str, float]:
    """One row of the table."""
    vectors = suites.family_vectors(name, SEED)
    ours = our_successes(make(f"metaworld/{name}/mt1", physics="mujoco"), name, vectors)
    package = reference.make_reference(name, vectors[0], show_goal=True)
    theirs, nudged = (
        np.array([package_succeeds(package, name, vector, nudge) for vector in vectors]) for nudge in (0.0, NUDGE)
    )
    return {
        "ours": float(ours.mean()),
        "package": float(theirs.mean()),
        "nudged": float(nudged.mean()),
        "gap": float(100.0 * (ours.mean() - theirs.mean())),
        "alike": float((ours == theirs).mean()),
    }


def our_successes(env: MetaWorldEnv, name: str, vectors: np.ndarray) -> np.ndarray:
    """Which tasks `[N]` the policy solves, all stepped together; a solved one goes on without it."""
    tasks = jnp.asarray(vectors, float)
    step = jax.jit(jax.vmap(env.step))
    state, timestep = jax.jit(jax.vmap(env.reset, in_axes=(None, 0)))(jax.random.key(0), tasks)
    policies = [reference.expert(name, noise=0.0) for _ in vectors]
    action, solved = np.zeros((len(vectors), 4), np.float32), np.zeros(len(vectors), bool)
    for _ in range(HORIZON):
        obs = np.asarray(timestep.obs, np.float64)
        for i in np.flatnonzero(~solved):
            action[i] = policies[i](obs[i])
        state, timestep = step(state, action, tasks)
        solved |= np.asarray(timestep.info["success"]) > 0
        if solved.all():
            break
    return solved


def package_succeeds(env: SawyerXYZEnv, name: str, vector: np.ndarray, nudge: float) -> bool:
    """Whether the policy solves a task in the package's environment, the hand's target first moved by `nudge`, m."""
    reference.set_vector(env, vector, show_goal=True)
    obs, _ = env.reset()
    env.data.mocap_pos[0] += nudge
    policy = reference.expert(name, noise=0.0)
    for _ in range(HORIZON):
        obs, *_, info = env.step(policy(obs))
        if info["success"] > 0:
            return True
    return False


if __name__ == "__main__":
    table.main("experts", measure, FAMILIES, {"seed": SEED, "goals": 50, "steps": HORIZON, "nudge": NUDGE})
