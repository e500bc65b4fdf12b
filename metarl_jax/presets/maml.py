"""Policies that adapt by gradients: MAML, FOMAML, ProMP, MAML-TRPO, Reptile."""

import dataclasses

from ..algorithms.inner_loop import InnerLoopConfig
from ..algorithms.maml_ppo import MamlPpoConfig
from ..algorithms.maml_trpo import MamlTrpoConfig
from ..algorithms.ppo_update import PpoUpdateConfig
from ..algorithms.reptile import ReptileConfig
from ..config import EvaluationConfig, ExperimentConfig
from ..learning.optim import OptimizerConfig
from ..networks import NetworkConfig
from ..policies import PolicyConfig


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
_NAVIGATION_OPTIMIZER = OptimizerConfig(lr=3e-3, lr_schedule="cosine")
CONFIGS: dict[str, ExperimentConfig] = {
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
}
