"""The host loop around jitted windows of iterations: log, checkpoint, guard, show progress, evaluate."""

import contextlib
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import evaluation, plots
from .checkpoint import Checkpoints
from .config import ExperimentConfig
from .errors import ConfigError
from .runlog import RunLog, read_metrics, readable_errors, write_atomically
from .types import Algorithm, Array, Key, MetaEnv, RunState, Suite

MAX_ROLLBACKS = 3


class TrainingError(RuntimeError):
    """Training cannot go on; the last good checkpoint is whole."""


class Interrupted(Exception):
    """A signal ended the run early; it is saved and can be resumed."""

    def __init__(self, signal_number: int, iteration: int):
        super().__init__(f"signal {signal_number} at iteration {iteration}")
        self.signal, self.iteration = signal_number, iteration


def base_key(seed: int) -> Key:
    """The key that iteration i folds into: `fold_in(base_key(seed), i)`."""
    return jax.random.key(seed)


def evaluation_key(seed: int) -> Key:
    """The key of held-out tasks; training folds in iterations, which never reach this number."""
    return jax.random.fold_in(base_key(seed), 2**32 - 1)


def make_window(algorithm: Algorithm, key: Key, size: int) -> Callable:
    """A jitted function: state, count <= size -> state, metrics `[size]` of which the first `count` are filled.

    `finite` is among the metrics: whether parameters, losses and gradients all were (returns and successes are not where no
    episode has ended yet). The count is an argument, not a shape, so that
    one compiled program serves every window and a resumed run repeats an uninterrupted one bit for bit.
    """

    def window(state: RunState, count: Array) -> tuple[RunState, dict[str, Array]]:
        def body(i: Array, carry):
            state, logs = carry
            state, metrics = algorithm.iterate(state, jax.random.fold_in(key, state.step))
            watched = {name: m for name, m in metrics.items() if not name.startswith(("return_", "success_"))}
            finite = [jnp.isfinite(x).all() for x in jax.tree.leaves((state.params, watched))]
            metrics = metrics | {"finite": jnp.stack(finite).all()}
            return state, jax.tree.map(lambda log, m: log.at[i].set(m), logs, metrics)

        shapes = jax.eval_shape(lambda s: algorithm.iterate(s, key)[1], state)
        logs = {name: jnp.zeros(size, m.dtype) for name, m in shapes.items()} | {"finite": jnp.zeros(size, bool)}
        return jax.lax.fori_loop(0, count, body, (state, logs))

    return jax.jit(window, donate_argnums=0)


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


def train(
    config: ExperimentConfig,
    algorithm: Algorithm,
    eval_env: MetaEnv | Suite,
    log: RunLog,
    progress: Callable[[dict], None],
) -> dict[str, Any]:
    """Runs, or goes on with, the run in `log.directory`.

    Args:
      config: of the run.
      algorithm: made of it.
      eval_env: to draw held-out tasks from.
      log: the run's directory.
      progress: called after every window with its last row of metrics.

    Returns:
      The summary that is also in summary.json.

    Raises:
      Interrupted: SIGINT or SIGTERM came.
      TrainingError: loss, gradients or parameters were not finite once more after the last permitted roll-back, or memory
        ran out.
      ConfigError: the run directory cannot be written.
    """
    state = jax.jit(algorithm.init)(base_key(config.seed))
    with readable_errors(log.directory):
        checkpoints = Checkpoints(log.directory / "checkpoints", config.keep_checkpoints)
        if checkpoints.latest_step is None:
            checkpoints.save(state, None)
        else:
            state = checkpoints.resume(state)
            log.truncate(int(state.step))
        if int(state.step) > config.iterations:
            raise ConfigError(
                f"the run has done {int(state.step)} iterations, more than --iterations {config.iterations}."
            )
        log.write_config(config)  # a resumed run may have been given more iterations
        with _readable_memory_errors(checkpoints):
            state = _loop(config, algorithm, state, checkpoints, log, progress)
        checkpoints.close()
        return _finish(config, algorithm, eval_env, state, log)


def _loop(
    config: ExperimentConfig,
    algorithm: Algorithm,
    state: RunState,
    checkpoints: Checkpoints,
    log: RunLog,
    progress: Callable[[dict], None],
) -> RunState:
    """Windows until the last iteration; `Interrupted` on a signal."""
    window = make_window(algorithm, base_key(config.seed), config.window)
    rows = read_metrics(log.directory)
    seconds = rows[-1]["seconds"] if rows else 0.0
    step = int(state.step)
    scores: list[float] = []  # returns after adaptation since the latest checkpoint
    with Stop() as stop:
        while step < config.iterations and stop.signal is None:
            start = time.perf_counter()
            count = min(
                config.window, config.iterations - step, config.checkpoint_every - step % config.checkpoint_every
            )
            state, logs = window(state, count)
            logs = jax.tree.map(lambda x, count=count: np.asarray(x)[:count], logs)
            if not logs.pop("finite").all():
                state = _roll_back(checkpoints, state)
                step, scores = int(state.step), []
                log.truncate(step)
                continue
            elapsed = time.perf_counter() - start
            rows = _rows(algorithm, logs, step, count, seconds, elapsed)
            log.log(rows)
            step, seconds = step + count, seconds + elapsed
            scores += [row["return_after"] for row in rows if row["return_after"] is not None]
            if step % config.checkpoint_every == 0 or step == config.iterations:
                checkpoints.save(state, float(np.mean(scores)) if scores else None)
                scores = []
            progress(rows[-1])
        if stop.signal is not None:
            checkpoints.save(state, None)
            checkpoints.close()
            raise Interrupted(stop.signal, step)
    return state


