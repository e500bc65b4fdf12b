"""The package's environments as pure functions: what they say is bit for bit what the package says."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import cli, rollout
from metarl_jax.benchmarks.metaworld import host_env, reference
from metarl_jax.envs import make
from metarl_jax.errors import ConfigError
from metarl_jax.runs import runlog
from metarl_jax.show import tables

T = 30


@pytest.mark.parametrize("name", ["push-v3", "door-open-v3"])
def test_an_episode_is_the_package_episode(name):
    """Of two tasks that one worker steps in turn, hence every step from a state that was handed in."""
    env = host_env.make(f"metaworld-host/{name}/ml1", physics="auto", horizon=None, split="train")
    tasks = env.tasks[:2]
    actions = jax.random.uniform(jax.random.key(0), (T, 2, 4), minval=-1.0, maxval=1.0)

    @jax.jit
    def play(tasks):
        states, first = jax.vmap(env.reset)(jax.random.split(jax.random.key(0)), tasks)
        step = lambda states, action: jax.vmap(env.step)(states, action, tasks)  # noqa: E731
        return first, jax.lax.scan(step, states, actions)[1]

    first, steps = play(tasks)
    for index in range(2):
        theirs = reference.make_reference(name, np.asarray(tasks[index], np.float64), show_goal=False)
        remaining = iter(np.asarray(actions[:, index]))
        episode = reference.play(theirs, lambda obs, remaining=remaining: next(remaining), T)
        np.testing.assert_array_equal(first.obs[index], episode.first_obs.astype(np.float32))
        np.testing.assert_array_equal(steps.obs[:, index], episode.obs.astype(np.float32))
        np.testing.assert_array_equal(steps.reward[:, index], episode.reward.astype(np.float32))
        for info in reference.INFO:
            np.testing.assert_array_equal(steps.info[info][:, index], episode.info[info].astype(np.float32))


def test_a_suite_has_the_shape_of_ours():
    """Tasks, spec, labels and the collected experience."""
    what = "reach-v3+drawer-close-v3/mt1/one-hot"
    host, ours = (
        host_env.make(f"metaworld-host/{what}", physics="auto", horizon=3, split="train"),
        make(f"metaworld/{what}", horizon=3),
    )
    assert host.spec._replace(name="") == ours.spec._replace(name="")
    collected = []
    for env in (host, ours):
        tasks = rollout.sample_tasks(env, jax.random.key(0), 4)

        def act(obs, history, key):
            action = jnp.full((*obs.shape[:2], 4), 0.5)
            return (), rollout.ActionSample(action, action, (), obs[..., 0])

        @jax.jit
        def run(tasks, env=env, act=act):
            state = rollout.start(env, tasks, jax.random.key(1), (4, 2))
            return rollout.collect(env, act, tasks, state, jax.random.key(2), 4)[1]

        collected.append(run(tasks))
    host, ours = collected
    assert host.last_t[..., 2].all() and not host.last_t[..., 3].any()
    np.testing.assert_array_equal(host.obs_t[..., 39:], ours.obs_t[..., 39:])
    np.testing.assert_allclose(host.obs_t, ours.obs_t, atol=1e-3)
    np.testing.assert_allclose(host.reward_t, ours.reward_t, atol=1e-2)


def test_workers_are_replaced_once(capfd):
    """A step begins with a state that is handed in, so that a fresh worker goes on with it."""
    env = host_env.make("metaworld-host/reach-v3/ml1", physics="auto", horizon=5, split="train")
    task, step = env.tasks[0], jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0), task)
    undisturbed = step(step(state, jnp.ones(4), task)[0], jnp.ones(4), task)[1]
    state, _ = step(state, jnp.ones(4), task)
    jax.block_until_ready(state)
    os.kill(env._pool._workers[0]._process.pid, signal.SIGKILL)
    _, timestep = step(state, jnp.ones(4), task)
    jax.tree.map(np.testing.assert_array_equal, timestep, undisturbed)
    assert "restarted" in capfd.readouterr().err
    os.kill(env._pool._workers[0]._process.pid, signal.SIGKILL)
    with pytest.raises((RuntimeError, ValueError), match="WorkerError: an environment of 'reach-v3' died"):
        jax.block_until_ready(step(state, jnp.ones(4), task))


def test_a_failed_worker_in_compiled_code_is_one_line(monkeypatch, capfd):
    def fail(*args):
        raise RuntimeError(
            "INTERNAL: CpuCallback error: Traceback\nWorkerError: an environment of 'reach-v3' died\nat ..."
        )

    monkeypatch.setattr(tables, "print_tables", fail)
    assert cli.main(["list"]) == 1
    assert capfd.readouterr().err == "error: an environment of 'reach-v3' died\n"


@pytest.mark.slow
def test_training(tmp_path):
    """Two iterations from the command line; a resumed run is the uninterrupted one, since states are handed over whole."""
    argv = ["--horizon", "3", "--algorithm.num-tasks", "2", "--algorithm.envs-per-task", "2", "--checkpoint-every", "1"]
    argv += ["--algorithm.update.minibatches", "1", "--evaluation.tasks", "2", "--evaluation.episodes", "1"]
    argv += ["--env", "metaworld-host/reach-v3/ml1"]
    for name, first in (("whole", "2"), ("resumed", "1")):
        assert cli.main(["train", *argv, "--iterations", first, "--run-dir", str(tmp_path / name)]) == 0
    assert cli.main(["train", "--resume", str(tmp_path / "resumed"), "--iterations", "2"]) == 0
    rows = [runlog.read_metrics(tmp_path / name)[1] for name in ("whole", "resumed")]
    assert len({row["return_after"] for row in rows}) == 1


def test_bad_names():
    for name, physics, words in (
        ("metaworld-host/reech-v3", "auto", "did you mean 'reach-v3'"),
        ("metaworld-host/reach-v3", "mjx", "whose physics is mujoco"),
    ):
        with pytest.raises(ConfigError, match=words):
            host_env.make(name, physics=physics, horizon=None, split="train")
