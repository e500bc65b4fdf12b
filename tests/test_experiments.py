"""Runs from Python: what the command does, and what becomes of a run in other people's loops."""

import dataclasses
import json
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metarl_jax
from metarl_jax import cli, envs, presets, rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.config import ExperimentConfig, with_fields
from metarl_jax.errors import ConfigError
from metarl_jax.experiments.agent import Agent
from metarl_jax.policies import PolicyConfig
from metarl_jax.runs import runlog
from metarl_jax.runs.clock import FIELDS

SMALL = {"iterations": 3, "horizon": 5, "algorithm.num_tasks": 2, "algorithm.envs_per_task": 2, "env": "point"}
SMALL |= {"algorithm": "fomaml", "window": 1}
SMALL |= {"evaluation.tasks": 4, "evaluation.episodes": 2, "evaluation.steps": 1}
FIELDS_OF_SMALL = {name.replace(".", "__"): value for name, value in SMALL.items()}


def silent(row):
    """Shows nothing."""


def timeless(directory):
    """Metrics without what depends on the clock and the machine's memory."""
    clock = {*FIELDS, "env_steps_per_second", "memory_mib", "device_memory_mib"}
    return [{name: x for name, x in row.items() if name not in clock} for row in runlog.read_metrics(directory)]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A run by the command."""
    directory = tmp_path_factory.mktemp("command") / "run"
    words = [word for name, x in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(x))]
    assert cli.main(["train", "nav-maml", *words, "--run-dir", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same run from Python."""
    return metarl_jax.train(
        "nav-maml", run_dir=tmp_path_factory.mktemp("python") / "run", progress=silent, **FIELDS_OF_SMALL
    )


# Training.


def test_python_does_what_the_command_does(command, trained):
    assert timeless(trained.directory) == timeless(command)
    assert trained.config == runlog.read_config(command)
    assert trained.summary == json.loads((trained.directory / "summary.json").read_text())
    assert trained.metrics[-1]["iteration"] == 3
    top = [{path.name for path in run.iterdir()} for run in (command, trained.directory)]
    assert (
        top[0]
        == top[1]
        >= {"config.json", "metrics.jsonl", "summary.json", "checkpoints", "eval", "plots", "tensorboard"}
    )


