"""What runs are judged on, by which adaptation, and what is written about it."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import evaluation, presets, rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.config import EvaluationConfig, ExperimentConfig
from metarl_jax.envs.metaworld.suites import SUITES
from metarl_jax.rollout import ActionSample
from metarl_jax.runs import judging, metrics
from metarl_jax.runs.runlog import SilentLog
from metarl_jax.types import Adaptation, Algorithm, EnvSpec, Kept, RunState, Suite, TimeStep


def way(config):
    """What decides how a run is trained to adapt, and how it is judged."""
    knobs, judged = config.algorithm, config.evaluation
    steps = getattr(getattr(knobs, "inner", None), "steps", None)
    sizes = [getattr(knobs, name, None) for name in ("name", "envs_per_task", "episodes")]
    return (*sizes, steps, judged.episodes, judged.steps)


CONFIGS = {way(preset.config): preset.config for preset in presets.PRESETS.values()}  # a preset of each


def changed(name, **knobs):
    config = presets.PRESETS[name].config
    return dataclasses.replace(config, algorithm=dataclasses.replace(config.algorithm, **knobs))


NAV = presets.PRESETS["nav-maml"].config.algorithm
MORE = [
    changed("nav-maml", inner=dataclasses.replace(NAV.inner, steps=3)),
    changed("nav-maml", envs_per_task=7),
    changed("cheetah-vel-rl2", episodes=4),
]


def id_of(config):
    return config.preset


@pytest.mark.parametrize(
    "config",
    [
        *MORE,
        *(
            c if c.preset in ("nav-reptile", "ml10-maml") else pytest.param(c, marks=pytest.mark.slow)
            for c in CONFIGS.values()
        ),
    ],
    ids=id_of,
)
def test_trained_as_judged(config, make_point, monkeypatch):
    """As many adaptation steps, on as many episodes, as an iteration takes: seen from the shapes of both."""
    horizon = getattr(config.algorithm, "chunk", 6)
    env, seen, adapted = make_point(horizon), [], []
    if config.policy.distribution == "categorical":  # the point's actions are numbers
        config = dataclasses.replace(config, policy=dataclasses.replace(config.policy, distribution="gaussian"))
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    real, key = rollout.collect, jax.random.key(0)

    def collect(env, act, tasks, state, key, num_steps, *more):
        seen.append((state.time.shape[1], num_steps // horizon))
        return real(env, act, tasks, state, key, num_steps, *more)

    def adapt(state, params, transitions):
        adapted.append(transitions.reward_t.shape)
        return algorithm.adapt(state, params, transitions)

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "collect", collect)
        state = jax.eval_shape(algorithm.init, key)
        jax.eval_shape(algorithm.iterate, state, key)
    judged = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, tasks=2, horizon=None))
    judge = judging.make_judge(judged, algorithm._replace(adapt=adapt), env, env)
    returns = jax.eval_shape(judge.curve_of, state, key).returns
    kind = config.algorithm.name
    steps = {"ppo": 0, "rl2": seen[0][1] - 1}.get(kind, len(seen) - 1)
    assert returns.shape == (steps + 1, 2)
    ((_, episodes, time),) = set(adapted)
    assert time == horizon
    if kind not in ("ppo", "rl2"):
        assert set(seen) == {(episodes, 1)}
    assert not judge.population.notes


def test_what_differs_from_training_is_said(make_point, tiny_algorithms, tiny_policy):
    config = ExperimentConfig("x", "point-test", tiny_algorithms["maml-ppo"], 1, policy=tiny_policy)
    asked = EvaluationConfig(tasks=2, steps=3, episodes=5)
    config = dataclasses.replace(config, evaluation=asked)
    env, longer = make_point(), make_point(horizon=20)
    algorithm = make_algorithm(config.algorithm, env, config.policy, 1)
    judge = judging.make_judge(config, algorithm, env, longer, "mode")
    assert judge.population.notes == (
        "adaptation steps: 3, in training 1",
        "episodes of each step: 5, in training 8",
        "episodes have 20 steps, in training 8",
        "actions of judged episodes: the most likely, in training drawn",
    )


class Lottery:
    """One step; its reward and its success are the task, a number, but for noise on the reward."""

    def __init__(self, name="lottery", tasks=None, noise=0.0):
        self.spec = EnvSpec(name, 1, 1, 1, (-np.inf,), (np.inf,), has_success=True)
        self.tasks, self._noise = tasks, noise

    def sample_task(self, key):
        return jax.random.uniform(key)

    def reset(self, key, task):
        zero = jnp.zeros(())
        return jax.random.normal(key), TimeStep(jnp.zeros(1), zero, jnp.array(False), {"success": zero})

    def step(self, state, action, task):
        reward = task + self._noise * state
        return state, TimeStep(jnp.zeros(1), reward, jnp.array(False), {"success": (task > 0.5).astype(float)})


def idle():
    """An algorithm that does nothing, trained to adapt in one step on two episodes."""

    def act(state, params):
        zero = jnp.zeros
        return lambda obs, history, key: ((), ActionSample(*[zero((*obs.shape[:2], 1))] * 3, zero(obs.shape[:2])))

    def adapt(state, params, transitions):
        return params

    return Algorithm(None, None, lambda s: s.params, act, lambda shape: (), False, adapt, Adaptation(1, 2), 1)


STATE = RunState(jnp.array(3), jnp.zeros(()), (), (), jnp.ones(()), Kept())


def judge(env, eval_env, run_seed=0, **settings):
    config = ExperimentConfig("x", "lottery", NAV, 1, seed=run_seed, evaluation=EvaluationConfig(**settings))
    return judging.make_judge(config, idle(), env, eval_env)


def test_seeds_are_judged_on_the_same_tasks():
    """In other episodes; only another seed of the evaluation draws other tasks."""
    exact, noisy = Lottery(), Lottery(noise=1.0)
    first, second, other = (
        judge(exact, exact, run, tasks=5, seed=seed)(STATE)["returns"] for run, seed in ((0, 0), (1, 0), (0, 1))
    )
    assert first == second != other and len(np.unique(first[0])) == 5
    first, second = (judge(noisy, noisy, run, tasks=5)(STATE)["returns"] for run in (0, 1))
    assert first != second == judge(noisy, noisy, tasks=5)(STATE, seed=1)["returns"]


def test_success_is_a_mean(tmp_path):
    """80 of 100 tasks solved are 0.8, in the curve and in the summary; the mean of the middle half would be 1."""
    tasks = jnp.where(jnp.arange(100) < 80, 0.6, 0.4) + jnp.arange(100) / 1e4
    one = judge(Lottery(), Lottery(tasks=tasks), tasks=100)
    row = {
        "iteration": 3,
        "env_steps": 1,
        **dict.fromkeys(metrics.FIELDS, 1.0),
        "return_before": 0.0,
        "return_after": 0.0,
    }
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging.plots, "learning_curves", lambda *args: None)
        summary = judging.sum_up(one.config, SilentLog(tmp_path), one, one(STATE), dict)
    curve = json.loads((tmp_path / "eval" / "iteration-3.json").read_text())
    assert set(curve["success"]) == {"mean", "mean_interval", "values"}
    assert set(summary["success_after"]) == {"mean", "mean_interval"}
    assert curve["success"]["mean"] == pytest.approx([0.8, 0.8]) and summary["success_after"]["mean"] == pytest.approx(
        0.8
    )
    low, high = summary["success_after"]["mean_interval"]
    assert low < 0.75 < 0.85 < high
    assert (summary["tasks"], summary["held_out"]) == ("100 held-out tasks", True)
    assert (tmp_path / "plots" / "adaptation-iteration-3.png").exists()


TWO, THREE, NONE = jnp.array([0.0, -0.0, 1.0])[1:], jnp.array([1.0, 2.0, 3.0]), None


@pytest.mark.parametrize(
    ("trained", "judged", "num_tasks", "held_out", "words", "notes"),
    [
        (NONE, NONE, 4, True, "4 held-out tasks", ()),
        (NONE, TWO, 4, True, "2 held-out tasks", ()),
        (THREE, TWO, 2, True, "2 held-out tasks", ("1 of these tasks are tasks of training",)),
        (TWO, TWO[::-1] + 0.0, 4, False, "the family's 2 tasks, none held out", ("over the episodes",)),
        (TWO, TWO, 1, False, "1 of the family's 2 tasks, none held out", ()),
        (THREE, THREE[:1], 4, False, "1 of the family's 3 tasks, none held out", ("over the episodes",)),
        (THREE[:1], THREE[:1], 4, False, "its one task", ("over the episodes",)),
        (jnp.zeros((1, 0)), jnp.zeros((1, 0)), 4, False, "its one task", ("over the episodes",)),
    ],
)
def test_words_for_what_is_judged_on(trained, judged, num_tasks, held_out, words, notes):
    env, eval_env = Lottery(tasks=trained), Lottery(tasks=judged)
    tasks = judging.draw_tasks(EvaluationConfig(tasks=num_tasks), eval_env)
    found = evaluation.population(env, eval_env, tasks, num_tasks)
    assert (found.held_out, found.words) == (held_out, words)
    assert len(found.notes) == len(notes) and all(a in b for a, b in zip(notes, found.notes, strict=True))


def suite(name, members, tasks):
    """Environments by name, with these tasks each."""
    envs = tuple(Lottery(member, tasks) for member in members)
    return Suite(envs[0].spec._replace(name=name), envs)


def test_words_for_suites():
    mt10 = suite("MT10", SUITES["MT10"]["train"], jnp.arange(50.0))
    found = judge(mt10, mt10, tasks=500).population
    assert (found.held_out, found.words) == (False, "the suite's 500 tasks, none held out")
    found = judge(mt10, mt10, tasks=20).population
    assert found.words == "20 of the suite's 500 tasks, none held out"
    assert found.rows.env == [name for name in SUITES["MT10"]["train"] for _ in range(2)]


def test_basketball_is_in_both_splits_of_ml25():
    """Its goals are others: they are held out, but the environment is not unseen."""
    splits = SUITES["ML25"]
    assert set(splits["train"]) & set(splits["test"]) == {"basketball-v3"}
    trained = suite("metaworld/ML25", splits["train"], jnp.arange(50.0))
    judged = suite("metaworld/ML25", splits["test"], jnp.arange(50.0, 100.0))
    curve = judge(trained, judged, tasks=10)(STATE)
    assert curve["held_out"] and curve["tasks"] == "10 held-out tasks"
    (note,) = curve["notes"]
    assert note.startswith("basketball-v3 is in both splits of metaworld/ML25")
    assert not judge(Lottery(), judged, tasks=10).population.notes


def test_curves_of_a_suite_are_of_its_environments():
    """Tasks are resampled within each: where all tasks of one are alike, nothing is uncertain."""
    envs = (Lottery("easy", jnp.full(6, 1.0)), Lottery("hard", jnp.full(6, 0.0)))
    both = Suite(envs[0].spec._replace(name="both"), envs)
    other = Lottery()
    curve = judge(other, both, tasks=8)(STATE)
    assert curve["task_env"] == ["easy"] * 4 + ["hard"] * 4
    assert curve["success"]["mean_interval"] == [[0.5, 0.5]] * 2
