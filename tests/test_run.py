"""A run from its first iteration to its summary: the run directory, resuming, roll-backs, signals."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import algorithms
from metarl_jax.config import EvaluationConfig, ExperimentConfig, from_json
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.learning.distributions import Gaussian
from metarl_jax.rollout import ActionSample
from metarl_jax.runs import judging, runlog, training
from metarl_jax.runs.checkpoint import Checkpoints
from metarl_jax.runs.clock import FIELDS
from metarl_jax.runs.runlog import RunLog
from metarl_jax.runs.signals import Interrupted
from metarl_jax.runs.training import TrainingError
from metarl_jax.runs.window import each_seed, make_window
from metarl_jax.types import Adaptation, Algorithm, Kept, RunState

EVALUATION = EvaluationConfig(tasks=3, episodes=2, steps=1)
PNG = b"\x89PNG\r\n"


@pytest.fixture
def configure(tiny_algorithms, policy_for):
    """A small run; keywords change it."""

    def make(algorithm="maml-ppo", **changes):
        config = ExperimentConfig(
            preset="tiny",
            env="point-test",
            algorithm=tiny_algorithms[algorithm],
            iterations=6,
            policy=policy_for(algorithm),
            evaluation=EVALUATION,
            checkpoint_every=2,
        )
        return dataclasses.replace(config, **changes)

    return make


class Told:
    """A judge who finds a return after adaptation that is given by iteration."""

    def __init__(self, judge, returns):
        self._judge, self._returns = judge, returns

    def __getattr__(self, name):
        return getattr(self._judge, name)

    def __call__(self, state, seed):
        curve = self._judge(state, seed)
        curve["mean"][-1] = self._returns[curve["iteration"]]
        return curve


@pytest.fixture
def train(make_point):
    """Trains in a directory, anew or onwards; `progress` sees each window's last row, `judged` is the return after adaptation
    that evaluations find, by iteration.
    """

    def go(directory, config, progress=lambda row: None, resume=False, judged=None):
        env = make_point()
        with RunLog.resume(directory) if resume else RunLog.create(directory, config) as log:
            algorithm = algorithms.make_algorithm(config.algorithm, env, config.policy, config.iterations)
            judge = judging.make_judge(config, algorithm, env, env)
            judge = judge if judged is None else Told(judge, judged)
            return training.train([training.Run(config, log)], algorithm, judge, progress)[0]

    return go


def interrupt_at(iteration, number=signal.SIGTERM):
    """Progress that sends this process a signal."""
    return lambda row: os.kill(os.getpid(), number) if row["iteration"] >= iteration else None


def saved(directory, config, make_point, which="latest"):
    """The state in the run's checkpoint."""
    algorithm = algorithms.make_algorithm(config.algorithm, make_point(), config.policy, config.iterations)
    checkpoints = Checkpoints(directory / "checkpoints", config.keep_checkpoints)
    state = checkpoints.restore(jax.eval_shape(algorithm.init, jax.random.key(0)), which)
    checkpoints.close()
    return state


def timeless(rows):
    """Metrics without what depends on the clock and the machine's memory."""
    clock = {*FIELDS, "env_steps_per_second", "memory_mib", "device_memory_mib"}
    return [{name: value for name, value in row.items() if name not in clock} for row in rows]


def test_a_replay_can_be_left_out_of_checkpoints(tmp_path, configure, train, make_point):
    """A resumed run fills it anew, and learns nothing before it holds as much as a run begins to learn with."""
    config = configure("sac", iterations=4, checkpoint_every=50)
    algorithm = dataclasses.replace(config.algorithm, checkpoint_replay=False, random_steps=64)  # two iterations
    config = dataclasses.replace(config, algorithm=algorithm)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", config, interrupt_at(3))
    (checkpoint,) = (tmp_path / "run" / "checkpoints" / "latest").glob("3")
    assert not any("replay" in path.name for path in checkpoint.rglob("*"))
    train(tmp_path / "run", config, resume=True)
    losses = [row["critic_loss"] for row in runlog.read_metrics(tmp_path / "run")]
    assert [loss > 0.0 for loss in losses] == [False, True, True, False]


def steps_of(directory, which):
    return sorted(int(p.name) for p in (directory / "checkpoints" / which).iterdir() if p.name.isdigit())


