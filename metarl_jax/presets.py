"""Named experiments. To add one: a line in _CONFIGS, and one about it in names.py."""

import dataclasses
from typing import NamedTuple

from . import names
from .algorithms.critic import CriticConfig
from .algorithms.inner_loop import InnerLoopConfig
from .algorithms.maml_ppo import MamlPpoConfig
from .algorithms.maml_trpo import MamlTrpoConfig
from .algorithms.pearl import PearlConfig
from .algorithms.ppo import PpoConfig
from .algorithms.ppo_update import PpoUpdateConfig
from .algorithms.q_critic import QCriticConfig
from .algorithms.reptile import ReptileConfig
from .algorithms.rl2 import Rl2Config
from .algorithms.sac import SacConfig
from .algorithms.soft import TemperatureConfig
from .config import EvaluationConfig, ExperimentConfig
from .errors import ConfigError
from .learning.optim import OptimizerConfig
from .networks import MemoryConfig, NetworkConfig
from .networks.labels import LabelConfig
from .policies import PolicyConfig

DEFAULT = "cheetah-dir-maml"


class Preset(NamedTuple):
    """A configuration and one line about it."""

    config: ExperimentConfig
    summary: str


def _navigation(algorithm: MamlPpoConfig | MamlTrpoConfig | ReptileConfig) -> ExperimentConfig:
    return ExperimentConfig(
        preset="",
        env="point/maml",
        iterations=150,
        window=5,
        policy=PolicyConfig(init_log_std=-0.5),
        algorithm=algorithm,
    )


_CHEETAH_MAML = ExperimentConfig(
    preset="",
    env="cheetah-dir",
    horizon=100,
    iterations=200,
    policy=PolicyConfig(init_log_std=-0.5),
    algorithm=MamlPpoConfig(inner=InnerLoopConfig(learn_lr=True), optimizer=OptimizerConfig(lr=3e-3)),
)
_METAWORLD_MAML = dataclasses.replace(
    _CHEETAH_MAML,
    horizon=150,  # in training; an expert reaches in 50 steps
    iterations=100,
    evaluation=EvaluationConfig(tasks=50, horizon=500),
)
# Settings of pytorch-maml-rl, but 100 iterations (navigation: 150) in place of its 500, and actions that are not divided by 10.
# Gradients of log-probabilities adapt, as MAML was published.
_TRPO_INNER = InnerLoopConfig(lr=0.1, surrogate="log_prob")
_CHEETAH_TRPO = ExperimentConfig(
    preset="",
    env="cheetah-dir",
    horizon=100,
    iterations=100,
    algorithm=MamlTrpoConfig(num_tasks=40, envs_per_task=20, inner=_TRPO_INNER),
)
# Settings of metaworld-algorithms and its budget: 2 M steps for each of the training set's tasks, of which ML1 has one.
_METAWORLD_TRPO = ExperimentConfig(
    preset="",
    env="metaworld/reach-v3/ml1",
    iterations=20,
    policy=PolicyConfig(network=NetworkConfig(hidden=(512, 512))),
    evaluation=EvaluationConfig(tasks=50),
    algorithm=MamlTrpoConfig(num_tasks=10, inner=_TRPO_INNER),
)
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


def _small_memory(name: str) -> PolicyConfig:
    return PolicyConfig(memory=MemoryConfig(name, width=64, state=32), network=NetworkConfig(hidden=(64,)))


def _tabular_rl2(env: str, iterations: int, width: int, algorithm: Rl2Config) -> ExperimentConfig:
    policy = PolicyConfig(NetworkConfig(hidden=(width,)), MemoryConfig("gru", width=width), "categorical")
    judged = EvaluationConfig(tasks=200)
    return ExperimentConfig("", env, algorithm, iterations, window=10, policy=policy, evaluation=judged)


