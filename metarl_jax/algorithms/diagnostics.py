"""Metrics that several algorithms report."""

from collections.abc import Sequence

import jax.numpy as jnp

from .. import rollout
from ..policies import Policy
from ..types import MetaEnv, Metrics, Suite, Transition
from .inner_loop import Trial


def trial_metrics(env: MetaEnv | Suite, trial: Trial) -> Metrics:
    """How first episodes went before and after adaptation, and the size of the inner gradients."""
    metrics = {"inner_grad_norm": trial.grad_norm}
    for when, transitions in (("before", trial.rounds[0]), ("after", trial.rounds[-1])):
        metrics |= outcome_metrics(env, when, rollout.episode_outcome(transitions))
    return metrics | unstable_metrics(trial.rounds)


def outcome_metrics(env: MetaEnv | Suite, when: str, outcome: rollout.Outcome) -> Metrics:
    """Mean return and share of successes over `[N, E]` episodes, nan left out; success of each environment of a suite."""
    metrics = {f"return_{when}": jnp.nanmean(outcome.returns)}
    if env.spec.has_success:
        metrics[f"success_{when}"] = jnp.nanmean(outcome.success)
        parts = rollout.by_env(env, outcome.success).items()
        metrics |= {f"success_{when}/{name}": jnp.nanmean(part) for name, part in parts}
    return metrics


def unstable_metrics(rounds: Sequence[Transition]) -> Metrics:
    """In how many worlds the simulation blew up, of rounds `[N, E, T]` each; nothing of environments that cannot."""
    counts = [count for t in rounds if (count := rollout.unstable_worlds(t)) is not None]
    return {"unstable_worlds": jnp.stack(counts).sum()} if counts else {}


def action_metrics(policy: Policy, transitions: Transition) -> Metrics:
    """What the environment was given; nothing of discrete actions, which are no numbers."""
    action = policy.distribution.to_env(transitions.action_tm1)
    if jnp.issubdtype(action.dtype, jnp.integer):
        return {}
    return {
        "action_mean": action.mean(),
        "action_std": action.std(),
        "action_min": action.min(),
        "action_max": action.max(),
    }
