"""The host loop around jitted windows of iterations: log, evaluate, checkpoint, guard, show progress, sum up."""

import contextlib
import resource
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
from ..errors import ConfigError, is_out_of_memory
from ..types import Algorithm, RunState
from . import held_out, judging
from .checkpoint import Checkpoints
from .clock import Clock
from .held_out import HeldOut
from .judging import Judge
from .memory import check_memory
from .runlog import RunLog, SilentLog, readable_errors
from .signals import Interrupted, Stop, interruptibly
from .window import begin, run_keys

MAX_ROLLBACKS = 3


class TrainingError(RuntimeError):
    """Training cannot go on; the last good checkpoint is whole."""


class Run(NamedTuple):
    """A run and where it is written."""

    config: ExperimentConfig
    log: RunLog | SilentLog


def train(
    runs: Sequence[Run],
    algorithm: Algorithm,
    judge: Judge,
    progress: Callable[[dict], None],
    mesh: Mesh | None = None,
    started: float | None = None,
) -> list[dict[str, Any]]:
    """Runs, or goes on with, runs that differ in their seeds alone, in one compiled program.

    Args:
      runs: S of them; several can only begin, one can also go on.
      algorithm: made of their configuration.
      judge: of their states.
      progress: called after every window with its last row of metrics, means over runs.
      mesh: devices to split the tasks of one run, or several runs, over; one where left out.
      started: when the command began (`time.perf_counter`), for `wall_seconds`; now where left out.

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
        directories = [run.log.directory / "checkpoints" for run in runs]
        stores = [Checkpoints(where, config.keep_checkpoints, algorithm.checkpointed) for where in directories]
        # Compared before it takes minutes to compile.
        done, *_ = [store.settle(jax.eval_shape(algorithm.init, keys.init[0])) for store in stores]
        if done is not None and done > config.iterations:
            raise ConfigError(f"the run has done {done} iterations, more than --iterations {config.iterations}.")
        if done is not None:
            runs[0].log.mend(done, algorithm.env_steps_per_iteration)
        clock = Clock(runs[0].log.directory, started)
        start = time.perf_counter()
        with _readable_memory_errors(lambda: done):
            states, window, compiled = interruptibly(begin, algorithm, keys, config.window, mesh)
        clock.compiling += time.perf_counter() - start
        check_memory(compiled.memory_analysis(), len(runs), mesh)
        if done is None:
            _save(stores, states)
        else:
            states = _restore(stores, states)
            runs[0].log.truncate(int(states.step[0]))
            clock.rewind()
        for run in runs:
            run.log.write_config(run.config)  # a resumed run may have been given more iterations
        evaluation = HeldOut([run.config for run in runs], judge, algorithm)
        with _readable_memory_errors(lambda: stores[0].latest_step):
            curves = _loop(Loop(runs, algorithm, window, stores, evaluation, clock, progress, _watch_worlds()), states)
        for store in stores:
            store.close()
        if not sharding.is_first_process():
            return []
        return [judging.sum_up(*run, judge, curve, clock.read) for run, curve in zip(runs, curves, strict=True)]


class Loop(NamedTuple):
    """What an iteration of the loop needs."""

    runs: Sequence[Run]
    algorithm: Algorithm
    window: Callable  # compiled: states `[S, ...]`, count -> states, metrics
    stores: Sequence[Checkpoints]
    held_out: HeldOut
    clock: Clock
    progress: Callable[[dict], None]
    watch: Callable[[list[dict[str, Any]]], None]

    def next_stop(self, step: int) -> int:
        """How far a window that begins at `step` may go."""
        config = self.runs[0].config
        checkpoint = step + config.checkpoint_every - step % config.checkpoint_every
        return int(min(step + config.window, config.iterations, checkpoint, self.held_out.next_after(step)))


def _loop(loop: Loop, states: RunState) -> list[dict[str, Any]]:
    """Windows until the last iteration, and the curves of its states; `Interrupted` on a signal."""
    step, last, curves = int(states.step[0]), loop.runs[0].config.iterations, None
    # A run that ended before its evaluation goes on with it.
    unjudged = loop.held_out.is_due(step, last) and not loop.runs[0].log.last_row_has(held_out.METRIC)
    unjudged = bool(sharding.largest(int(unjudged)))
    with Stop() as stop:
        while not (signal_number := sharding.largest(stop.signal or 0)):
            if unjudged:
                curves = _judge(loop, states)
            if step == last:
                return curves or loop.held_out(states)  # none where a finished run is resumed
            states, before = _advance(loop, states, step), step
            step = int(states.step[0])
            unjudged = step > before and loop.held_out.is_due(step, last)  # not after a roll-back
        _save(loop.stores, states)
        for store in loop.stores:
            store.close()
        raise Interrupted(signal_number, step)


def _advance(loop: Loop, states: RunState, step: int) -> RunState:
    """The states after the next window, logged, and saved where that is due; after a roll-back those of a checkpoint."""
    end, start = loop.next_stop(step), time.perf_counter()
    states, logs = interruptibly(_run_window, loop.window, states, end - step)
    elapsed = time.perf_counter() - start
    finite = logs.pop("finite").all(axis=1)
    if not finite.all():
        states = _roll_back(loop.stores, states, finite)
        for run in loop.runs:
            run.log.truncate(int(states.step[0]))
        loop.clock.rewind()
        return states
    loop.clock.training += elapsed
    seconds, last_rows = loop.clock.read(), []
    for seed, run in enumerate(loop.runs):
        rows = _rows(loop.algorithm, _pick(logs, seed), step, seconds, elapsed)
        run.log.log(rows)
        loop.watch(rows)
        last_rows.append(rows[-1])
    config = loop.runs[0].config
    if end % config.checkpoint_every == 0 or loop.held_out.is_due(end, config.iterations):
        _save(loop.stores, states)
    loop.progress(_mean_row(last_rows))
    return states


def _watch_worlds() -> Callable[[list[dict[str, Any]]], None]:
    """A function of rows of metrics, which says on standard error that worlds have blown up, the first time that some have."""
    told = not sharding.is_first_process()

    def watch(rows: list[dict[str, Any]]) -> None:
        nonlocal told
        for row in rows:
            if row.get("unstable_worlds") and not told:
                told = True
                print(
                    f"warning: the simulation of {row['unstable_worlds']:.0f} worlds blew up in iteration {row['iteration']}: "
                    "their episodes were cut off there; unstable_worlds in metrics.jsonl counts them, and this is said once",
                    file=sys.stderr,
                )

    return watch


def _judge(loop: Loop, states: RunState) -> list[dict[str, Any]]:
    """The curves of all runs, after which they are in the metrics, and the states saved where they are the best so far.

    The states have been saved as the latest ones: whatever ends the run meanwhile, it goes on from here.
    """
    curves = loop.held_out(states)
    for seed, (run, store, curve) in enumerate(zip(loop.runs, loop.stores, curves, strict=True)):
        store.save_if_best(_pick(states, seed), sharding.of_first_process(held_out.score(curve)))
        run.log.add_to_last(held_out.metrics(curve))
    return curves


def _run_window(window: Callable, states: RunState, count: int) -> tuple[RunState, dict[str, np.ndarray]]:
    """`count` iterations: the states after, and the metrics, `[S, count]`."""
    states, logs = window(states, count)
    return states, jax.tree.map(lambda x: np.asarray(x)[:, :count], logs)


@contextlib.contextmanager
def _readable_memory_errors(step: Callable[[], int | None]):
    """Turns running out of host or device memory into a TrainingError that says what to lower, and which checkpoint is whole."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        whole = step()
        raise TrainingError(
            "out of memory. Lower --algorithm.num-tasks or --algorithm.envs-per-task, or raise --algorithm.task-chunks, which "
            "takes the tasks in parts, or --evaluation.tasks where it was an evaluation; "
            + ("nothing was trained yet." if whole is None else f"checkpoint {whole} is whole.")
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
            "smaller learning rates. Lower algorithm.optimizer.lr (of maml-trpo trust_region.max_kl) or algorithm.inner.lr; "
            f"checkpoint {step} is whole."
        )
    print(
        f"not finite by iteration {bad_step}: back to checkpoint {step} with {lr_scale[~finite].min()} of the outer learning "
        "rate",
        file=sys.stderr,
    )
    return states._replace(lr_scale=jnp.asarray(lr_scale, states.lr_scale.dtype))


