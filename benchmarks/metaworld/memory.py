"""Memory of the whole of MT50 in one rollout, and whether rollouts make it grow."""

import resource
from typing import Any

import jax

from ... import rollout
from ...envs import make
from .. import random_policy

SUITE, NUM_TASKS, ENVS_PER_TASK = "MT50", 50, 10
STEPS = 20  # per rollout
ROLLOUTS = 200


def measure() -> list[dict[str, Any]]:
    """Peak memory of this process after some numbers of rollouts, each from a reset on."""
    env = make(f"metaworld/{SUITE}", physics="mujoco")
    act, shape = random_policy.make_act(env.spec), (NUM_TASKS, ENVS_PER_TASK)

    @jax.jit
    def run(key):
        key_tasks, key_start, key_run = jax.random.split(key, 3)
        tasks = rollout.sample_tasks(env, key_tasks, NUM_TASKS)
        start = rollout.start(env, tasks, key_start, shape)
        return rollout.collect(env, act, tasks, start, key_run, STEPS)[1].return_t.mean()

    rows = []
    for count in range(1, ROLLOUTS + 1):
        run(jax.random.key(count)).block_until_ready()
        if count in (1, 10, 50, 100, 150, ROLLOUTS):
            rows.append(
                {
                    "suite": SUITE,
                    "environments": NUM_TASKS * ENVS_PER_TASK,
                    "rollouts": count,
                    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
                }
            )
    return rows