def test_signals_off_the_main_thread_are_left_alone(tmp_path, monkeypatch, trained):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before, asked, runs = [signal.getsignal(number) for number in numbers], [], []
    real = signal.signal
    monkeypatch.setattr(signal, "signal", lambda *args: asked.append(args) or real(*args))
    seen = []
    thread = threading.Thread(
        target=lambda: runs.append(
            metarl_jax.train("nav-maml", run_dir=tmp_path / "run", progress=seen.append, **FIELDS_OF_SMALL)
        )
    )
    thread.start()
    thread.join()
    assert asked == [] and [row["iteration"] for row in seen][-1] == 3
    assert timeless(runs[0].directory) == timeless(trained.directory)
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_interrupted_run_goes_on(tmp_path, trained):
    """Ctrl-C in the main thread: saved, nobody's handler is lost, and `resume` comes to the same end."""
    mine = lambda number, frame: None  # noqa: E731
    old = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(KeyboardInterrupt) as stop:
            metarl_jax.train(
                "nav-maml",
                run_dir=tmp_path / "run",
                progress=lambda row: os.kill(os.getpid(), signal.SIGINT) if row["iteration"] == 2 else None,
                **FIELDS_OF_SMALL,
            )
        assert (
            signal.getsignal(signal.SIGTERM) is mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
    finally:
        signal.signal(signal.SIGTERM, old)
    assert isinstance(stop.value, metarl_jax.Interrupted) and stop.value.iteration == 2
    assert "metarl_jax.resume(" in stop.value.__notes__[0] and "iteration 2" in str(stop.value)
    resumed = metarl_jax.resume(tmp_path / "run", progress=silent)
    assert timeless(resumed.directory) == timeless(trained.directory)
    with pytest.raises(ConfigError, match=r"seed cannot change \(only iterations"):
        metarl_jax.resume(tmp_path / "run", seed=1)


@pytest.mark.slow
def test_seeds_are_runs_of_their_own(tmp_path, trained):
    runs = metarl_jax.train_seeds("nav-maml", (0, 3), run_dir=tmp_path / "runs", progress=silent, **FIELDS_OF_SMALL)
    assert [run.directory for run in runs] == [tmp_path / "runs" / "seed-0", tmp_path / "runs" / "seed-3"]
    assert [run.config.seed for run in runs] == [0, 3]
    returns = [[row["return_after"] for row in run.metrics] for run in (*runs, trained)]
    np.testing.assert_allclose(returns[0], returns[2], rtol=1e-4)
    assert returns[0] != returns[1]
    for seeds in ((), (1, 1), (-1,)):
        with pytest.raises(ConfigError, match="seeds"):
            metarl_jax.train_seeds("nav-maml", seeds, run_dir=tmp_path / "more")
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"iteration": 3}, "unknown field 'iteration', in which 'iteration': did you mean 'iterations'"),
        ({"algorithm.inner.rate": 0.1}, "did you mean"),
        ({"seed.x": 1}, "seed has no fields"),
        ({"iterations": "many"}, 'iterations must be a whole number, not "many"'),
        ({"algorithm.inner.lr": "fast"}, "algorithm.inner.lr must be a number"),
        ({"policy.network.hidden": 3}, "policy.network.hidden must be a list"),
        ({"algorithm": "mamlppo"}, "did you mean 'maml-ppo'"),
        ({"algorithm.num_tasks": 0}, "at least 1"),
        ({"seed": np.arange(2)}, "plain numbers"),
        ({"algorithm": 3}, "algorithm must be the name of one"),
    ],
)
def test_fields_that_are_none(fields, words):
    with pytest.raises(ConfigError) as error:
        with_fields(presets.PRESETS["nav-maml"].config, fields)
    assert words in str(error.value)


def test_fields():
    """Several at once, none of which would go alone; tuples, whole numbers as floats, infinity, configurations, algorithms."""
    config = presets.PRESETS["nav-maml"].config
    changed = with_fields(config, {"algorithm.num_tasks": 9, "algorithm.update.minibatches": 9})
    assert (changed.algorithm.num_tasks, changed.algorithm.update.minibatches) == (9, 9)
    changed = with_fields(config, {"policy.network.hidden": (3, 4), "algorithm.optimizer.max_grad_norm": float("inf")})
    assert changed.policy.network.hidden == (3, 4) and changed.algorithm.optimizer.max_grad_norm == float("inf")
    changed = with_fields(
        config, {"algorithm": "reptile", "algorithm.inner.lr": 1, "policy": PolicyConfig(init_log_std=-1.0)}
    )
    assert (changed.algorithm.name, changed.algorithm.inner.lr, changed.policy.init_log_std) == ("reptile", 1.0, -1.0)
    assert with_fields(config, {}) == config


# Agents.


@pytest.fixture(scope="module")
def make_agent(make_point, tiny_algorithms, policy_for):
    """An agent of an algorithm that has learned nothing; whose task ends early when it is near the goal."""

    def make(name):
        env = make_point(horizon=6, reach=0.95)
        algorithm = make_algorithm(tiny_algorithms[name], env, policy_for(name), 1)
        config = ExperimentConfig("tiny", "point-test", tiny_algorithms[name], 1, policy=policy_for(name))
        return Agent(config, "auto", env, algorithm, jax.jit(algorithm.init)(jax.random.key(0)))

    return make


def bounded(name, raw):
    """A draw within the bounds of the tiny environment, as the algorithm's distribution brings it there."""
    return 0.3 * np.tanh(raw) if name in ("pearl", "sac") else 0.3 * np.clip(raw, -1.0, 1.0)


