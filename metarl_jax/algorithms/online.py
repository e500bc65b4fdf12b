"""Test-time adaptation: a trained policy goes on learning one new task from its own episodes, one after the other.

After each episode it takes a few steps of PPO's clipped gradient on its latest episodes, as far as an ensemble of baselines
agrees on which actions were good, and returns to what it began with where it has become worse.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats

from .. import evaluation, rollout
from ..errors import ConfigError, check_sizes
from ..learning import losses, normalize, returns
from ..policies import Context, Policy, Sequence, make_act
from ..types import Algorithm, Array, History, Key, MetaEnv, Params, RunState, Suite, Task, Transition


@dataclasses.dataclass(frozen=True)
class OnlineConfig:
    """Knobs of test-time adaptation."""

    episodes: int = 100
    """Episodes to learn from, one after the other."""
    replay: int = 10
    """Latest episodes that each step sees. As many are played first, which say how good the policy was at the start."""
    steps: int = 4
    """Gradient steps after each episode."""
    lr: float = 1e-3
    """Step size (Adam) where the baselines agree."""
    clip: float = 0.2
    """Bound on the change of the probability ratio (PPO)."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """Exponential weight of generalised advantage estimation."""
    ensemble: int = 8
    """Baselines, each fitted to other weights of the episodes; where they disagree, steps are shorter."""
    false_alarm: float = 0.05
    """Probability with which a policy that is no worse than at the start is taken back nevertheless, in all episodes together;
    0 takes none back."""

    def __post_init__(self):
        check_sizes(self, "online.")
        if min(self.episodes, self.steps) < 1 or min(self.replay, self.ensemble) < 2:
            raise ConfigError("online episodes and steps must be at least 1, replay and ensemble at least 2.")
        if not (0.0 < self.lr < float("inf") and 0.0 < self.clip < float("inf")):
            raise ConfigError("online lr and clip must be positive and finite.")
        returns.check_discounts(self.gamma, self.gae_lambda, "online ")
        if not 0.0 <= self.false_alarm < 1.0:
            raise ConfigError(f"online false_alarm must lie in [0, 1), not {self.false_alarm}.")

    @property
    def tolerance(self) -> float:
        """Standard errors that the mean return of the latest episodes may lie below that of the start.

        The bound of Student's t-test of two means at a level that is shared out among the looks, one after each episode
        (Bonferroni): a bound for one look would be crossed by chance in a third of a hundred.
        """
        return float(scipy.stats.t.isf(self.false_alarm / self.episodes, 2 * (self.replay - 1)))


class Setting(NamedTuple):
    """Who plays what: all that learning leaves as it is."""

    policy: Policy
    env: MetaEnv | Suite
    stats: normalize.Stats  # that standardise observations
    history: History  # what every episode begins with, leaves `[N, ...]`
    tasks: Task  # N of them


class Learner(NamedTuple):
    """Where learning one task stands."""

    params: Params
    opt_state: Any
    replay: Transition  # [R, T], the latest episodes
    returns: Array  # [R], of these
    step_scale: Array  # []: 1, halved by each return to the start


class Online(NamedTuple):
    """What learning N tasks gave."""

    params: Params  # leaves `[N, ...]`, those of the start where the end was no better
    returns: Array  # [N, episodes], undiscounted, of the episodes learnt from
    trust: Array  # [N, episodes] in [0, 1]: factor on the step size
    restored: Array  # [N, episodes] bool: back to the start before learning from this episode
    unstable: Array | None  # [1 + episodes]: worlds in which the simulation blew up; None where it cannot


def learn_online(config: OnlineConfig, setting: Setting, params: Params, key: Key) -> Online:
    """Learns each of N tasks by itself.

    Args:
      config: see there.
      setting: see there.
      params: of N policies, leaves `[N, ...]`.
      key: of episodes, actions and ensembles.
    """
    optimizer = optax.adam(config.lr)
    num_tasks = len(setting.history.reward)
    key_start, key = jax.random.split(key)
    replay, first_returns = play_episodes(setting, params, config.replay, key_start)
    opt_state = jax.vmap(optimizer.init)(params)
    start = Learner(params, opt_state, replay, first_returns, jnp.ones(num_tasks))

    def episode(learner: Learner, key: Key) -> tuple[Learner, tuple[Array, Array, Array, Array | None]]:
        key_play, key_learn = jax.random.split(key)
        latest, latest_return = play_episodes(setting, learner.params, 1, key_play)
        replay, replay_returns = jax.tree.map(
            lambda old, new: jnp.concatenate([old[:, 1:], new], axis=1),
            (learner.replay, learner.returns),
            (latest, latest_return),
        )
        learner = learner._replace(replay=replay, returns=replay_returns)
        learner, restored = jax.vmap(restore_fallen, in_axes=(None, 0, 0))(config.tolerance, learner, start)
        learn = jax.vmap(functools.partial(learn_replay, config, setting.policy, optimizer, setting.stats))
        learner, trust = learn(setting.history.carry, learner, jax.random.split(key_learn, num_tasks))
        return learner, (latest_return[:, 0], trust, restored, rollout.unstable_worlds(latest))

    learner, (curve, trust, restored, unstable) = jax.lax.scan(episode, start, jax.random.split(key, config.episodes))
    # What was restored at last has been changed since by steps that nothing has shown to be good.
    better = learner.returns.mean(axis=1) > start.returns.mean(axis=1)
    params = jax.tree.map(lambda new, old: jax.vmap(jnp.where)(better, new, old), learner.params, start.params)
    first = rollout.unstable_worlds(replay)
    unstable = jax.tree.map(lambda first, rest: jnp.append(first, rest), first, unstable)
    return Online(params, curve.T, trust.T, restored.T, unstable)


def play_episodes(
    setting: Setting,
    params: Params,
    episodes: int,
    key: Key,
    judged_act: Callable[[rollout.Act], rollout.Act] | None = None,
) -> tuple[Transition, Array]:
    """`episodes` rollouts of each of N tasks, `[N, episodes, T]`, each from the history on; and their returns.

    `judged_act`, where given, makes of the policies those that play.
    """
    policy, env, stats, history, tasks = setting
    shape = (len(history.reward), episodes)
    history = jax.tree.map(lambda x: jnp.broadcast_to(x[:, None], (*shape, *x.shape[1:])), history)
    act = make_act(policy, stats, params, 0)
    act = act if judged_act is None else judged_act(act)
    _, transitions = rollout.run_episodes(env, act, tasks, key, shape, history)
    return transitions, rollout.episode_outcome(transitions).returns


def restore_fallen(tolerance: float, learner: Learner, start: Learner) -> tuple[Learner, Array]:
    """`start` with half the step size, where the latest returns lie `tolerance` standard errors below those of the start.

    The standard error is that of the difference of the two means. Returns the learner, and whether it was restored.
    """
    variance = (learner.returns.var(ddof=1) + start.returns.var(ddof=1)) / len(start.returns)
    fallen = learner.returns.mean() < start.returns.mean() - tolerance * jnp.sqrt(variance)
    restored = start._replace(step_scale=learner.step_scale / 2)
    return jax.tree.map(lambda old, new: jnp.where(fallen, old, new), restored, learner), fallen


def learn_replay(
    config: OnlineConfig,
    policy: Policy,
    optimizer: optax.GradientTransformation,
    stats: normalize.Stats,
    carry: Any,
    learner: Learner,
    key: Key,
) -> tuple[Learner, Array]:
    """Gradient steps of one task on its replay, `[R, T]`; `carry` is what memories began its episodes with.

    Returns:
      The learner, and the factor on the step size.
    """
    replay = learner.replay
    advantage, trust = judge_actions(config, replay, key)
    context = replay_context(policy, stats, carry, replay)
    action, old_log_prob, advantage = jax.tree.map(
        policy.arrange, (replay.action_tm1, replay.log_prob_tm1, losses.standardise(advantage))
    )

    def loss(params: Params) -> Array:
        log_prob = policy.distribution.log_prob(policy.dist(params, context), action)
        return losses.ppo_clip(log_prob, old_log_prob, advantage, config.clip)

    def step(carry: tuple[Params, Any], _: None) -> tuple[tuple[Params, Any], None]:
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
        updates = jax.tree.map(lambda u: trust * learner.step_scale * u, updates)
        return (optax.apply_updates(params, updates), opt_state), None

    (params, opt_state), _ = jax.lax.scan(step, (learner.params, learner.opt_state), None, config.steps)
    return learner._replace(params=params, opt_state=opt_state), trust


def replay_context(policy: Policy, stats: normalize.Stats, carry: Any, replay: Transition) -> Context:
    """What the policy's distributions in episodes `[R, T]` follow from, where memories began them with `carry`."""
    context = policy.context(stats, replay)
    if not isinstance(context, Sequence):
        return context
    return context._replace(carry=jax.tree.map(lambda x, y: jnp.broadcast_to(x, y.shape), carry, context.carry))


