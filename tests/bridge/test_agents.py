"""A run as the package's agent: its actions and its adaptation are the native ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from metaworld.evaluation import Timestep

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.benchmarks.metaworld.agents import RunAgent, transitions
from metarl_jax.policies import Sequence, make_judged_act, make_policy
from metarl_jax.types import History

N, E = 3, 2
NO_LABELS = np.zeros((N, 0))


@pytest.fixture(scope="module")
def make_run(make_point, tiny_algorithms, policy_for):
    def make(name, spec=lambda spec: spec, policy=None):
        env = make_point(horizon=6)
        env.spec = spec(env.spec)
        algorithm = make_algorithm(tiny_algorithms[name], env, policy or policy_for(name), 1)
        return env, algorithm, algorithm.init(jax.random.key(0))

    return make


def native_round(env, algorithm, state):
    """E episodes of each of N tasks by the policy before adaptation: its parameters `[N, ...]`, and transitions."""
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (N, *x.shape)), algorithm.policy_params(state))
    tasks = rollout.sample_tasks(env, jax.random.key(1), N)
    history = rollout.no_history(env.spec, (N, E), algorithm.init_carry((N, E)))
    start = rollout.start(env, tasks, jax.random.key(2), (N, E), history)
    act = algorithm.act(state, params)
    return params, rollout.collect(env, act, tasks, start, jax.random.key(3), env.spec.horizon)[1]


def as_timesteps(t):
    """Episodes `[N, E, T]` one after the other, as the package's evaluation tells them."""
    t = jax.tree.map(lambda x: np.asarray(x).reshape(N, -1, *x.shape[3:]), t)
    for step in range(t.reward_t.shape[1]):
        now = jax.tree.map(lambda x, step=step: x[:, step], t)
        outputs = {
            "carry": (),
            "raw": now.action_tm1,
            "dist": now.dist_tm1,
            "log_prob": now.log_prob_tm1,
            "action": now.action_tm1,
        }
        obs, reward = now.obs_tm1.astype(np.float64), now.reward_t.astype(np.float64)
        truncated = now.last_t & ~now.terminated_t
        yield Timestep(obs, now.action_tm1, reward, now.terminated_t, truncated, outputs)


