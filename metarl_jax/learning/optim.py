"""The outer optimiser: Adam with a schedule and clipping by global norm."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from ..errors import ConfigError
from ..types import Kept, Params, RunState
from . import normalize


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam (arXiv:1412.6980) and what surrounds it."""

    lr: float = 1e-3
    """Learning rate at its highest."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the rate falls over the run."""
    lr_final: float = 0.0
    """Rate at the end of a `linear` or `cosine` schedule, as a fraction of `lr`."""
    warmup: float = 0.0
    """Fraction of the run over which the rate first rises from 0."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm where they exceed it; inf never does."""
    weight_decay: float = 0.0
    """Of AdamW (arXiv:1711.05101): each update takes this part, times the learning rate, off all parameters."""

    def __post_init__(self):
        if not 0.0 < self.lr < float("inf"):
            raise ConfigError(f"optimizer lr must be positive and finite, not {self.lr}.")
        if not self.max_grad_norm > 0.0:
            raise ConfigError(f"optimizer max_grad_norm must be positive, not {self.max_grad_norm}.")
        if not 0.0 <= self.weight_decay < float("inf"):
            raise ConfigError(f"optimizer weight_decay must be finite and >= 0, not {self.weight_decay}.")
        if not (0.0 <= self.lr_final <= 1.0 and 0.0 <= self.warmup < 1.0):
            raise ConfigError("optimizer lr_final must lie in [0, 1] and warmup in [0, 1).")


def make_schedule(config: OptimizerConfig, num_updates: int) -> optax.Schedule:
    """Learning rate by update, over `num_updates`; after them it stays as it is."""
    num_warmup = int(config.warmup * num_updates)
    rest = max(num_updates - num_warmup, 1)
    main = {
        "constant": optax.constant_schedule(config.lr),
        "linear": optax.linear_schedule(config.lr, config.lr * config.lr_final, rest),
        "cosine": optax.cosine_decay_schedule(config.lr, rest, alpha=config.lr_final),
    }[config.lr_schedule]
    if num_warmup == 0:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, config.lr, num_warmup), main], [num_warmup])


def make_optimizer(config: OptimizerConfig, num_updates: int) -> optax.GradientTransformation:
    """The optimiser of a run of `num_updates` updates."""
    schedule = make_schedule(config, num_updates)
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.adamw(schedule, eps=1e-5, weight_decay=config.weight_decay)
        if config.weight_decay
        else optax.adam(schedule, eps=1e-5),
    )


def by_part(optimizers: dict[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """Each part of the parameters by its own optimiser; a part that is given no gradient stays as it is."""

    def update(grads: Params, states: dict, params: Params | None = None) -> tuple[Params, dict]:
        assert params is not None
        moved = {name: optimizers[name].update(grad, states[name], params[name]) for name, grad in grads.items()}
        still = {name: jax.tree.map(jnp.zeros_like, part) for name, part in params.items() if name not in grads}
        return still | {name: u for name, (u, _) in moved.items()}, states | {
            n: state for n, (_, state) in moved.items()
        }

    return optax.GradientTransformation(
        lambda params: {name: optimizer.init(params[name]) for name, optimizer in optimizers.items()}, update
    )


def init_run_state(
    params: Params, optimizer: optax.GradientTransformation, obs_stats: normalize.Stats, kept: Kept
) -> RunState:
    """The state of a run that begins with `params`."""
    return RunState(
        step=jnp.zeros((), int),
        params=params,
        opt_state=optimizer.init(params),
        obs_stats=obs_stats,
        lr_scale=jnp.ones(()),
        kept=kept,
    )


def apply_gradients(optimizer: optax.GradientTransformation, state: RunState, grads: Params) -> RunState:
    """One update of `state.params`, scaled by `state.lr_scale`."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda u: state.lr_scale * u, updates)
    return state._replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)
