"""Learning on at test time."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import evaluation, rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms import online as learning_online
from metarl_jax.algorithms.online import Learner, OnlineConfig, Setting, Subject
from metarl_jax.errors import ConfigError
from metarl_jax.learning import returns
from metarl_jax.policies import make_judged_act, make_policy
from metarl_jax.types import Transition

N = 4


def experience(rng, rows=5, steps=7):
    """Episodes `[rows, steps]` of three observations."""
    nothing = dict.fromkeys(Transition._fields)
    known = {
        "obs_tm1": rng.normal(size=(rows, steps, 3)),
        "reward_t": rng.normal(size=(rows, steps)),
        "terminated_t": np.zeros((rows, steps), bool),
        "last_t": np.tile(np.arange(steps) == steps - 1, (rows, 1)),
        "time_tm1": np.tile(np.arange(steps), (rows, 1)),
    }
    return Transition(**nothing | {name: jnp.asarray(x) for name, x in known.items()})


def test_baselines_with_weights_against_numpy(x64):
    """A weight of 2 is a row that stands there twice; advantages are what the fit leaves over."""
    t, weights = experience(np.random.default_rng(0)), np.array([1, 2, 0, 1, 3])
    ours = returns.baseline_advantages(t, 0.9, 1.0, jnp.asarray(weights, float))
    obs, reward = np.asarray(t.obs_tm1), np.asarray(t.reward_t)
    time = np.asarray(t.time_tm1)[..., None] / 100.0
    features = np.concatenate([obs, obs**2, time, time**2, time**3], axis=-1)
    total = np.stack([sum(0.9**k * reward[:, i + k] for k in range(7 - i)) for i in range(7)], axis=1)
    stands = np.repeat(np.arange(5), weights)
    x, y = features[stands].reshape(-1, 9), total[stands].ravel()
    mean, std = x.mean(axis=0), x.std(axis=0)
    x = (x - mean) / std
    slope = np.linalg.solve(x.T @ x + 1e-5 * len(x) * np.eye(9), x.T @ (y - y.mean()))
    wanted = total - y.mean() - (features - mean) / std @ slope
    np.testing.assert_allclose(ours, wanted, atol=1e-9)


def test_trust_is_the_share_of_what_baselines_agree_on(x64):
    """All but 1 where episodes repeat, so that weights decide nothing; less, where they are few and differ."""
    judge = jax.jit(functools.partial(learning_online.judge_actions, OnlineConfig(ensemble=64)))
    t = experience(np.random.default_rng(1), rows=1, steps=60)
    same = jax.tree.map(lambda x: jnp.repeat(x, 6, axis=0), t)
    advantage, trust = judge(same, jax.random.key(0))
    np.testing.assert_allclose(advantage[0], returns.baseline_advantages(t, 0.99, 0.95)[0], rtol=1e-3, atol=1e-3)
    assert trust > 0.999
    _, few = judge(experience(np.random.default_rng(2), 3, 60), jax.random.key(0))
    _, many = judge(experience(np.random.default_rng(2), 48, 60), jax.random.key(0))
    assert 0.1 < few < many < 0.999


def test_the_rule_against_numpy():
    rng = np.random.default_rng(0)
    start_returns = rng.normal(5.0, 2.0, 10)
    error = np.sqrt(2 * start_returns.var(ddof=1) / 10)  # the later returns have the same spread
    start = Learner(jnp.zeros(3), jnp.zeros(2), jnp.zeros(1), jnp.asarray(start_returns), jnp.ones(()))
    for below, tolerance, fallen in ((1.9, 2.0, False), (2.1, 2.0, True), (0.1, 0.0, True), (-0.1, 0.0, False)):
        later = Learner(
            jnp.ones(3), jnp.ones(2), jnp.ones(1), jnp.asarray(start_returns - below * error), jnp.array(0.5)
        )
        learner, restored = learning_online.restore_fallen(tolerance, later, start)
        assert restored == fallen
        np.testing.assert_array_equal(learner.params, 0.0 if fallen else 1.0)
        np.testing.assert_array_equal(learner.replay, 0.0 if fallen else 1.0)
        assert learner.step_scale == (0.25 if fallen else 0.5)


@pytest.mark.parametrize("spread", ["normal", "exponential"])
def test_an_unchanged_policy_is_rarely_taken_back(spread):
    """In a hundred looks at returns that all have one distribution, at most about as often as `false_alarm` says."""
    config, num_tasks = OnlineConfig(episodes=100), 2000
    draw = getattr(jax.random, spread)
    first = draw(jax.random.key(0), (num_tasks, config.replay))

    def share_taken_back(tolerance):
        def look(window, key):
            window = jnp.concatenate([window[:, 1:], draw(key, (num_tasks, 1))], axis=1)
            learner = Learner((), (), (), window, jnp.ones(num_tasks))
            start = learner._replace(returns=first)
            return window, jax.vmap(learning_online.restore_fallen, in_axes=(None, 0, 0))(tolerance, learner, start)[1]

        _, fallen = jax.lax.scan(look, first, jax.random.split(jax.random.key(1), config.episodes))
        return float(fallen.any(axis=0).mean())

    assert share_taken_back(config.tolerance) <= config.false_alarm + 0.015
    assert share_taken_back(2.0) > 0.25  # a bound for one look


@pytest.fixture(scope="module")
def learn(make_point, tiny_algorithms, policy_for):
    """Learns four goals of the tiny environment from the first policy of a run on."""
    env = make_point(horizon=8)
    algorithm = make_algorithm(tiny_algorithms["maml-ppo"], env, policy_for("maml-ppo"), 1)
    state = algorithm.init(jax.random.key(0))

    def run(config):
        policy = make_policy(policy_for("maml-ppo"), env.spec)
        tasks = rollout.sample_tasks(env, jax.random.key(1), N)
        params = jax.tree.map(lambda x: jnp.stack([x] * N), algorithm.policy_params(state))
        history = jax.tree.map(lambda x: x[:, 0], rollout.no_history(env.spec, (N, 1)))
        setting = Setting(policy, env, state.obs_stats, history, tasks)
        online = jax.jit(lambda key: learning_online.learn_online(config, setting, params, key))(jax.random.key(2))

        def play(params):
            return learning_online.play_episodes(setting, params, 50, jax.random.key(3))[1].mean()

        return params, online, play(params), play(online.params)

    return run


def test_it_learns(learn):
    """From a mean return of about -8 (it stays where it is) by much more than chance, and the curve tells."""
    _, online, before, after = learn(OnlineConfig(episodes=60, lr=1e-2))
    assert online.returns.shape == online.trust.shape == online.restored.shape == (N, 60)
    assert after > before + 1.5
    assert online.returns[:, -10:].mean() > online.returns[:, :10].mean() + 1.0
    assert ((online.trust > 0.0) & (online.trust <= 1.0)).all()


def test_steps_that_are_too_long_are_taken_back(learn):
    """Nothing good comes of them: the rule strikes, and the end is the start wherever the latest returns are no better."""
    params, online, before, after = learn(OnlineConfig(episodes=30, lr=100.0, false_alarm=0.9))
    assert online.restored.any()
    assert after > before - 0.5
    both = zip(jax.tree.leaves(params), jax.tree.leaves(online.params), strict=True)
    moved = [np.asarray(x != y).reshape(N, -1).any(axis=1) for x, y in both]
    assert not np.any(moved, axis=0).all()


@pytest.mark.parametrize("name", ["rl2", "maml-ppo"])
def test_ratios_are_one_before_the_first_step(make_point, tiny_algorithms, policy_for, name):
    """Also where a memory begins each episode with what it held after the run's own adaptation."""
    env, policy_config = make_point(horizon=8), policy_for(name)
    algorithm = make_algorithm(tiny_algorithms[name], env, policy_config, 1)
    policy = make_policy(policy_config, env.spec)

    @jax.jit
    def errors(key):
        state = algorithm.init(key)
        tasks = rollout.sample_tasks(env, key, N)
        adapted = evaluation.adaptation(algorithm, env, state, tasks, key, (N, 1), 2)
        params, histories, _ = jax.tree.map(lambda x: x[-1], adapted)
        history = jax.tree.map(lambda x: x[:, 0], histories)
        replay, _ = learning_online.play_episodes(Setting(policy, env, state.obs_stats, history, tasks), params, 3, key)

        def ratio_error(params, carry, replay):
            context = learning_online.replay_context(policy, state.obs_stats, carry, replay)
            action, old = jax.tree.map(policy.arrange, (replay.action_tm1, replay.log_prob_tm1))
            log_prob = policy.distribution.log_prob(policy.dist(params, context), action)
            return jnp.abs(jnp.exp(log_prob - old) - 1.0).max()

        return jax.vmap(ratio_error)(params, history.carry, replay), history

    error, history = errors(jax.random.key(0))
    assert error.max() < 1e-5
    assert history.last.all() == (name == "rl2")