@pytest.mark.parametrize("name", ["maml-ppo", "promp", "reptile", "ppo"])
def test_adaptation_is_the_native_one(make_run, name):
    env, algorithm, state = make_run(name)
    params, t = native_round(env, algorithm, state)
    agent = RunAgent(algorithm, env.spec, state, NO_LABELS, jax.random.key(4))
    for timestep in as_timesteps(t):
        agent.step(timestep)
    agent.adapt()
    wanted = jax.jit(algorithm.adapt)(state, params, t)
    moved = [np.abs(a - b).max() for a, b in zip(jax.tree.leaves(wanted), jax.tree.leaves(params), strict=True)]
    assert (max(moved) > 1e-3) == (name != "ppo")
    for ours, theirs in zip(jax.tree.leaves(agent.params), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    agent.init()
    for ours, theirs in zip(jax.tree.leaves(agent.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_transitions_are_those_of_the_rollout(make_run):
    """All but what the package does not tell: successes, and the last observation of an episode."""
    _, t = native_round(*make_run("maml-ppo"))
    ours = transitions(list(as_timesteps(t)))
    assert t.last_t[..., -1].all() and not t.last_t[..., :-1].any()
    absent = {"unstable_t": None, "shaped_t": None, "info_t": {}}
    assert all(getattr(each, name) == nothing for each in (t, ours) for name, nothing in absent.items())
    for name in set(t._fields) - {"obs_t", "success_t", "dist_tm1", *absent}:
        np.testing.assert_allclose(getattr(ours, name), getattr(t, name), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(ours.obs_t, np.where(t.last_t[..., None], np.nan, t.obs_t))


def test_episodes_of_different_lengths_are_refused(make_run):
    steps = list(as_timesteps(native_round(*make_run("maml-ppo"))[1]))
    for bad in (steps[:-1], steps[1:]):
        with pytest.raises(ValueError, match="whole episodes of equal length"):
            transitions(bad)


@pytest.mark.parametrize("name", ["rl2", "maml-ppo"])
def test_a_memory_sees_what_it_should(make_run, policy_for, name):
    """The agent's actions are those of its policy unrolled over all that it should have seen.

    In RL^2 that is the adaptation episodes and what came since in the episode, in MAML the episode alone. Episodes have 3
    steps, and the second evaluation episode of one environment begins before those of the others. Draws are all but the mean.
    """
    precise = dataclasses.replace(policy_for("rl2"), min_log_std=-20.0, init_log_std=-15.0)
    env, algorithm, state = make_run(name, policy=precise)
    policy, rng = make_policy(precise, env.spec), np.random.default_rng(0)
    agent = RunAgent(algorithm, env.spec, state, NO_LABELS, jax.random.key(4))
    unroll = jax.jit(lambda params, inputs: policy.dist(params, Sequence(inputs, policy.init_carry(()))).mean)
    nothing = np.zeros(4)
    before, seen = [nothing] * N, [[] for _ in range(N)]  # action, reward and end of the step before; memories

    def observe(fresh):
        """What the package's wrapper says, and what the memories should see: it tells nothing of before an episode."""
        obs = rng.normal(size=(N, 2))
        for index in range(N):
            seen[index].append(np.concatenate([obs[index], before[index][[2, 0, 1, 3]]]))  # the reward first
        return np.concatenate([obs, np.where(fresh[:, None], 0.0, before)], axis=1)

    def check(action):
        for index in range(N):
            inputs = np.zeros((12, 6), np.float32)  # one program for all lengths: what comes later changes nothing
            inputs[: len(seen[index])] = seen[index]
            params = jax.tree.map(lambda x, index=index: x[index], agent.params)
            mean = unroll(params, inputs)[len(seen[index]) - 1]
            np.testing.assert_allclose(action[index], policy.distribution.to_env(mean), rtol=1e-3, atol=1e-5)
            before[index] = np.array([*mean, rng.normal(), 0.0])

    for step in range(6):
        told = observe(np.full(N, step % 3 == 0))
        action, outputs = agent.adapt_action(told)
        check(action)
        last = np.full(N, step % 3 == 2)
        agent.step(Timestep(told, action, np.array([b[2] for b in before]), np.zeros(N, bool), last, outputs))
        for index in np.flatnonzero(last):
            before[index] = before[index] + [0, 0, 0, 1] if name == "rl2" else nothing
            seen[index] = seen[index] if name == "rl2" else []
    agent.adapt()
    adapted = [(before[index], list(seen[index])) for index in range(N)]
    for step in range(5):
        begin = np.array([step in (0, 3), step == 0, step == 0])
        agent.reset(begin)
        for index in np.flatnonzero(begin):
            before[index], seen[index] = adapted[index][0], list(adapted[index][1])
        check(agent.eval_action(observe(begin)))


def test_actions_are_draws_of_the_policy_or_its_mode(make_run, tiny_policy):
    env, algorithm, state = make_run("maml-ppo")
    distribution = make_policy(tiny_policy, env.spec).distribution
    obs = np.random.default_rng(0).normal(size=(N, 2))
    sampling = RunAgent(algorithm, env.spec, state, NO_LABELS, jax.random.key(0))
    actions, outputs = sampling.adapt_action(obs)
    np.testing.assert_allclose(actions, distribution.to_env(outputs["raw"]), rtol=1e-6)
    np.testing.assert_allclose(outputs["log_prob"], distribution.log_prob(outputs["dist"], outputs["raw"]), rtol=1e-5)
    assert (sampling.eval_action(obs) != actions).any()  # another draw
    judged_act = make_judged_act("mode", tiny_policy, env.spec)
    likely = RunAgent(algorithm, env.spec, state, NO_LABELS, jax.random.key(0), judged_act)
    for _ in range(2):
        np.testing.assert_allclose(
            likely.eval_action(obs), distribution.to_env(outputs["dist"].mean), rtol=1e-5, atol=1e-6
        )


def test_labels_end_the_observation(make_run):
    """A policy that was trained with labels of two tasks; the environment knows nothing of them."""
    env, algorithm, state = make_run("maml-ppo", lambda spec: spec._replace(obs_dim=4))
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    agent = RunAgent(algorithm, env.spec, state, labels, jax.random.key(0))
    obs = np.ones((N, 2))
    actions, outputs = agent.adapt_action(obs)
    act, nothing = algorithm.act(state, agent.params), jnp.zeros((N, 1))
    history = History((), jnp.zeros((N, 1, 2)), nothing, nothing)
    wanted = act(jnp.concatenate([obs, labels], axis=1)[:, None], history, jax.random.key(0))[1].dist.mean
    np.testing.assert_allclose(outputs["dist"].mean, wanted[:, 0], rtol=1e-5, atol=1e-7)
    agent.step(Timestep(obs, actions, np.ones(N), np.zeros(N, bool), np.ones(N, bool), outputs))
    agent.adapt()
