"""Policies that learn from replay: SAC, PEARL."""

import dataclasses

from ..algorithms.pearl import PearlConfig
from ..algorithms.q_critic import QCriticConfig
from ..algorithms.sac import SacConfig
from ..algorithms.soft import TemperatureConfig
from ..config import EvaluationConfig, ExperimentConfig
from ..learning.optim import OptimizerConfig
from ..networks import NetworkConfig
from ..networks.labels import LabelConfig
from ..policies import PolicyConfig

_SAC = ExperimentConfig(
    preset="",
    env="halfcheetah-v5",
    iterations=4_000,
    window=50,
    checkpoint_every=500,
    keep_checkpoints=1,  # the replay is in them
    policy=PolicyConfig(
        network=NetworkConfig(hidden=(256, 256), activation="relu"),
        distribution="tanh-gaussian",
        state_std=True,
        min_log_std=-5.0,
        max_log_std=2.0,
    ),
    evaluation=EvaluationConfig(tasks=10, episodes=1),
    # Critics with LayerNorm take three times the usual rate, and need no other tricks.
    algorithm=SacConfig(
        updates_per_step=0.25,
        critic=QCriticConfig(NetworkConfig(hidden=(256, 256), activation="relu", layer_norm=True)),
        temperature=TemperatureConfig(lr=1e-3),
        optimizer=OptimizerConfig(lr=1e-3, max_grad_norm=float("inf")),
    ),
)
_MT10_SAC = dataclasses.replace(
    _SAC,
    env="metaworld/MT10/one-hot",
    horizon=200,
    iterations=800,
    schedule_iterations=1600,  # all tasks are learned long before the end of the schedule
    window=10,
    checkpoint_every=200,
    policy=dataclasses.replace(
        _SAC.policy, network=NetworkConfig("residual", hidden=(256,), activation="relu"), normalize_obs=True
    ),
    evaluation=EvaluationConfig(tasks=500, episodes=1, horizon=500),
    algorithm=SacConfig(
        num_tasks=500,
        envs_per_task=1,
        unroll=10,
        n_step=3,
        capacity=2_000_000,
        updates_per_step=1 / 50,
        batch_size=250,
        random_steps=50_000,
        label=LabelConfig(embedding=32),
        critic=QCriticConfig(
            NetworkConfig("residual", hidden=(256, 256), activation="relu"), kind="categorical", scale_rewards=True
        ),
        temperature=TemperatureConfig(init=0.1, target_entropy=-0.5),
        optimizer=OptimizerConfig(
            lr=1e-3, lr_schedule="linear", lr_final=0.1, max_grad_norm=float("inf"), weight_decay=1e-4
        ),
    ),
)
_THREE_LAYERS = NetworkConfig(hidden=(300, 300, 300), activation="relu")
_TWO_SMALL_LAYERS = NetworkConfig(hidden=(64, 64), activation="relu")
_PEARL = ExperimentConfig(
    preset="",
    env="cheetah-vel/pearl",
    iterations=170,
    checkpoint_every=10,
    keep_checkpoints=1,  # the replay is in them
    policy=dataclasses.replace(_SAC.policy, network=_THREE_LAYERS),
    evaluation=EvaluationConfig(tasks=30, episodes=1, steps=2),  # the third trajectory has seen two
    # The paper's latent, context and KL; its updates are 16 tasks of 256 steps, a fourth of which two cores can do.
    algorithm=PearlConfig(
        batch_size=64,
        context_size=100,
        critic=QCriticConfig(dataclasses.replace(_THREE_LAYERS, layer_norm=True)),
        optimizer=OptimizerConfig(lr=3e-4, max_grad_norm=float("inf")),
    ),
)


def _pearl(env: str, evaluation_tasks: int, **changes) -> ExperimentConfig:
    """The settings of another family of the paper."""
    return dataclasses.replace(
        _PEARL,
        env=env,
        evaluation=dataclasses.replace(_PEARL.evaluation, tasks=evaluation_tasks),
        algorithm=dataclasses.replace(_PEARL.algorithm, **changes),
    )


CONFIGS: dict[str, ExperimentConfig] = {
    "cheetah-vel-pearl": _PEARL,
    "cheetah-dir-pearl": _pearl(
        "cheetah-dir/pearl", 40, num_tasks=40, meta_batch=4, batch_size=256, context_size=256, posterior_episodes=2
    ),
    "ant-dir-pearl": _pearl("ant-dir/pearl", 40, num_tasks=40, meta_batch=4, batch_size=256, context_size=256),
    "walker-rand-params-pearl": _pearl("walker-rand-params", 10, num_tasks=40, meta_batch=10, next_obs=True),
    "point-sparse-pearl": dataclasses.replace(
        _PEARL,
        env="point-sparse/pearl",
        iterations=100,
        policy=dataclasses.replace(_PEARL.policy, network=_TWO_SMALL_LAYERS),
        evaluation=dataclasses.replace(_PEARL.evaluation, tasks=20, steps=10),  # each trajectory tries one place
        # Three of four episodes know nothing, since few of them meet a goal. The paper's KL (1.0) kept the encoder from saying
        # anything at rewards of this scale, and its networks are wider than a plane needs.
        algorithm=PearlConfig(
            num_tasks=80,
            meta_batch=16,
            prior_episodes=15,
            posterior_episodes=5,
            batch_size=64,
            context_size=200,
            gamma=0.9,
            kl_coef=0.02,
            reward_scale=10.0,
            encoder=_TWO_SMALL_LAYERS,
            critic=QCriticConfig(dataclasses.replace(_TWO_SMALL_LAYERS, layer_norm=True)),
            optimizer=OptimizerConfig(lr=1e-3, max_grad_norm=float("inf")),
        ),
    ),
    "halfcheetah-sac": _SAC,
    "hopper-sac": dataclasses.replace(_SAC, env="hopper-v5"),
    "walker2d-sac": dataclasses.replace(_SAC, env="walker2d-v5"),
    "ant-sac": dataclasses.replace(_SAC, env="ant-v5"),
    "mt10-sac": _MT10_SAC,
    "mt50-sac": dataclasses.replace(
        _MT10_SAC,
        env="metaworld/MT50/one-hot",
        iterations=3000,
        schedule_iterations=None,
        evaluation=EvaluationConfig(tasks=2500, episodes=1, horizon=500),
        algorithm=dataclasses.replace(_MT10_SAC.algorithm, batch_size=500),
    ),
}