def assert_same_state(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


# The real algorithms.


@pytest.mark.parametrize(
    ("algorithm", "window"),
    [
        pytest.param("maml-ppo", 1, marks=pytest.mark.slow),
        pytest.param("maml-trpo", 3, marks=pytest.mark.slow),
        ("ppo", 3),
        ("sac", 2),
        ("pearl", 2),
    ],
)
def test_interrupted_and_extended_runs_equal_an_uninterrupted_one(
    tmp_path, configure, train, make_point, algorithm, window
):
    """10 iterations at once; 10, stopped by a signal after 6; 6, extended to 10: bit for bit the same."""
    config = configure(algorithm, iterations=10, window=window, checkpoint_every=50)
    config = dataclasses.replace(config, evaluation=dataclasses.replace(EVALUATION, every=3))
    shorter = dataclasses.replace(config, iterations=6)
    whole, stopped, extended = tmp_path / "whole", tmp_path / "stopped", tmp_path / "extended"
    summary = train(whole, config)
    with pytest.raises(Interrupted) as stop:
        train(stopped, config, interrupt_at(6))
    assert stop.value.iteration == 6 and stop.value.signal == signal.SIGTERM
    assert len(runlog.read_metrics(stopped)) == 6 and not (stopped / "summary.json").exists()
    train(extended, shorter)
    for directory in (stopped, extended):
        resumed = train(directory, config, resume=True)
        rows = timeless(runlog.read_metrics(directory))
        assert rows == timeless(runlog.read_metrics(whole))
        assert [row["iteration"] for row in rows if "eval_return_after" in row] == [3, 6, 9, 10]
        assert_same_state(saved(directory, config, make_point), saved(whole, config, make_point))
        for name in ("return_before", "return_after"):
            assert resumed[name] == summary[name]
        assert from_json((directory / "config.json").read_text()) == config


def test_run_directory(tmp_path, configure, train):
    directory, config, seen = tmp_path / "deep" / "run", configure(window=4), []
    summary = train(directory, config, seen.append)
    assert from_json((directory / "config.json").read_text()) == config
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["iteration"] for row in seen] == [2, 4, 6]  # a window ends where a checkpoint is due
    per_iteration = 8 * 8 * 8 * 2
    assert [row["env_steps"] for row in rows] == [per_iteration * i for i in range(1, 7)]
    names = {"loss", "entropy", "kl", "inner_grad_norm", "outer_grad_norm", "env_steps_per_second", "memory_mib"}
    names |= {"return_before", "return_after", "action_mean", "action_std", "action_min", "action_max", *FIELDS}
    for row in rows:
        assert names <= set(row)
        assert all(np.isfinite(value) for value in row.values())
        assert -0.3001 <= row["action_min"] <= row["action_mean"] <= row["action_max"] <= 0.3001
    for name in ("wall_seconds", "train_seconds"):
        assert np.all(np.diff([row[name] for row in rows]) > 0.0)

    assert json.loads((directory / "summary.json").read_text()) == summary
    assert {"preset", "seed", "iterations", "env_steps", "env_steps_per_second", *FIELDS} <= set(summary)
    assert (summary["preset"], summary["seed"], summary["iterations"]) == ("tiny", 0, 6)
    assert summary["env_steps"] == 6 * per_iteration
    assert summary["train_seconds"] == rows[-1]["train_seconds"]
    np.testing.assert_allclose(
        summary["env_steps_per_second"],
        5 * per_iteration / (rows[-1]["train_seconds"] - rows[0]["train_seconds"]),
    )
    (eval_path,) = (directory / "eval").glob("*.json")
    curve = json.loads(eval_path.read_text())
    assert np.shape(curve["returns"]) == (2, 3)
    for name, point in (("return_before", 0), ("return_after", -1)):
        assert set(summary[name]) == {"mean", "iqm", "interval", "mean_interval"}
        np.testing.assert_allclose(summary[name]["mean"], np.mean(curve["returns"][point]), rtol=1e-6)
        low, high = summary[name]["interval"]
        assert low <= summary[name]["iqm"] <= high
    for plot in ("learning", "adaptation-iteration-6"):
        assert (directory / "plots" / f"{plot}.png").read_bytes().startswith(PNG)
    (events,) = (directory / "tensorboard").iterdir()
    content = events.read_bytes()
    assert all(name.encode() in content for name in names | {"eval_return_after"})
    assert steps_of(directory, "latest") == [2, 4, 6] and len(steps_of(directory, "best")) == 1