def test_the_most_likely_actions_are_compared_and_draws_learnt_from(make_point, tiny_algorithms, tiny_policy):
    """From one start all episodes of a policy's modes are alike, and those that it learns from are not."""

    class OneStart(make_point):
        def reset(self, key, task):
            return super().reset(jax.random.key(0), task)

    env, config = OneStart(horizon=4), OnlineConfig(episodes=2, replay=2, ensemble=2, steps=1)
    algorithm = make_algorithm(tiny_algorithms["ppo"], env, tiny_policy, 1)
    policy, likely = make_policy(tiny_policy, env.spec), make_judged_act("mode", tiny_policy, env.spec)

    @jax.jit
    def compare(key):
        state = algorithm.init(key)
        return learning_online.compare(config, Subject(algorithm, policy, env, likely), state, key, (N, 3), 0)

    found = compare(jax.random.key(0))
    assert np.ptp(found.online.returns, axis=1).min() > 1e-3
    for returns_of_modes in (found.frozen, found.learned):
        assert np.ptp(returns_of_modes, axis=1).max() < 1e-6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("episodes", 0),
        ("replay", 1),
        ("ensemble", 1),
        ("lr", 0.0),
        ("clip", -1.0),
        ("gamma", 1.5),
        ("false_alarm", 1.0),
    ],
)
def test_bad_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(OnlineConfig(), **{field: value})
