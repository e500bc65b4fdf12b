"""Suites: several environments behind one policy, and what "solved" means, replayed in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm, standing
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.policies import PolicyConfig, make_act, make_policy
from metarl_jax.types import Suite

N, E, T, HORIZON = 6, 3, 17, 5


@pytest.fixture(scope="module")
def make_suite(make_point):
    class Scaled(make_point):
        """A point that moves `scale` times its action; a step that ends within 0.8 of the goal solves the task."""

        def __init__(self, name, scale, horizon=HORIZON):
            super().__init__(horizon=horizon, name=name)
            self.scale = scale
            self.spec = self.spec._replace(has_success=True)

        def step(self, state, action, task):
            position = state.position + self.scale * action
            distance = jnp.linalg.norm(position - task)
            info = {"success": (distance < 0.8).astype(float)}
            _, timestep = super().step(state, action, task)
            return state._replace(position=position), timestep._replace(obs=position, reward=-distance, info=info)

    def make(horizon=HORIZON):
        members = Scaled("slow", 1.0, horizon), Scaled("fast", 2.0, horizon), Scaled("backward", -1.0, horizon)
        return Suite(members[0].spec._replace(name="three"), members)

    return make


@pytest.fixture(scope="module")
def run(make_suite):
    env = make_suite()
    policy = make_policy(PolicyConfig(init_log_std=0.8), env.spec)
    act = make_act(policy, normalize.init(2), policy.init(jax.random.key(0)), None)

    @jax.jit
    def go(key):
        tasks = rollout.sample_tasks(env, key, N)
        start = rollout.start(env, tasks, key, (N, E))
        return tasks, rollout.collect(env, act, tasks, start, key, T)[1]

    return env, policy, *jax.tree.map(np.asarray, go(jax.random.key(2)))


def each(run):
    """(member's name, its scale, task, transitions `[T]`) of every environment, in the order of the batch."""
    env, _, tasks, transitions = run
    goals = np.concatenate(tasks)
    for n in range(N):
        member = env.envs[n // 2]
        for e in range(E):
            yield member.spec.name, member.scale, goals[n], jax.tree.map(lambda x, n=n, e=e: x[n, e], transitions)


def test_every_row_belongs_to_its_environment_and_task(run):
    assert [task.shape for task in run[2]] == [(2, 2)] * 3
    for _, scale, goal, t in each(run):
        action = np.asarray(run[1].distribution.to_env(t.action_tm1))
        np.testing.assert_allclose(t.obs_t, t.obs_tm1 + scale * action, atol=1e-6)
        np.testing.assert_allclose(t.reward_t, -np.linalg.norm(t.obs_t - goal, axis=-1), rtol=1e-5)
        starts = t.obs_tm1[t.time_tm1 == 0]
        assert len(starts) == 4 and np.abs(starts).max() <= 0.1


def test_success_is_that_of_any_step_of_the_episode_so_far(run):
    solved_first, count = [], 0
    for _, _, goal, t in each(run):
        near = np.linalg.norm(t.obs_t - goal, axis=-1) < 0.8
        so_far = [near[i - t.time_tm1[i] : i + 1].any() for i in range(T)]
        np.testing.assert_array_equal(t.success_t, so_far)
        solved_first.append(near[:HORIZON].any())
        count += (t.success_t & ~near).sum()
    assert count > 0  # solved, then left: else the test would show nothing
    np.testing.assert_array_equal(rollout.episode_outcome(run[3]).success.ravel(), solved_first)
    assert 0 < np.mean(solved_first) < 1


def test_by_env(run):
    parts = rollout.by_env(run[0], jnp.arange(2 * N).reshape(N, 2))
    assert {name: part.tolist() for name, part in parts.items()} == {
        "slow": [[0, 1], [2, 3]],
        "fast": [[4, 5], [6, 7]],
        "backward": [[8, 9], [10, 11]],
    }
    assert rollout.by_env(run[0].envs[0], jnp.arange(N)) == {}


def test_latest_at_end(run):
    t = run[3]
    before = np.full((N, E), 7.0)
    ours = standing.latest_at_end(t, t.return_t, before)
    for n in range(N):
        for e in range(E):
            last = np.flatnonzero(t.last_t[n, e])[-1]
            assert ours[n, e] == t.return_t[n, e, last]
    unfinished = t._replace(last_t=np.zeros_like(t.last_t))
    np.testing.assert_array_equal(standing.latest_at_end(unfinished, t.return_t, before), before)


@pytest.mark.parametrize("num_tasks", [4, 10, 13, 20])
def test_a_finite_family_is_drawn_without_repetition(make_point, num_tasks):
    env = make_point()
    env.tasks = jnp.arange(10.0)
    drawn = np.asarray(rollout.sample_tasks(env, jax.random.key(0), num_tasks))
    counts = np.bincount(drawn.astype(int), minlength=10)
    assert counts.sum() == num_tasks and counts.max() - counts.min() <= 1
    other = np.asarray(rollout.sample_tasks(env, jax.random.key(1), num_tasks))
    assert not np.array_equal(drawn, other)


@pytest.mark.parametrize(("num_tasks", "choice"), [(7, "6 or 9"), (2, "take 3")])
def test_tasks_must_be_shared_evenly(make_suite, tiny_algorithms, tiny_policy, num_tasks, choice):
    config = dataclasses.replace(tiny_algorithms["reptile"], num_tasks=num_tasks)
    with pytest.raises(ConfigError, match=f"num_tasks {num_tasks} cannot be split evenly over the 3.*{choice}"):
        make_algorithm(config, make_suite(), tiny_policy, 1)


@pytest.mark.parametrize("name", ["maml-ppo", "ppo"])
def test_algorithms_report_success_of_each_environment(make_suite, tiny_algorithms, tiny_policy, name):
    config = dataclasses.replace(tiny_algorithms[name], num_tasks=6)
    algorithm = make_algorithm(config, make_suite(horizon=8), tiny_policy, 1)
    state, metrics = jax.jit(algorithm.iterate)(algorithm.init(jax.random.key(0)), jax.random.key(1))
    for when in ("before", "after"):
        parts = [float(metrics[f"success_{when}/{member}"]) for member in ("slow", "fast", "backward")]
        np.testing.assert_allclose(metrics[f"success_{when}"], np.mean(parts), rtol=1e-5)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