# The loop alone, around an algorithm whose course is known.


def scripted(score=lambda step: 0.0, bad=lambda step, lr_scale: False):
    """Counts; iteration i (from 0) reports `score(i)` and breaks where `bad(i, lr_scale)`."""

    def init(key):
        zero = jnp.zeros(())
        return RunState(jnp.zeros((), int), {"w": zero}, (), normalize.init(1), jnp.ones(()), Kept())

    def iterate(state, key):
        broken = jnp.where(bad(state.step, state.lr_scale), jnp.nan, 1.0)
        noise = jax.random.uniform(key)
        params = {"w": state.params["w"] + state.lr_scale * broken}
        after = jnp.asarray(score(state.step), float)
        metrics = {"loss": noise * broken, "return_before": jnp.zeros(()), "return_after": after}
        return state._replace(step=state.step + 1, params=params), metrics

    def act(state, params):
        def fn(obs, history, key):
            zero = jnp.zeros((*obs.shape[:2], 2))
            return (), ActionSample(zero, zero, Gaussian(zero, zero), zero[..., 0])

        return fn

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: state.params,
        act=act,
        init_carry=lambda shape: (),
        keeps_history=False,
        adapt=lambda state, params, t: params,
        adaptation=Adaptation(1, 2),
        env_steps_per_iteration=100,
    )


@pytest.fixture
def script(monkeypatch):
    """Makes training use a scripted algorithm."""
    return lambda **course: monkeypatch.setattr(algorithms, "make_algorithm", lambda *_: scripted(**course))


def test_roll_back_halves_the_outer_rate_and_goes_on(tmp_path, configure, train, make_point, script, capfd):
    """Iteration 5 (the sixth) breaks until the rate is a quarter; checkpoint 4 is what it goes back to."""
    script(bad=lambda step, lr_scale: (step == 5) & (lr_scale > 0.3))
    config, directory = configure(iterations=8), tmp_path / "run"
    train(directory, config)
    err = capfd.readouterr().err.strip().splitlines()
    assert len(err) == 2
    assert "back to checkpoint 4 with 0.5 of" in err[0] and "back to checkpoint 4 with 0.25 of" in err[1]
    state = saved(directory, config, make_point)
    assert state.lr_scale == 0.25 and int(state.step) == 8
    assert state.params["w"] == 4.0 + 4 * 0.25  # four steps before, four after
    assert [row["iteration"] for row in runlog.read_metrics(directory)] == list(range(1, 9))


def test_roll_back_of_a_window(tmp_path, configure, train, make_point, script):
    """The good iterations of a window that breaks are run again too."""
    script(bad=lambda step, lr_scale: (step == 5) & (lr_scale > 0.6))
    config, directory = configure(iterations=8, window=4, checkpoint_every=4), tmp_path / "run"
    train(directory, config)
    assert [row["iteration"] for row in runlog.read_metrics(directory)] == list(range(1, 9))
    assert saved(directory, config, make_point).params["w"] == 4.0 + 4 * 0.5


def test_gives_up_after_three_roll_backs(tmp_path, configure, train, make_point, script, capfd):
    script(bad=lambda step, lr_scale: step == 5)
    config, directory = configure(), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"3 roll-backs.*algorithm.optimizer.lr.*checkpoint 4 is whole"):
        train(directory, config)
    assert capfd.readouterr().err.count("back to checkpoint 4") == 3
    state = saved(directory, config, make_point)
    assert int(state.step) == 4 and state.params["w"] == 4.0
    assert [row["iteration"] for row in runlog.read_metrics(directory)] == [1, 2, 3, 4, 5]  # the sixth is what broke


