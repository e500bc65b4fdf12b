"""The host loop around jitted windows of iterations: log, checkpoint, guard, show progress, evaluate."""

import contextlib
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from .. import sharding
from ..config import ExperimentConfig
from ..errors import ConfigError
from ..types import Algorithm, RunState
from . import judging
from .checkpoint import Checkpoints
from .memory import check_memory
from .runlog import RunLog, SilentLog, read_metrics, readable_errors
from .window import begin, run_keys

MAX_ROLLBACKS = 3


class TrainingError(RuntimeError):
    """Training cannot go on; the last good checkpoint is whole."""


class Interrupted(Exception):
    """A signal ended the run early; it is saved and can be resumed."""

    def __init__(self, signal_number: int, iteration: int):
        super().__init__(f"signal {signal_number} at iteration {iteration}")
        self.signal, self.iteration = signal_number, iteration


class Stop:
    """Notes SIGINT and SIGTERM, so that the loop can end between windows; a second SIGINT interrupts at once."""

    def __init__(self):
        self.signal: int | None = None

    def __enter__(self) -> "Stop":
        self._old = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Run(NamedTuple):
    """A run and where it is written."""

    config: ExperimentConfig
    log: RunLog | SilentLog


def train(
    runs: Sequence[Run],
    algorithm: Algorithm,
    judge: judging.Judge,
    progress: Callable[[dict], None],
    mesh: Mesh | None = None,
) -> list[dict[str, Any]]:
    """Runs, or goes on with, runs that differ in their seeds alone, in one compiled program.

    Args:
      runs: S of them; several can only begin, one can also go on.
      algorithm: made of their configuration.
      judge: of their last states.
      progress: called after every window with its last row of metrics, means over runs.
      mesh: devices to split the tasks of one run, or several runs, over; one where left out.

    Returns:
      The summaries that are also in summary.json; none on other processes than the first.

    Raises:
      Interrupted: SIGINT or SIGTERM came.
      TrainingError: loss, gradients or parameters were not finite once more after the last permitted roll-back, or memory
        ran out.
      memory.TooLarge: the runs do not fit into memory together.
      ConfigError: a run directory cannot be written.
    """
    config, mesh = runs[0].config, mesh or sharding.make_mesh(1)
    keys = jax.tree.map(lambda *keys: jnp.stack(keys), *[run_keys(run.config.seed) for run in runs])
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(readable_errors(run.log.directory))
        stores = [Checkpoints(r.log.directory / "checkpoints", config.keep_checkpoints) for r in runs]
        done = stores[0].latest_step
        if done is not None and done > config.iterations:
            raise ConfigError(f"the run has done {done} iterations, more than --iterations {config.iterations}.")
        states, window = begin(algorithm, keys, config.window, mesh)
        check_memory(window, len(runs), mesh)
        if done is None:
            _save(stores, states, [None] * len(runs))
        else:
            states = _restore(stores, states)
            runs[0].log.truncate(int(states.step[0]))
        for run in runs:
            run.log.write_config(run.config)  # a resumed run may have been given more iterations
        with _readable_memory_errors(lambda: stores[0].latest_step):
            states = _loop(runs, algorithm, window, states, stores, progress)
        for store in stores:
            store.close()
        if not sharding.is_first_process():
            return []
        states = jax.device_get(states._replace(kept=states.kept._replace(by_task=())))  # evaluated on one device
        return [judging.sum_up(*run, judge, _pick(states, seed)) for seed, run in enumerate(runs)]


def _loop(
    runs: Sequence[Run],
    algorithm: Algorithm,
    window: Callable,
    states: RunState,
    stores: Sequence[Checkpoints],
    progress: Callable[[dict], None],
) -> RunState:
    """Windows until the last iteration; `Interrupted` on a signal."""
    config = runs[0].config
    rows = read_metrics(runs[0].log.directory)
    seconds = rows[-1]["seconds"] if rows else 0.0
    step = int(states.step[0])
    scores: list[list[float]] = [[] for _ in runs]  # returns after adaptation since the latest checkpoint
    with Stop() as stop:
        while step < config.iterations and not (signal_number := sharding.largest(stop.signal or 0)):
            start = time.perf_counter()
            count = min(
                config.window, config.iterations - step, config.checkpoint_every - step % config.checkpoint_every
            )
            states, logs = window(states, count)
            logs = jax.tree.map(lambda x, count=count: np.asarray(x)[:, :count], logs)
            finite = logs.pop("finite").all(axis=1)
            if not finite.all():
                states = _roll_back(stores, states, finite)
                step, scores = int(states.step[0]), [[] for _ in runs]
                for run in runs:
                    run.log.truncate(step)
                continue
            elapsed = time.perf_counter() - start
            last = []
            for seed, run in enumerate(runs):
                rows = _rows(algorithm, _pick(logs, seed), step, count, seconds, elapsed)
                run.log.log(rows)
                scores[seed] += [row["return_after"] for row in rows if row["return_after"] is not None]
                last.append(rows[-1])
            step, seconds = step + count, seconds + elapsed
            if step % config.checkpoint_every == 0 or step == config.iterations:
                _save(stores, states, [float(np.mean(s)) if s else None for s in scores])
                scores = [[] for _ in runs]
            progress(_mean_row(last))
        if step < config.iterations:
            _save(stores, states, [None] * len(runs))
            for store in stores:
                store.close()
            raise Interrupted(signal_number, step)
    return states