def _pick(tree: Any, seed: int) -> Any:
    return jax.tree.map(lambda x: x[seed], tree)


def _save(stores: Sequence[Checkpoints], states: RunState) -> None:
    for seed, store in enumerate(stores):
        store.save(_pick(states, seed))


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


def _rows(
    algorithm: Algorithm, logs: dict[str, np.ndarray], step: int, seconds: dict[str, float], elapsed: float
) -> list[dict[str, Any]]:
    """One row of metrics per iteration of a window that began at `step` and took `elapsed` seconds, shared out evenly.

    `logs` are `[count]`, `seconds` those of the run after the window.
    """
    count, per_iteration = len(next(iter(logs.values()))), algorithm.env_steps_per_iteration
    memory = {"memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if stats := jax.local_devices()[0].memory_stats():
        memory["device_memory_mib"] = stats["peak_bytes_in_use"] / 2**20
    rows = []
    for i in range(count):
        to_come = elapsed * (1 - (i + 1) / count)
        row: dict[str, Any] = {"iteration": step + i + 1, "env_steps": (step + i + 1) * per_iteration}
        row |= seconds | {name: seconds[name] - to_come for name in ("wall_seconds", "train_seconds")}
        row["env_steps_per_second"] = count * per_iteration / elapsed
        row |= {name: float(values[i]) if np.isfinite(values[i]) else None for name, values in logs.items()}
        rows.append(row | memory)
    return rows