@contextlib.contextmanager
def _readable_memory_errors(checkpoints: Checkpoints):
    """Turns running out of host or device memory into a TrainingError that says what to lower."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        words = f"{type(error).__name__}: {error}"
        if not any(sign in words for sign in ("RESOURCE_EXHAUSTED", "bad_alloc", "MemoryError")):
            raise
        raise TrainingError(
            "out of memory. Lower --algorithm.num-tasks or --algorithm.envs-per-task, or raise --algorithm.task-chunks, which "
            f"takes the tasks in parts; checkpoint {checkpoints.latest_step} is whole."
        ) from error


def _roll_back(checkpoints: Checkpoints, state: RunState) -> RunState:
    """The last good state with half the outer learning rate; TrainingError after MAX_ROLLBACKS of them."""
    bad_step, lr_scale = int(state.step), float(state.lr_scale) / 2
    state = checkpoints.resume(state)
    if lr_scale < 0.5**MAX_ROLLBACKS:
        raise TrainingError(
            f"loss, gradients or parameters were not finite by iteration {bad_step}, after {MAX_ROLLBACKS} roll-backs with "
            f"smaller learning rates. Lower algorithm.optimizer.lr or algorithm.inner.lr; checkpoint {int(state.step)} is whole."
        )
    print(
        f"not finite by iteration {bad_step}: back to checkpoint {int(state.step)} with {lr_scale} of the outer learning rate",
        file=sys.stderr,
    )
    return state._replace(lr_scale=jnp.full_like(state.lr_scale, lr_scale))


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


def evaluate(
    config: ExperimentConfig,
    algorithm: Algorithm,
    eval_env: MetaEnv | Suite,
    state: RunState,
    directory: Path,
    name: str,
) -> dict[str, Any]:
    """Adaptation curve on held-out tasks, as `config.evaluation` says: written to eval/NAME.json, drawn, and returned."""
    settings = config.evaluation
    curve_of = jax.jit(
        lambda state, key: evaluation.adaptation_curve(
            algorithm, eval_env, state, key, (settings.tasks, settings.episodes), settings.steps
        )
    )
    returns, success = (np.asarray(x) for x in curve_of(state, evaluation_key(config.seed)))
    curve = {
        "env": config.env,
        "iteration": int(state.step),
        "episodes": settings.episodes,
        "horizon": eval_env.spec.horizon,
        "steps": list(range(settings.steps + 1)),
        **_estimates(returns),
        "returns": returns.tolist(),
    }
    if eval_env.spec.has_success:
        curve["success"] = _estimates(success) | {"values": success.tolist()}
    if isinstance(eval_env, Suite):
        curve["task_env"] = np.repeat(
            [e.spec.name for e in eval_env.envs], settings.tasks // len(eval_env.envs)
        ).tolist()
    write_atomically(directory / "eval" / f"{name}.json", json.dumps(curve, indent=2))
    title = f"{config.env}: {settings.tasks} held-out tasks"
    plots.adaptation_curve({config.preset: curve}, directory / "plots" / "adaptation.png", title)
    return curve


def _estimates(values: np.ndarray) -> dict[str, list]:
    """Mean, IQM and intervals of each row of `[K + 1, N]`."""
    estimates = [evaluation.estimate(row)._asdict() for row in values]
    return {name: np.array([e[name] for e in estimates]).tolist() for name in evaluation.Estimate._fields}


def _finish(
    config: ExperimentConfig, algorithm: Algorithm, eval_env: MetaEnv | Suite, state: RunState, log: RunLog
) -> dict[str, Any]:
    """Evaluates, draws, and sums the run up."""
    curve = evaluate(config, algorithm, eval_env, state, log.directory, f"iteration-{int(state.step)}")
    rows = read_metrics(log.directory)
    plots.learning_curves({config.preset: rows}, log.directory / "plots" / "learning.png")
    summary = {
        "preset": config.preset,
        "seed": config.seed,
        "iterations": rows[-1]["iteration"],
        "env_steps": rows[-1]["env_steps"],
        "env_steps_per_second": rows[-1]["env_steps"] / rows[-1]["seconds"],
        "seconds": rows[-1]["seconds"],
    }
    for what, estimates in (("return", curve), ("success", curve.get("success"))):
        for when, point in (("before", 0), ("after", -1)):
            if estimates:
                summary[f"{what}_{when}"] = {name: estimates[name][point] for name in evaluation.Estimate._fields}
    write_atomically(log.directory / "summary.json", json.dumps(summary, indent=2))
    return summary
