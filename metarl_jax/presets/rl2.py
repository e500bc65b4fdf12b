"""Policies that adapt by what they remember: RL^2."""

import dataclasses

from ..algorithms.critic import CriticConfig
from ..algorithms.ppo_update import PpoUpdateConfig
from ..algorithms.rl2 import Rl2Config
from ..config import EvaluationConfig, ExperimentConfig
from ..learning.optim import OptimizerConfig
from ..networks import MemoryConfig, NetworkConfig
from ..policies import PolicyConfig

_RL2 = ExperimentConfig(
    preset="",
    env="cheetah-vel",
    horizon=200,
    iterations=400,
    policy=PolicyConfig(
        memory=MemoryConfig("gru", width=128),
        network=NetworkConfig(hidden=(64,)),
        init_log_std=-0.5,
        normalize_obs=True,
    ),
    algorithm=Rl2Config(
        num_tasks=80,
        envs_per_task=1,
        chunk=100,
        critic=CriticConfig(coef=1.0, reward_scale=0.1),
        shared_memory=True,
        update=PpoUpdateConfig(epochs=6, minibatches=4),
        optimizer=OptimizerConfig(lr=1e-3, max_grad_norm=0.5, lr_schedule="linear"),
    ),
)


def _rl2_metaworld(memory: str, **changes) -> ExperimentConfig:
    """Rewards of Meta-World lie in [0, 10].

    Two layers: a state-space model's recurrence is linear, so the first can relate changes of the reward to motions
    only after it, and it takes a second to add these up to an estimate of the goal.
    """
    config = dataclasses.replace(
        _RL2,
        horizon=None,  # as it is judged: a memory that has never seen 500 steps fails there
        policy=dataclasses.replace(_RL2.policy, memory=MemoryConfig(memory, width=128, layers=2)),
        evaluation=EvaluationConfig(tasks=50),
        algorithm=dataclasses.replace(
            _RL2.algorithm,
            num_tasks=40,
            chunk=250,
            gamma=0.97,
            critic=CriticConfig(coef=1.0, reward_scale=0.005),
            update=PpoUpdateConfig(epochs=8, minibatches=4, entropy_coef=1e-3),
        ),
    )
    return dataclasses.replace(config, **changes)


def _small_memory(name: str) -> PolicyConfig:
    return PolicyConfig(memory=MemoryConfig(name, width=64, state=32), network=NetworkConfig(hidden=(64,)))


def _tabular_rl2(env: str, iterations: int, width: int, algorithm: Rl2Config) -> ExperimentConfig:
    policy = PolicyConfig(NetworkConfig(hidden=(width,)), MemoryConfig("gru", width=width), "categorical")
    judged = EvaluationConfig(tasks=200)
    return ExperimentConfig("", env, algorithm, iterations, window=10, policy=policy, evaluation=judged)


CONFIGS: dict[str, ExperimentConfig] = {
    "nav-sparse-rl2-s5": ExperimentConfig(
        preset="",
        env="point-sparse",
        iterations=300,
        window=5,
        policy=_small_memory("s5"),
        evaluation=EvaluationConfig(tasks=100, episodes=4),
        algorithm=Rl2Config(
            num_tasks=64,
            envs_per_task=4,
            chunk=40,
            gamma=0.95,
            update=PpoUpdateConfig(epochs=4, minibatches=4, entropy_coef=1e-2),
            optimizer=OptimizerConfig(lr=1e-3, max_grad_norm=0.5, lr_schedule="linear"),
        ),
    ),
    "recall-rl2-s5": ExperimentConfig(
        preset="",
        env="recall",
        iterations=150,
        window=5,
        # The action before is the noise that the cue is to be told from, and of an action only the sign counts.
        policy=dataclasses.replace(_small_memory("s5"), init_log_std=-1.5),
        evaluation=EvaluationConfig(tasks=100, episodes=1),
        algorithm=Rl2Config(
            num_tasks=128,  # one action of each trial's 200 matters
            envs_per_task=1,
            episodes=1,
            chunk=200,  # the whole corridor: what is worth remembering shows at its end alone
            shared_memory=True,
            update=PpoUpdateConfig(epochs=5, minibatches=4, entropy_coef=1e-3),
            optimizer=OptimizerConfig(lr=2e-3, max_grad_norm=0.5, lr_schedule="linear"),
        ),
    ),
    "bandit-rl2": _tabular_rl2(
        "bandit/5",
        iterations=400,
        width=32,
        algorithm=Rl2Config(
            num_tasks=1024,
            envs_per_task=1,
            episodes=1,
            chunk=10,
            shared_memory=True,
            update=PpoUpdateConfig(epochs=4, minibatches=4, entropy_coef=5e-2),
            optimizer=OptimizerConfig(lr=3e-3, max_grad_norm=0.5, lr_schedule="linear"),
        ),
    ),
    "mdp-rl2": _tabular_rl2(
        "mdp",
        iterations=1000,
        width=256,  # 50 pairs of state and action, of each a sum and a count
        algorithm=Rl2Config(
            num_tasks=2048,
            envs_per_task=1,
            episodes=10,
            gae_lambda=0.3,
            critic=CriticConfig(coef=1.0, reward_scale=0.1),
            shared_memory=True,
            update=PpoUpdateConfig(epochs=4, minibatches=8, entropy_coef=1e-2),
            optimizer=OptimizerConfig(lr=5e-4, max_grad_norm=0.5, lr_schedule="linear"),
        ),
    ),
    "cheetah-vel-rl2": _RL2,
    "cheetah-dir-rl2-s5": dataclasses.replace(
        _RL2, env="cheetah-dir", policy=dataclasses.replace(_RL2.policy, memory=MemoryConfig("s5", width=128))
    ),
    "ml1-reach-rl2": _rl2_metaworld("s5", env="metaworld/reach-v3/ml1/fresh", iterations=250),
    "ml1-push-rl2-s5": _rl2_metaworld("s5", env="metaworld/push-v3/ml1/fresh", iterations=500),
    "ml10-rl2": _rl2_metaworld(
        "gru",
        env="metaworld/ML10/fresh",
        iterations=2000,
        evaluation=EvaluationConfig(tasks=250, episodes=2),
    ),
}
