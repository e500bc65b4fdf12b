"""Named experiments. To add one: a line in PRESETS."""

from typing import NamedTuple

from .algorithms.inner_loop import InnerLoopConfig
from .algorithms.maml_ppo import MamlPpoConfig
from .algorithms.ppo import PpoConfig
from .algorithms.ppo_update import PpoUpdateConfig
from .config import ExperimentConfig
from .optim import OptimizerConfig
from .policies import PolicyConfig

DEFAULT = "cheetah-dir-maml"


class Preset(NamedTuple):
    """A configuration and one line about it."""

    config: ExperimentConfig
    summary: str


def _named(presets: dict[str, Preset]) -> dict[str, Preset]:
    import dataclasses

    return {n: p._replace(config=dataclasses.replace(p.config, preset=n)) for n, p in presets.items()}


PRESETS: dict[str, Preset] = {
    "cheetah-dir-maml": Preset(
        ExperimentConfig(
            preset="cheetah-dir-maml",
            env="cheetah-dir",
            horizon=100,
            iterations=200,
            policy=PolicyConfig(init_log_std=-0.5),
            algorithm=MamlPpoConfig(inner=InnerLoopConfig(learn_lr=True), optimizer=OptimizerConfig(lr=3e-3)),
        ),
        "second-order MAML-PPO on HalfCheetah-direction",
    ),
    "halfcheetah-ppo": Preset(
        ExperimentConfig(
            preset="halfcheetah-ppo",
            env="halfcheetah-v5",
            iterations=600,
            policy=PolicyConfig(normalize_obs=True),
            algorithm=PpoConfig(
                update=PpoUpdateConfig(epochs=5, minibatches=16),
                optimizer=OptimizerConfig(lr=3e-4, max_grad_norm=0.5, lr_schedule="linear"),
            ),
        ),
        "PPO on Gymnasium's HalfCheetah-v5",
    ),
}