@contextlib.contextmanager
def _readable_memory_errors(step: Callable[[], int | None]):
    """Turns running out of host or device memory into a TrainingError that says what to lower, and which checkpoint is whole."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        words = f"{type(error).__name__}: {error}"
        if not any(sign in words for sign in ("RESOURCE_EXHAUSTED", "bad_alloc", "MemoryError")):
            raise
        raise TrainingError(
            "out of memory. Lower --algorithm.num-tasks or --algorithm.envs-per-task, or raise --algorithm.task-chunks, which "
            f"takes the tasks in parts; checkpoint {step()} is whole."
        ) from error


def _roll_back(stores: Sequence[Checkpoints], states: RunState, finite: np.ndarray) -> RunState:
    """The last good states, of runs that were not `finite` `[S]` with half the outer learning rate.

    Runs stay in step: those that were finite repeat what they did. TrainingError after MAX_ROLLBACKS of one run.
    """
    bad_step, lr_scale = int(states.step[0]), np.where(finite, states.lr_scale, np.asarray(states.lr_scale) / 2)
    states = _restore(stores, states)
    step = int(states.step[0])
    if (lr_scale < 0.5**MAX_ROLLBACKS).any():
        raise TrainingError(
            f"loss, gradients or parameters were not finite by iteration {bad_step}, after {MAX_ROLLBACKS} roll-backs with "
            f"smaller learning rates. Lower algorithm.optimizer.lr or algorithm.inner.lr; checkpoint {step} is whole."
        )
    print(
        f"not finite by iteration {bad_step}: back to checkpoint {step} with {lr_scale[~finite].min()} of the outer learning "
        "rate",
        file=sys.stderr,
    )
    return states._replace(lr_scale=jnp.asarray(lr_scale, states.lr_scale.dtype))


def _pick(tree: Any, seed: int) -> Any:
    return jax.tree.map(lambda x: x[seed], tree)


def _save(stores: Sequence[Checkpoints], states: RunState, scores: Sequence[float | None]) -> None:
    for seed, (store, score) in enumerate(zip(stores, scores, strict=True)):
        store.save(_pick(states, seed), score)


def _restore(stores: Sequence[Checkpoints], like: RunState) -> RunState:
    restored = [store.resume(_pick(like, seed)) for seed, store in enumerate(stores)]
    states = jax.tree.map(lambda *x: jnp.stack(x), *restored)
    return jax.tree.map(lambda x, wanted: jax.device_put(x, wanted.sharding), states, like)


def _mean_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over runs, of what all of them have."""
    return {
        name: None if any(row[name] is None for row in rows) else type(rows[0][name])(np.mean([r[name] for r in rows]))
        for name in rows[0]
    }


def _rows(algorithm: Algorithm, logs, step: int, count: int, seconds: float, elapsed: float) -> list[dict[str, Any]]:
    """One row of metrics per iteration; times are shared out evenly over the window."""
    per_iteration = algorithm.env_steps_per_iteration
    memory = {"memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if stats := jax.local_devices()[0].memory_stats():
        memory["device_memory_mib"] = stats["peak_bytes_in_use"] / 2**20
    return [
        {
            "iteration": step + i + 1,
            "env_steps": (step + i + 1) * per_iteration,
            "seconds": seconds + elapsed * (i + 1) / count,
            "env_steps_per_second": count * per_iteration / elapsed,
            **{name: float(values[i]) if np.isfinite(values[i]) else None for name, values in logs.items()},
            **memory,
        }
        for i in range(count)
    ]