def judge_actions(config: OnlineConfig, replay: Transition, key: Key) -> tuple[Array, Array]:
    """Advantages `[R, T]`, means over an ensemble, and how far to trust them.

    Each baseline is fitted to weights of the episodes drawn from Exp(1): the Bayesian bootstrap (Rubin 1981), so that their
    spread is that of the posterior. Trust is the share of the advantages' variance that is not this spread, the factor by
    which Wiener's filter would shrink them.
    """
    weights = jax.random.exponential(key, (config.ensemble, len(replay.reward_t)))
    judge = jax.vmap(returns.baseline_advantages, in_axes=(None, None, None, 0))
    advantages = judge(replay, config.gamma, config.gae_lambda, weights)
    signal, noise = advantages.mean(axis=0).var(), advantages.var(axis=0).mean()
    return advantages.mean(axis=0), signal / (signal + noise + 1e-8)


class Comparison(NamedTuple):
    """N tasks, with and without learning on."""

    frozen: Array  # [N, E], returns of the policy after the run's own adaptation
    learned: Array  # [N, E], returns of the policy that went on learning
    online: Online
    unstable: tuple[Array | None, Array | None]  # [], worlds in which the simulation of frozen and learned blew up


class Subject(NamedTuple):
    """Whom `compare` looks at, and where."""

    algorithm: Algorithm  # of the run
    policy: Policy  # of the run
    env: MetaEnv | Suite  # draws the tasks
    judged_act: Callable[[rollout.Act], rollout.Act] | None = (
        None  # where given, makes of policies those that are compared
    )