@pytest.mark.parametrize("name", ["maml-ppo", "pearl", "rl2"])
def test_a_policy_in_a_loop_is_that_of_a_rollout(make_agent, name):
    """What `rollout.collect` saw, step by step: the same actions, the same experience, and the same adaptation to it."""
    agent = make_agent(name)
    algorithm, state, env = agent.algorithm, agent.state, agent.env
    key, tasks = jax.random.key(9), jnp.array([[0.6, 0.8]])
    params = jax.tree.map(lambda x: x[None], algorithm.policy_params(state))
    history = rollout.no_history(env.spec, (1, 1), algorithm.init_carry((1, 1)))

    @jax.jit
    def step(where, draw):
        act = lambda obs, history, _: algorithm.act(state, params)(obs, history, jax.random.fold_in(key, draw))  # noqa: E731
        return rollout.collect(env, act, tasks, where, jax.random.key(draw), 1)

    where, steps = rollout.start(env, tasks, jax.random.key(1), (1, 1), history), []
    for draw in range(20):
        where, transition = step(where, draw)
        steps.append(transition)
        if transition.last_t.all() and draw > 12:
            break
    seen = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *steps)
    assert 1 < seen.last_t.sum() < len(steps) and seen.terminated_t.any()

    policy = agent.begin()
    policy._key = key
    for t in range(len(steps)):
        moment = jax.tree.map(lambda x, t=t: x[0, 0, t], seen)
        action = policy.act(moment.obs_tm1)
        np.testing.assert_allclose(action, bounded(name, moment.action_tm1), rtol=1e-5)
        policy.observe(moment.obs_t, moment.reward_t, moment.terminated_t, moment.last_t)
    if name == "rl2":
        assert policy._experience == []
        policy.adapt()
        jax.tree.map(np.testing.assert_array_equal, policy.params, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), policy._history, where.history)
        return
    told = jax.tree.map(lambda *x: np.stack(x, axis=2), *policy._experience)
    for field, mine, theirs in zip(seen._fields, told, seen, strict=True):
        jax.tree.map(
            lambda a, b, field=field: np.testing.assert_allclose(a, b, 1e-5, 1e-6, err_msg=field), mine, theirs
        )
    policy.adapt()
    expected = jax.jit(algorithm.adapt)(state, params, seen)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6), policy.params, expected)
    changed = jax.tree.map(lambda a, b: np.abs(a - b).max(), policy.params, params)
    assert max(jax.tree.leaves(changed)) > 1e-3
    with pytest.raises(ConfigError, match="to their end first"):
        policy.adapt()


def test_what_a_policy_is_not_to_be_asked(make_agent):
    policy = make_agent("rl2").begin()
    with pytest.raises(ConfigError, match="act first"):
        policy.observe(np.zeros(2), 0.0, False)
    policy.act(np.zeros(2))
    with pytest.raises(ConfigError, match=r"tell it by observe\(\)"):
        policy.act(np.zeros(2))
    with pytest.raises(ConfigError, match="choice of actions"):
        make_agent("ppo").begin().act(np.zeros(2), actions="best")
    with pytest.raises(ConfigError, match="rl2 remembers here"):
        make_agent("rl2").act(np.zeros(2))
    agent = make_agent("maml-ppo")
    policy = agent.begin()
    policy.act(np.zeros(2))
    for shape in ((), (1,), (3,), (4, 1)):
        for ask in (agent.act, policy.act, lambda obs: policy.observe(obs, 0.0, False)):
            with pytest.raises(ConfigError, match=r"obs must have the shape \[(\.\.\., )?2\], not"):
                ask(np.zeros(shape))
    for task in (1.5, np.zeros(3), [0.1, 0.2]):
        with pytest.raises(ConfigError, match="has the shapes"):
            agent.adapt(agent.env, task)


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_actions_of_what_does_not_adapt(make_agent, name):
    """The mode of the distribution within the bounds, for any batch; draws scatter about it; `adapt` leaves all as it is."""
    agent = make_agent(name)
    obs = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    actions = agent.act(obs)
    policy = agent.begin()
    params = policy.params
    for index in np.ndindex(3, 5):
        np.testing.assert_allclose(actions[index], policy.act(obs[index], "mode"), rtol=1e-4, atol=1e-6)
        policy.observe(obs[index], 0.0, False)
    assert policy._experience == []
    policy.adapt()
    assert policy.params is params
    drawn = np.stack([agent.act(obs[0, 0], jax.random.key(i)) for i in range(200)])
    dist = agent.algorithm.policy.head(jax.tree.map(lambda x: x[0], params), obs[0, 0])
    np.testing.assert_allclose(actions[0, 0], bounded(name, np.asarray(dist.mean)), rtol=1e-5)
    expected = bounded(name, np.random.default_rng(1).normal(dist.mean, np.exp(dist.log_std), (100_000, 2)))
    np.testing.assert_allclose(drawn.mean(0), expected.mean(0), atol=4 * expected.std() / np.sqrt(200))
    np.testing.assert_allclose(drawn.std(0), expected.std(0), rtol=0.3)


