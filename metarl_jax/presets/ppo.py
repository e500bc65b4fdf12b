"""Policies that learn one task, or know which it is: PPO."""

import dataclasses

from ..algorithms.critic import CriticConfig
from ..algorithms.ppo import PpoConfig
from ..algorithms.ppo_update import PpoUpdateConfig
from ..config import EvaluationConfig, ExperimentConfig
from ..learning.optim import OptimizerConfig
from ..networks import NetworkConfig
from ..policies import PolicyConfig

_PPO = ExperimentConfig(
    preset="",
    env="halfcheetah-v5",
    iterations=900,
    policy=PolicyConfig(normalize_obs=True),
    evaluation=EvaluationConfig(tasks=20, episodes=1),
    algorithm=PpoConfig(
        critic=CriticConfig(reward_scale=0.1),
        update=PpoUpdateConfig(epochs=5, minibatches=16),
        optimizer=OptimizerConfig(lr=3e-4, max_grad_norm=0.5, lr_schedule="linear"),
    ),
)
CONFIGS: dict[str, ExperimentConfig] = {
    "mt10-ppo": ExperimentConfig(
        preset="",
        env="metaworld/MT10/one-hot",
        horizon=200,
        iterations=100,
        policy=PolicyConfig(network=NetworkConfig(hidden=(128, 128)), init_log_std=-0.5, normalize_obs=True),
        evaluation=EvaluationConfig(tasks=500, episodes=1, horizon=500),
        algorithm=PpoConfig(
            num_tasks=500,
            envs_per_task=1,
            unroll=200,
            critic=CriticConfig(NetworkConfig(hidden=(128, 128)), reward_scale=0.01),
            update=PpoUpdateConfig(epochs=4, minibatches=32),
            optimizer=OptimizerConfig(lr=5e-4, max_grad_norm=0.5, lr_schedule="linear"),
        ),
    ),
    "halfcheetah-ppo": _PPO,
    "hopper-ppo": dataclasses.replace(_PPO, env="hopper-v5"),
    "walker2d-ppo": dataclasses.replace(_PPO, env="walker2d-v5"),
    "ant-ppo": dataclasses.replace(_PPO, env="ant-v5"),
}