def compare(
    config: OnlineConfig, subject: Subject, state: RunState, key: Key, shape: tuple[int, int], num_steps: int
) -> Comparison:
    """Adapts a run to N tasks as it was trained to, lets it go on learning, and plays fresh episodes of both policies.

    Args:
      config: of the learning.
      subject: the run and its tasks.
      state: of the run.
      key: of everything random.
      shape: (N, E) tasks, and episodes of each: of each of the run's own adaptation steps, and of the comparison.
      num_steps: K, of the run's own adaptation.
    """
    algorithm, policy, env, judged_act = subject
    key_tasks, key_adapt, key_learn, key_frozen, key_learned = jax.random.split(key, 5)
    tasks = rollout.sample_tasks(env, key_tasks, shape[0])
    adapted = evaluation.adaptation(algorithm, env, state, tasks, key_adapt, shape, num_steps)
    params, histories, _ = jax.tree.map(lambda x: x[-1], adapted)
    history = jax.tree.map(lambda x: x[:, 0], histories)  # what the first of the E memories holds
    setting = Setting(policy, env, state.obs_stats, history, tasks)
    online = learn_online(config, setting, params, key_learn)
    played, frozen = play_episodes(setting, params, shape[1], key_frozen, judged_act)
    played_on, learned = play_episodes(setting, online.params, shape[1], key_learned, judged_act)
    counts = rollout.unstable_worlds(played), rollout.unstable_worlds(played_on)
    return Comparison(frozen, learned, online, counts)


def report(config: OnlineConfig, comparison: Comparison) -> dict[str, Any]:
    """Means over tasks with 95 % bootstrap intervals, and the curve of returns episode by episode."""
    frozen, learned = (np.asarray(x).mean(axis=1) for x in (comparison.frozen, comparison.learned))
    online = jax.tree.map(np.asarray, comparison.online._replace(params=()))
    curve = [evaluation.estimate(values) for values in online.returns.T]
    found = {
        "frozen": evaluation.estimate(frozen)._asdict(),
        "learned": evaluation.estimate(learned)._asdict(),
        "gain": evaluation.estimate(learned - frozen)._asdict(),
        "gains": (learned - frozen).tolist(),
        "curve": {"mean": [e.mean for e in curve], "mean_interval": [e.mean_interval for e in curve]},
        "trust": online.trust.mean(axis=0).tolist(),
        "restored": online.restored.sum(axis=1).tolist(),
        "notes": [],
    }
    counts = [int(np.sum(count)) for count in jax.tree.leaves((online.unstable, comparison.unstable))]
    if counts:  # none where no simulation can blow up
        worlds = len(frozen) * (config.replay + config.episodes) + comparison.frozen.size + comparison.learned.size
        found["unstable_worlds"] = dict(zip(("learning", "frozen", "learned"), counts, strict=True))
        found["notes"] = evaluation.unstable_notes(sum(counts), worlds)
    return found