_NAVIGATION_OPTIMIZER = OptimizerConfig(lr=3e-3, lr_schedule="cosine")
_CONFIGS: dict[str, ExperimentConfig] = {
    "cheetah-dir-maml": _CHEETAH_MAML,
    "cheetah-dir-promp": ExperimentConfig(
        preset="",
        env="cheetah-dir/promp",
        iterations=1001,
        algorithm=MamlPpoConfig(
            num_tasks=40,
            envs_per_task=20,
            inner=InnerLoopConfig(lr=0.1),
            inner_kl_coef=5e-4,
            update=PpoUpdateConfig(epochs=5, clip=0.3),
            optimizer=OptimizerConfig(lr=1e-3, max_grad_norm=float("inf")),
        ),
    ),
    "cheetah-vel-maml": dataclasses.replace(_CHEETAH_MAML, env="cheetah-vel"),
    "nav-maml": _navigation(
        MamlPpoConfig(envs_per_task=20, inner=InnerLoopConfig(learn_lr=True), optimizer=_NAVIGATION_OPTIMIZER)
    ),
    "nav-fomaml": _navigation(
        MamlPpoConfig(
            envs_per_task=20,
            first_order=True,
            inner=InnerLoopConfig(learn_lr=True),
            optimizer=_NAVIGATION_OPTIMIZER,
        )
    ),
    "nav-reptile": _navigation(ReptileConfig(envs_per_task=20, optimizer=_NAVIGATION_OPTIMIZER)),
    "nav-maml-trpo": _navigation(MamlTrpoConfig(envs_per_task=20, inner=_TRPO_INNER)),
    "cheetah-dir-maml-trpo": _CHEETAH_TRPO,
    "cheetah-vel-maml-trpo": dataclasses.replace(_CHEETAH_TRPO, env="cheetah-vel/maml"),
    "ml1-reach-maml-trpo": _METAWORLD_TRPO,
    "ml10-maml-trpo": dataclasses.replace(
        _METAWORLD_TRPO,
        env="metaworld/ML10",
        iterations=100,
        evaluation=EvaluationConfig(tasks=250),
        algorithm=dataclasses.replace(_METAWORLD_TRPO.algorithm, num_tasks=20),
    ),
    "ml1-reach-maml": dataclasses.replace(_METAWORLD_MAML, env="metaworld/reach-v3/ml1/fresh"),
    "ml1-push-maml": dataclasses.replace(_METAWORLD_MAML, env="metaworld/push-v3/ml1/fresh", iterations=400),
    "ml10-maml": dataclasses.replace(
        _METAWORLD_MAML,
        env="metaworld/ML10/fresh",
        horizon=200,
        iterations=1000,
        evaluation=EvaluationConfig(tasks=250, horizon=500),
        policy=dataclasses.replace(_CHEETAH_MAML.policy, network=NetworkConfig(hidden=(128, 128))),
    ),
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
    "cheetah-vel-pearl": _PEARL,
    "cheetah-dir-pearl": _pearl(
        "cheetah-dir/pearl", 40, num_tasks=40, meta_batch=4, batch_size=256, context_size=256, posterior_episodes=2
    ),
    "ant-dir-pearl": _pearl("ant-dir/pearl", 40, num_tasks=40, meta_batch=4, batch_size=256, context_size=256),
    "walker-rand-params-pearl": _pearl("walker-rand-params", 10, num_tasks=40, meta_batch=10, next_obs=True),
    "point-sparse-pearl": _pearl(
        "point-sparse/pearl",
        20,
        num_tasks=80,
        meta_batch=16,
        prior_episodes=5,
        posterior_episodes=5,
        gamma=0.9,
        kl_coef=1.0,
        reward_scale=100.0,
    ),
    "halfcheetah-ppo": _PPO,
    "hopper-ppo": dataclasses.replace(_PPO, env="hopper-v5"),
    "walker2d-ppo": dataclasses.replace(_PPO, env="walker2d-v5"),
    "ant-ppo": dataclasses.replace(_PPO, env="ant-v5"),
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
PRESETS = {
    name: Preset(dataclasses.replace(config, preset=name), names.PRESETS[name]) for name, config in _CONFIGS.items()
}
"""Presets by name: configuration and one line about it.

:meta hide-value:
"""


def scaled(config: ExperimentConfig, scale: int) -> ExperimentConfig:
    """With `scale` times as many environments at once, for devices that step many in the time of few.

    Times as many tasks per iteration; of PPO and SAC, which keep their tasks, environments of each. Nothing else changes: each
    iteration has as many more steps, so that fewer of them do.
    """
    if scale < 1:
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    algorithm = config.algorithm
    if algorithm.name in ("ppo", "sac"):
        algorithm = dataclasses.replace(algorithm, envs_per_task=scale * algorithm.envs_per_task)
    else:
        algorithm = dataclasses.replace(algorithm, num_tasks=scale * algorithm.num_tasks)
    return dataclasses.replace(config, algorithm=algorithm)