def test_discrete_actions_are_numbers(tiny_algorithms, policy_for):
    env = envs.make("bandit/5")
    policy = dataclasses.replace(policy_for("rl2"), distribution="categorical")
    config = ExperimentConfig(
        "tiny", "bandit/5", dataclasses.replace(tiny_algorithms["rl2"], chunk=10), 1, policy=policy
    )
    algorithm = make_algorithm(config.algorithm, env, policy, 1)
    player = Agent(config, "auto", env, algorithm, jax.jit(algorithm.init)(jax.random.key(0))).begin()
    for _ in range(3):
        action = player.act(np.zeros(1))
        assert action.shape == () and 0 <= int(action) < 5 and np.issubdtype(action.dtype, np.integer)
        player.observe(np.zeros(1), 1.0, False)


def test_a_task_by_number_or_as_data(trained, monkeypatch, make_point):
    """Every step of task g has the reward g: the numbers are the tasks that the run is judged on, each once."""

    class Paying(make_point):
        def __init__(self, tasks):
            super().__init__(horizon=5, limit=0.1)
            self.tasks = tasks

        def step(self, state, action, task):
            state, timestep = super().step(state, action, jnp.zeros(2))
            return state, timestep._replace(reward=task)

    monkeypatch.setattr(envs, "make", lambda *args, split, **_: Paying(jnp.arange(4.0) + (split == "test")))
    agent = metarl_jax.load(trained.directory)
    found = [agent.adapt(task=number).curve.returns for number in range(4)]
    assert np.shape(found) == (4, 2)
    np.testing.assert_array_equal(np.sort(found, axis=0)[:, 0], [5.0, 10.0, 15.0, 20.0])
    np.testing.assert_array_equal(found[0][0], found[0][1])
    curve = agent.adapt(Paying(jnp.arange(9.0)), np.float32(7.0), episodes=3, steps=2).curve
    np.testing.assert_array_equal(curve.returns, [35.0, 35.0, 35.0])
    with pytest.raises(ConfigError, match=r"task must lie in \[0, 3\]"):
        agent.adapt(task=4)
    with pytest.raises(ConfigError, match="cannot act in"):
        agent.adapt(make_point(limit=0.2), task=0)


def test_evaluate_from_python_is_that_of_the_command(trained, command, capfd, tmp_path):
    options = ["--tasks", "3", "--steps", "2", "--actions", "mode", "--out", str(tmp_path)]
    assert cli.main(["evaluate", str(command), *options]) == 0
    (path,) = (tmp_path / "eval").glob("*.json")
    assert trained.agent().evaluate("mode", tasks=3, steps=2) == json.loads(path.read_text())
    assert repr(trained.agent()) == "<Agent nav-maml: maml-ppo on point, iteration 3>"


def test_what_cannot_be_loaded(trained, tmp_path):
    with pytest.raises(ConfigError, match="is not a run directory"):
        metarl_jax.load(tmp_path)
    with pytest.raises(ConfigError, match="unknown checkpoint 'newest'"):
        metarl_jax.load(trained.directory, "newest")
    with pytest.raises(ConfigError, match="exists and is not empty"):
        metarl_jax.train("nav-maml", run_dir=trained.directory)
    with pytest.raises(ConfigError, match="unknown preset"):
        metarl_jax.train("nav-mamal")
