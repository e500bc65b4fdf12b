"""Named experiments. To add one: a line in PRESETS."""

import dataclasses
from typing import NamedTuple

from .algorithms.critic import CriticConfig
from .algorithms.inner_loop import InnerLoopConfig
from .algorithms.maml_ppo import MamlPpoConfig
from .algorithms.ppo import PpoConfig
from .algorithms.ppo_update import PpoUpdateConfig
from .algorithms.reptile import ReptileConfig
from .algorithms.rl2 import Rl2Config
from .config import EvaluationConfig, ExperimentConfig
from .errors import ConfigError
from .learning.optim import OptimizerConfig
from .networks import MemoryConfig, NetworkConfig
from .policies import PolicyConfig

DEFAULT = "cheetah-dir-maml"


class Preset(NamedTuple):
    """A configuration and one line about it."""

    config: ExperimentConfig
    summary: str


def _navigation(algorithm: MamlPpoConfig | ReptileConfig, summary: str) -> Preset:
    config = ExperimentConfig(
        preset="",
        env="point/maml",
        iterations=150,
        window=5,
        policy=PolicyConfig(init_log_std=-0.5),
        algorithm=algorithm,
    )
    return Preset(config, summary)


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


_NAVIGATION_OPTIMIZER = OptimizerConfig(lr=3e-3, lr_schedule="cosine")
_PRESETS: dict[str, Preset] = {
    "cheetah-dir-maml": Preset(
        _CHEETAH_MAML,
        "second-order MAML-PPO with learned step sizes on HalfCheetah-direction: the default, 6 minutes on 2 cores",
    ),
    "cheetah-dir-promp": Preset(
        ExperimentConfig(
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
        "ProMP's published settings (160k steps an iteration, 1001 iterations)",
    ),
    "cheetah-vel-maml": Preset(
        dataclasses.replace(_CHEETAH_MAML, env="cheetah-vel"),
        "the same on HalfCheetah-velocity",
    ),
    "nav-maml": _navigation(
        MamlPpoConfig(envs_per_task=20, inner=InnerLoopConfig(learn_lr=True), optimizer=_NAVIGATION_OPTIMIZER),
        "second-order MAML-PPO on 2-D navigation",
    ),
    "nav-fomaml": _navigation(
        MamlPpoConfig(
            envs_per_task=20,
            first_order=True,
            inner=InnerLoopConfig(learn_lr=True),
            optimizer=_NAVIGATION_OPTIMIZER,
        ),
        "... with first-order gradients",
    ),
    "nav-reptile": _navigation(
        ReptileConfig(envs_per_task=20, optimizer=_NAVIGATION_OPTIMIZER),
        "... with Reptile",
    ),
    "ml1-reach-maml": Preset(
        dataclasses.replace(_METAWORLD_MAML, env="metaworld/reach-v3/ml1/fresh"),
        "second-order MAML-PPO on Meta-World's reach, goal hidden; judged on ML1's 50 test goals, 500 steps",
    ),
    "ml1-push-maml": Preset(
        dataclasses.replace(_METAWORLD_MAML, env="metaworld/push-v3/ml1/fresh", iterations=400),
        "... on push",
    ),
    "ml10-maml": Preset(
        dataclasses.replace(
            _METAWORLD_MAML,
            env="metaworld/ML10/fresh",
            horizon=200,
            iterations=1000,
            evaluation=EvaluationConfig(tasks=250, horizon=500),
            policy=dataclasses.replace(_CHEETAH_MAML.policy, network=NetworkConfig(hidden=(128, 128))),
        ),
        "... on ML10, two tasks of each family an iteration; judged on all 50 tasks of its 5 test families",
    ),
    "mt10-ppo": Preset(
        ExperimentConfig(
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
        "PPO on Meta-World's MT10, goal shown, all 50 goals of each task; judged on the same, 500 steps",
    ),
    "nav-sparse-rl2-s5": Preset(
        ExperimentConfig(
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
        "RL^2 with an S5 memory on sparse 2-D navigation: the first episode explores",
    ),
    "recall-rl2-s5": Preset(
        ExperimentConfig(
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
        "PPO with an S5 memory in a corridor of 200 steps, where the first observation says how the last must be answered",
    ),
    "cheetah-vel-rl2": Preset(_RL2, "RL^2 with a GRU on HalfCheetah-velocity, 200 steps per episode, two per trial"),
    "cheetah-dir-rl2-s5": Preset(
        dataclasses.replace(
            _RL2, env="cheetah-dir", policy=dataclasses.replace(_RL2.policy, memory=MemoryConfig("s5", width=128))
        ),
        "RL^2 with an S5 memory on HalfCheetah-direction",
    ),
    "ml1-reach-rl2": Preset(
        _rl2_metaworld("s5", env="metaworld/reach-v3/ml1/fresh", iterations=250),
        "RL^2 with an S5 memory on Meta-World's reach, goal hidden; judged on ML1's 50 test goals, 500 steps",
    ),
    "ml1-push-rl2-s5": Preset(
        _rl2_metaworld("s5", env="metaworld/push-v3/ml1/fresh", iterations=500),
        "... on push",
    ),
    "ml10-rl2": Preset(
        _rl2_metaworld(
            "gru",
            env="metaworld/ML10/fresh",
            iterations=2000,
            evaluation=EvaluationConfig(tasks=250, episodes=2),
        ),
        "... with a GRU on ML10; judged on all 50 tasks of its 5 test families",
    ),
    "halfcheetah-ppo": Preset(
        ExperimentConfig(
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
        ),
        "PPO on Gymnasium's HalfCheetah-v5",
    ),
}
PRESETS = {
    name: preset._replace(config=dataclasses.replace(preset.config, preset=name)) for name, preset in _PRESETS.items()
}


def scaled(config: ExperimentConfig, scale: int) -> ExperimentConfig:
    """With `scale` times as many environments at once, for devices that step many in the time of few.

    Times as many tasks per iteration; of PPO, which keeps its tasks, environments of each. Nothing else changes: each iteration
    has as many more steps, so that fewer of them do.
    """
    if scale < 1:
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    algorithm = config.algorithm
    if algorithm.name == "ppo":
        algorithm = dataclasses.replace(algorithm, envs_per_task=scale * algorithm.envs_per_task)
    else:
        algorithm = dataclasses.replace(algorithm, num_tasks=scale * algorithm.num_tasks)
    return dataclasses.replace(config, algorithm=algorithm)