def test_roll_backs_count_over_the_whole_run(tmp_path, configure, train, script):
    """Trouble at four places is too much, although each of them passes with a smaller rate."""
    script(bad=lambda step, lr_scale: lr_scale > 0.9 * 0.5 ** (step // 2))
    with pytest.raises(TrainingError):
        train(tmp_path / "run", configure(iterations=20))


def every(number):
    return dataclasses.replace(EVALUATION, every=number)


def test_best_checkpoint_is_the_state_that_was_judged(tmp_path, configure, train, make_point, script):
    """Its own evaluation decides: not the returns of training, which are of the policies before it."""
    scores = jnp.array([0.0, 2.0, 4.0, 6.0, 10.0, 5.0, 3.0, 3.0, 9.0, 5.0])  # means over two: 1, 5, 7.5, 3, 7
    script(score=lambda step: scores[step])
    config, directory = configure(iterations=10, keep_checkpoints=2, evaluation=every(3)), tmp_path / "run"
    train(directory, config, judged={3: -3.0, 6: -5.0, 9: -1.0, 10: -4.0})
    assert steps_of(directory, "best") == [9] and steps_of(directory, "latest") == [9, 10]
    for which, step in (("best", 9), ("latest", 10)):
        state = saved(directory, config, make_point, which)
        assert int(state.step) == step and state.params["w"] == step
    rows = runlog.read_metrics(directory)
    assert {row["iteration"]: row["eval_return_after"] for row in rows if "eval_return_after" in row} == {
        3: -3.0,
        6: -5.0,
        9: -1.0,
        10: -4.0,
    }


def test_no_evaluation_but_the_last(tmp_path, configure, train, script):
    script()
    directory = tmp_path / "run"
    train(directory, configure(evaluation=every(0)))
    assert ["eval_return_after" in row for row in runlog.read_metrics(directory)] == [False] * 5 + [True]
    assert steps_of(directory, "best") == [6]


def test_best_checkpoint_survives_a_resume(tmp_path, configure, train, make_point, script):
    script()
    config, directory = configure(evaluation=every(1)), tmp_path / "run"
    judged = {1: 1.0, 2: 9.0, 3: 5.0, 4: 8.0, 5: 2.0, 6: 3.0}
    with pytest.raises(Interrupted):
        train(directory, config, interrupt_at(3), judged=judged)
    train(directory, config, resume=True, judged=judged)
    assert steps_of(directory, "best") == [2]


def test_best_checkpoint_of_what_is_no_more(tmp_path, configure, train, make_point, script, capfd):
    """The newest checkpoints are lost: what is best from there on is not measured by a state that was beyond them."""
    script()
    config, directory = configure(iterations=8, keep_checkpoints=9, evaluation=every(2)), tmp_path / "run"
    train(directory, config, judged={2: 1.0, 4: 2.0, 6: 9.0, 8: 3.0})
    assert steps_of(directory, "best") == [6]
    for step in ("6", "8"):
        for path in (directory / "checkpoints" / "latest" / step / "default").rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    train(directory, config, resume=True, judged={6: 4.0, 8: 5.0})
    assert steps_of(directory, "best") == [8]
    assert (directory / "checkpoints" / "abandoned-best-6").is_dir()


@pytest.mark.parametrize("window", [1, 4])
def test_checkpoints_are_kept_at_the_interval(tmp_path, configure, train, script, window):
    script()
    directory = tmp_path / "run"
    train(directory, configure(iterations=11, checkpoint_every=3, keep_checkpoints=10, window=window))
    assert steps_of(directory, "latest") == [0, 3, 6, 9, 11]


def test_rows_after_the_checkpoint_are_forgotten(tmp_path, configure, train, script):
    """A run that was killed: rows 3 and 4 (cut short) are later than checkpoint 2 and are run again."""
    script()
    config, directory = configure(iterations=6), tmp_path / "run"
    train(directory, config)
    whole = timeless(runlog.read_metrics(directory))
    for step in ("4", "6"):
        shutil.rmtree(directory / "checkpoints" / "latest" / step)
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    (directory / "metrics.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])
    train(directory, config, resume=True)
    assert timeless(runlog.read_metrics(directory)) == whole
    assert len((directory / "metrics.jsonl").read_text().splitlines()) == 6


def test_time_goes_on_over_a_resume(tmp_path, configure, train, script):
    script()
    config, directory = configure(), tmp_path / "run"
    with pytest.raises(Interrupted):
        train(directory, config, interrupt_at(3))
    train(directory, config, resume=True)
    rows = runlog.read_metrics(directory)
    for name in FIELDS[0], FIELDS[2]:
        seconds = [row[name] for row in rows]
        assert len(seconds) == 6 and np.all(np.diff(seconds) > 0.0)
    assert rows[3]["compile_seconds"] > rows[2]["compile_seconds"] == rows[0]["compile_seconds"]


def test_a_finished_run_can_be_resumed(tmp_path, configure, train, script):
    script()
    config, directory = configure(), tmp_path / "run"
    first = train(directory, config)
    second = train(directory, config, resume=True)
    assert second.pop("wall_seconds") > first.pop("wall_seconds")
    assert second.pop("compile_seconds") > first.pop("compile_seconds") - 1e-9
    assert second == first


def test_fewer_iterations_than_done(tmp_path, configure, train, script):
    """Refused, and the configuration on disk stays as it was."""
    script()
    config, directory = configure(), tmp_path / "run"
    train(directory, config)
    before = (directory / "config.json").read_text()
    with pytest.raises(ConfigError, match="6 iterations, more than"):
        train(directory, dataclasses.replace(config, iterations=4), resume=True)
    assert (directory / "config.json").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_signals_end_the_loop(tmp_path, configure, train, make_point, script, number):
    script()
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    config, directory = configure(), tmp_path / "run"
    with pytest.raises(Interrupted) as stop:
        train(directory, config, interrupt_at(3, number))
    assert (stop.value.signal, stop.value.iteration) == (number, 3)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert int(saved(directory, config, make_point).step) == 3


# The run directory.


def test_a_used_directory_is_refused(tmp_path, configure, train, script):
    script()
    config, directory = configure(), tmp_path / "run"
    train(directory, config)
    files = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match="not empty"):
        RunLog.create(directory, config)
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == files


def test_two_processes_in_one_directory_are_refused(tmp_path, configure):
    """The second opens the directory while the first still writes."""
    config, directory = configure(), tmp_path / "run"
    with RunLog.create(directory, config):
        (directory / "checkpoints" / "latest" / "0").mkdir(parents=True)
        code = (
            "import sys, pathlib\nfrom metarl_jax.runs import runlog\nfrom metarl_jax.errors import ConfigError\n"
            "d = pathlib.Path(sys.argv[1])\n"
            "try:\n    runlog.RunLog.resume(d)\n"
            "except ConfigError as e:\n    sys.exit(str(e))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(directory)], capture_output=True, text=True)
    assert done.returncode == 1 and "two runs into one directory are refused" in done.stderr
    RunLog.resume(directory).close()


def test_a_checkpoint_of_another_network_is_refused(tmp_path, configure, train):
    config, directory = configure(iterations=1), tmp_path / "run"
    train(directory, config)
    wider = dataclasses.replace(config.policy.network, hidden=(16,))
    other = dataclasses.replace(config, iterations=2, policy=dataclasses.replace(config.policy, network=wider))
    with pytest.raises(ConfigError, match="does not fit this configuration"):
        train(directory, other, resume=True)
    assert steps_of(directory, "latest") == [0, 1]


def test_a_checkpoint_of_another_algorithm_is_refused(tmp_path, configure, train):
    config, directory = configure(iterations=1), tmp_path / "run"
    train(directory, config)
    with pytest.raises(ConfigError, match="does not fit this configuration"):
        train(directory, configure("ppo", iterations=2), resume=True)


def test_full_disk(tmp_path, configure, make_point, script, monkeypatch):
    """Metrics go to a device that is always full: one readable error, also when the log is closed."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    script()
    config, directory = configure(), tmp_path / "run"
    monkeypatch.setattr(runlog, "open", lambda path, mode: open("/dev/full", mode), raising=False)  # noqa: SIM115
    with pytest.raises(ConfigError, match="No space left on device"), RunLog.create(directory, config) as log:
        judge = judging.make_judge(config, scripted(), make_point(), make_point())
        training.train([training.Run(config, log)], scripted(), judge, lambda row: None)
    assert int(saved(directory, config, make_point).step) == 0


def test_write_atomically_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    runlog.write_atomically(path, "old")

    def full(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space"):
        runlog.write_atomically(path, "new")
    assert path.read_text() == "old"


def test_window_counts(make_point):
    """One program for windows of any length, and its iterations are those of single steps."""
    algorithm = scripted(score=lambda step: step)
    keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
    window = jax.jit(make_window(algorithm, 4))
    states = jax.jit(each_seed(algorithm.init, 2))(keys)
    states, logs = window(states, keys, 3)
    assert states.step.tolist() == [3, 3] and np.asarray(logs["finite"]).tolist() == [[True, True, True, False]] * 2
    for seed in range(2):
        np.testing.assert_array_equal(logs["return_after"][seed, :3], [0.0, 1.0, 2.0])
        expected = [jax.random.uniform(jax.random.fold_in(jax.random.key(seed), i)) for i in range(3)]
        np.testing.assert_array_equal(logs["loss"][seed, :3], expected)
    window(states, keys, 4)
    assert window._cache_size() == 1


@pytest.mark.parametrize("algorithm", ["maml-ppo", "ppo"])
def test_training_compiles_one_window(configure, make_point, algorithm):
    config = configure(algorithm)
    made = algorithms.make_algorithm(config.algorithm, make_point(), config.policy, config.iterations)
    window = jax.jit(make_window(made, 1))
    states = jax.jit(each_seed(made.init, 1))(jax.random.key(0)[None])
    for seed in range(3):
        states, _ = window(states, jax.random.key(seed)[None], 1)
    assert window._cache_size() == 1


# A process of its own.


SMALL = [
    "--algorithm.num-tasks",
    "2",
    "--algorithm.envs-per-task",
    "2",
    "--policy.network.hidden",
    "4",
    "--env",
    "point",
]
SMALL += ["--horizon", "4", "--evaluation.tasks", "2", "--evaluation.episodes", "1", "--iterations", "1000000"]
SMALL += ["--checkpoint-every", "1000000", "--evaluation.every", "0", "--run-dir", "run"]
START = [sys.executable, "-m", "metarl_jax.cli", "train"]


def wait_until(there, process, seconds=600):
    """Waits for a process to have got somewhere; kills it, and fails, where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None and not there():
        time.sleep(0.1)
    if process.poll() is not None or not there():
        process.kill()
        pytest.fail(str(process.communicate()))


def test_second_ctrl_c_within_a_window(tmp_path):
    """The window would take hours: the first Ctrl-C waits for its end, the second does not."""
    argv = [*START, *SMALL, "--window", "16384"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until((tmp_path / "run" / "checkpoints" / "latest" / "0" / "sha256.json").exists, process)
    time.sleep(3.0)  # what lies between that checkpoint and the window is much shorter
    try:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "interrupted" in err and "Traceback" not in err
    assert int(next((tmp_path / "run" / "checkpoints" / "latest").glob("[0-9]*")).name) == 0


def test_ctrl_c_while_compiling(tmp_path):
    """Nothing has begun: one word, exit code 130, and the directory can be begun or resumed as if it were not there."""
    argv = [*START, *SMALL, "--window", "1"]
    # A shell's background jobs do not hear Ctrl-C, and hand that on.
    hears = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", hears, *argv], cwd=tmp_path, **pipes)
    wait_until((tmp_path / "run" / "config.json").exists, process)
    try:
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and err.splitlines()[-1] == "interrupted", err
    assert runlog.has_not_begun(tmp_path / "run")


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_has_not_begun(tmp_path, configure, train, script, resume):
    script()
    config, directory = configure(), tmp_path / "run"
    RunLog.create(directory, config).close()  # and then it was killed
    train(directory, config, resume=resume)
    assert len(runlog.read_metrics(directory)) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_command(tmp_path, number):
    """Saves, says how to go on, and exits with 128 + the signal's number; going on ends the run."""
    process = subprocess.Popen(
        [*START, *SMALL, "--window", "1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 3, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    rows = runlog.read_metrics(tmp_path / "run")
    assert f"saved at iteration {len(rows)}" in out and "metarl train --resume run" in out
    if number == signal.SIGINT:
        return  # going on once is enough
    more = len(rows) + 2
    done = subprocess.run(
        [*START, "--resume", "run", "--iterations", str(more)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [row["iteration"] for row in runlog.read_metrics(tmp_path / "run")] == list(range(1, more + 1))
