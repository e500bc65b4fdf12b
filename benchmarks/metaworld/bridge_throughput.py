"""The metaworld package's speed in our worker processes, beside gymnasium's AsyncVectorEnv, which the package itself uses.

The same environments of ML10's training split, the same random actions, timed in turn by one program without JAX. Columns are
steps per second, of environments; `of_async` is how many times as fast the bridge is.
"""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...envs.metaworld.env import HORIZON
from . import evaluators, host

SUITE, SPLIT = "ML10", "train"


def measure() -> list[dict[str, Any]]:
    """One row."""
    suite = host.make_suite(SUITE, SPLIT, 0)
    made = evaluators.plan_official(suite, host.Wrapping(seed=0, horizon=HORIZON, reward="v2")).environments
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(Path(__file__).parent)]
    done = subprocess.run(command, input=pickle.dumps(tuple(made)), stdout=subprocess.PIPE, check=True)
    rates = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "task": SUITE,
            **rates,
            "of_async": rates["bridge"] / rates["async"],
            "note": f"{len(made.makers)} environments",
        }
    ]


_PROGRAM = """
import json, pickle, statistics, sys, time
sys.path.insert(0, sys.argv[1])
import gymnasium, numpy as np, workers

STEPS, REPEATS = 60, 5
makers, names = pickle.load(sys.stdin.buffer)
both = {"bridge": workers.WorkerEnvs(makers, names), "async": gymnasium.vector.AsyncVectorEnv(makers)}
for envs in both.values():
    envs.call("sample_tasks")
    envs.reset()
rates = {name: [] for name in both}
actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, len(makers), 4)).astype(np.float32)
for repeat in range(REPEATS + 1):
    for name, envs in both.items():
        start = time.perf_counter()
        for action in actions:
            envs.step(action)
        if repeat > 0:
            rates[name].append(actions.shape[0] * actions.shape[1] / (time.perf_counter() - start))
for envs in both.values():
    envs.close()
print(json.dumps({name: statistics.median(values) for name, values in rates.items()}))
"""
