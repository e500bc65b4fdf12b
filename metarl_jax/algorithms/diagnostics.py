"""Metrics that several algorithms report."""

import jax.numpy as jnp

from .. import rollout
from ..policies import Policy
from ..types import Metrics, Transition
from .inner_loop import Trial


def trial_metrics(trial: Trial) -> Metrics:
    """Mean returns of first episodes before and after adaptation, and the size of the inner gradients."""
    return {
        "return_before": jnp.mean(rollout.first_episode_return(trial.rounds[0])),
        "return_after": jnp.mean(rollout.first_episode_return(trial.rounds[-1])),
        "inner_grad_norm": trial.grad_norm,
    }


def action_metrics(policy: Policy, transitions: Transition) -> Metrics:
    """What the environment was given."""
    action = policy.distribution.to_env(transitions.action_tm1)
    return {
        "action_mean": action.mean(),
        "action_std": action.std(),
        "action_min": action.min(),
        "action_max": action.max(),
    }
