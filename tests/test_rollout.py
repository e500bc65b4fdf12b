"""Rollouts replayed in NumPy: what the records say must be what a plain loop over one environment does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.learning import normalize
from metarl_jax.policies import PolicyConfig, make_act, make_policy

N, E, T, HORIZON, REACH = 3, 4, 17, 5, 0.75


@pytest.fixture(scope="module")
def run(make_point):
    """Noisy steps towards and away from the goals: some episodes end by themselves, others by the time limit."""
    env = make_point(horizon=HORIZON, reach=REACH)
    policy = make_policy(PolicyConfig(init_log_std=0.8), env.spec)
    params = policy.init(jax.random.key(0))
    tasks = rollout.sample_tasks(env, jax.random.key(1), N)
    act = make_act(policy, normalize.init(2), params, None)

    @jax.jit
    def go(key):
        key_start, key_run, key_on = jax.random.split(key, 3)
        start = rollout.start(env, tasks, key_start, (N, E))
        middle, first = rollout.collect(env, act, tasks, start, key_run, T)
        _, second = rollout.collect(env, act, tasks, middle, key_on, 3)
        return start, middle, first, second

    start, middle, first, second = jax.tree.map(np.asarray, go(jax.random.key(2)))
    return env, policy, np.asarray(tasks), start, middle, first, second


def each(run):
    """(task, transitions `[T]`) of every environment."""
    tasks, transitions = run[2], run[5]
    for n in range(N):
        for e in range(E):
            yield tasks[n], jax.tree.map(lambda x, n=n, e=e: x[n, e], transitions)


def test_shapes(run):
    tasks, t = run[2], run[5]
    assert tasks.shape == (N, 2) and len(np.unique(tasks)) == tasks.size
    assert t.obs_tm1.shape == t.obs_t.shape == t.action_tm1.shape == (N, E, T, 2)
    assert t.reward_t.shape == t.last_t.shape == t.time_tm1.shape == t.log_prob_tm1.shape == (N, E, T)


def test_both_ends_occur(run):
    """Else the tests below would show nothing."""
    t = run[5]
    assert (t.terminated_t & (t.time_tm1 + 1 < HORIZON)).any()
    assert (t.last_t & ~t.terminated_t).any()


def test_steps(run):
    """Every record follows from the one before and from the task, which stays the same over all episodes."""
    to_env = run[1].distribution.to_env
    for goal, t in each(run):
        np.testing.assert_allclose(t.obs_t, t.obs_tm1 + np.asarray(to_env(t.action_tm1)), atol=1e-6)
        distance = np.linalg.norm(t.obs_t - goal, axis=-1)
        np.testing.assert_allclose(t.reward_t, -distance, rtol=1e-5)
        np.testing.assert_array_equal(t.terminated_t, distance < REACH)


def test_episodes(run):
    """An episode lasts until it terminates or the horizon; then another begins at the start, at time 0, with return 0."""
    for _, t in each(run):
        time, total, position = 0, 0.0, None
        for i in range(T):
            assert t.time_tm1[i] == time
            if time > 0:
                np.testing.assert_array_equal(t.obs_tm1[i], position)
            else:
                assert np.abs(t.obs_tm1[i]).max() <= 0.1
            time, total, position = time + 1, total + t.reward_t[i], t.obs_t[i]
            np.testing.assert_allclose(t.return_t[i], total, rtol=1e-5)
            assert t.last_t[i] == (t.terminated_t[i] or time == HORIZON)
            if t.last_t[i]:
                time, total = 0, 0.0


def test_every_start_is_fresh(run):
    """No two episodes begin at the same place: every reset has a key of its own."""
    transitions = run[5]
    starts = transitions.obs_tm1[transitions.time_tm1 == 0]
    assert len(starts) > 2 * N * E
    assert len(np.unique(starts, axis=0)) == len(starts)


def test_noise_is_fresh(run):
    actions = run[5].action_tm1
    assert len(np.unique(actions)) == actions.size


def test_a_rollout_goes_on_where_the_last_one_stopped(run):
    _, _, _, start, middle, first, second = run
    np.testing.assert_array_equal(first.obs_tm1[:, :, 0], start.obs)
    np.testing.assert_array_equal(second.obs_tm1[:, :, 0], middle.obs)
    np.testing.assert_array_equal(second.time_tm1[:, :, 0], middle.time)
    ended = first.last_t[:, :, -1]
    assert ended.any() and not ended.all()
    np.testing.assert_array_equal(middle.time[ended], 0)
    np.testing.assert_array_equal(middle.obs[~ended], first.obs_t[:, :, -1][~ended])
    np.testing.assert_allclose(
        second.return_t[:, :, 0], np.where(ended, 0.0, first.return_t[:, :, -1]) + second.reward_t[:, :, 0], rtol=1e-5
    )


def test_actions_are_within_the_bounds(run):
    """The environment answers nan to any other; the draws themselves do go beyond."""
    env, policy, *_, first, _ = run
    assert np.isfinite(first.reward_t).all()
    assert np.abs(first.action_tm1).max() > 1.0
    assert np.abs(np.asarray(policy.distribution.to_env(first.action_tm1))).max() <= env.limit * (1 + 1e-6)


def test_log_prob_is_that_of_the_draw(run):
    t = run[5]
    z = (t.action_tm1 - t.dist_tm1.mean) / np.exp(t.dist_tm1.log_std)
    expected = (-0.5 * z**2 - t.dist_tm1.log_std - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    np.testing.assert_allclose(t.log_prob_tm1, expected, rtol=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_episode_return(run, index):
    t = run[5]
    ours = np.asarray(rollout.episode_outcome(t, index).returns)
    for n in range(N):
        for e in range(E):
            bounds = [0, *(np.flatnonzero(t.last_t[n, e]) + 1)]
            np.testing.assert_allclose(ours[n, e], t.reward_t[n, e, slice(*bounds[index : index + 2])].sum(), rtol=1e-5)


def test_history_goes_on_over_episodes(run):
    """What was done and earned in the last step of an episode is there at the first of the next, and that it ended."""
    _, _, _, _, _, t, _ = run
    for name, before in (("action_tm2", "action_tm1"), ("reward_tm1", "reward_t"), ("last_tm1", "last_t")):
        ours, expected = getattr(t, name), getattr(t, before)
        np.testing.assert_array_equal(ours[:, :, 1:], expected[:, :, :-1])
        assert not ours[:, :, 0].any()
    assert t.last_tm1.any()


def test_return_of_an_unfinished_episode(run):
    short = jax.tree.map(lambda x: x[:, :, :2], run[5])._replace(last_t=np.zeros((N, E, 2), bool))
    np.testing.assert_allclose(rollout.episode_outcome(short).returns, short.reward_t.sum(axis=-1), rtol=1e-6)


def test_env_states_may_hold_random_keys(make_point):
    """A typed key is state like any other, also where episodes end."""

    class Noisy(make_point):
        def reset(self, key, task):
            state, timestep = super().reset(key, task)
            return (state, jax.random.split(key)[0]), timestep

        def step(self, state, action, task):
            key, key_next = jax.random.split(state[1])
            inner, timestep = super().step(state[0], action, task)
            return (inner, key_next), timestep._replace(reward=jax.random.uniform(key))

    env = Noisy(horizon=2)
    policy = make_policy(PolicyConfig(), env.spec)
    act = make_act(policy, normalize.init(2), policy.init(jax.random.key(0)), None)
    tasks = rollout.sample_tasks(env, jax.random.key(1), 2)
    start = rollout.start(env, tasks, jax.random.key(2), (2, 2))
    _, t = rollout.collect(env, act, tasks, start, jax.random.key(3), 5)
    assert len(np.unique(t.reward_t)) == t.reward_t.size
    assert jnp.issubdtype(start.env_state[1].dtype, jax.dtypes.prng_key)
