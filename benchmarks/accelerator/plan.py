"""Which parts there are, in order of importance, and how large on which platform."""

from typing import Any, NamedTuple

SCENES = ("reach-v3", "push-v3", "drawer-close-v3", "door-open-v3", "pick-place-v3", "window-open-v3")
_PEERS = ("AsyncVectorEnv", "EnvPool", "MTCWorldMJX")
_ON_CPU = {"JAX_PLATFORMS": "cpu"}


class Part(NamedTuple):
    """Something to measure in a process of its own."""

    name: str
    what: str
    function: str  # "module.function" of this package, a generator of rows; imported where it runs
    arguments: tuple[Any, ...]  # of JSON's types
    seconds: float  # after which it is ended
    least: float = 20.0  # seconds without which it is not worth beginning
    environment: dict[str, str] = {}  # noqa: RUF012 -- of the process
    beside: bool = False  # goes on while the next parts are measured
    waits: bool = False  # for those beside


def parts(platform: str, directory: str) -> list[Part]:
    """All of them; `directory` is for what is handed on between processes, and for the trace."""
    return _on_gpu(directory) if platform == "gpu" else _elsewhere(directory)


def _on_gpu(directory: str) -> list[Part]:
    cheetah, ml10 = "cheetah-dir", "metaworld/ML10"
    truth = (directory, [cheetah], SCENES)
    return [
        Part("right", "states of C MuJoCo", "right.truth", truth, 120, 20, _ON_CPU, beside=True),
        Part("kernels", "Warp's kernels", "kernels.compile_all", ([cheetah, ml10],), 100, 20, _ON_CPU),
        Part("stepping", f"{cheetah}, warp", "stepping.rates", (cheetah, "warp", [2048, 8192], 50), 40),
        Part("stepping", f"{ml10}, warp", "stepping.rates", (ml10, "warp", [2050, 8190], 50), 75),
        Part("right", "meta-gradient", "right.gradients", (directory,), 45, 10, waits=True),
        Part("training", "ml10-rl2", "training.speed", ("ml10-rl2", "warp", 25, 100), 60),
        Part("trace", "ml10-rl2", "trace.heaviest", ("ml10-rl2", "warp", 25, directory), 50),
        Part("right", "distance from C MuJoCo", "right.distances", (directory, "warp"), 45),
        Part("result", "ml1-reach-rl2", "result.to_success", ("ml1-reach-rl2", "gpu", 0.9), 240, 60),
        Part("training", "cheetah-dir-maml", "training.speed", ("cheetah-dir-maml", "warp", 8), 45),
        Part("stepping", f"{cheetah}, warp", "stepping.rates", (cheetah, "warp", [16384, 512], 50), 40),
        Part("stepping", f"{ml10}, warp", "stepping.rates", (ml10, "warp", [16380, 510], 50), 60),
        Part("stepping", f"{ml10}, warp, one after the other", "stepping.rates", (ml10, "warp", [2050], 50, 1), 45),
        Part("stepping", f"{cheetah}, mujoco", "stepping.rates", (cheetah, "mujoco", [512, 2048], 50), 30, 15, _ON_CPU),
        Part("stepping", f"{ml10}, mujoco", "stepping.rates", (ml10, "mujoco", [510, 2050], 50), 45, 20, _ON_CPU),
        Part("training", "mt10-ppo", "training.speed", ("mt10-ppo", "warp", 4, 100), 90),
        Part("stepping", f"{cheetah}, mjx", "stepping.rates", (cheetah, "mjx", [2048, 512, 8192], 20), 90, 40),
        Part("stepping", "reach-v3, MTCWorldMJX", "stepping.peer", ("MTCWorldMJX", "reach-v3", 512, 50), 60),
        Part("training", "ml1-reach-rl2", "training.speed", ("ml1-reach-rl2", "warp", 32, 100), 60),
        Part("kernels", "Warp's kernels", "kernels.compile_all", (["ant-dir"],), 60, 20, _ON_CPU),
        Part("right", "states of C MuJoCo", "right.truth", (directory, ["ant-dir"], ()), 60, 20, _ON_CPU),
        Part("right", "distance from C MuJoCo", "right.distances", (directory, "warp"), 45),
        Part("right", "distance from C MuJoCo", "right.distances", (directory, "mjx"), 60, 40),
    ]


def _elsewhere(directory: str) -> list[Part]:
    """Tiny: that everything runs, and no more."""
    cheetah, ml10 = "cheetah-dir", "metaworld/ML10"
    return [
        Part("right", "states of C MuJoCo", "right.truth", (directory, [cheetah], SCENES[:1], 1, 5), 90, 10),
        Part("right", "meta-gradient", "right.gradients", (directory,), 60, 10),
        Part("stepping", f"{cheetah}, mujoco", "stepping.rates", (cheetah, "mujoco", [16], 5), 60, 10),
        Part("stepping", f"{cheetah}, warp", "stepping.rates", (cheetah, "warp", [4], 2), 150, 10),
        Part("training", "cheetah-dir-maml", "training.speed", ("cheetah-dir-maml", "mujoco", 1, 5), 60),
        Part("right", "distance from C MuJoCo", "right.distances", (directory, "warp"), 120),
        Part("result", "ml1-reach-rl2", "result.to_success", ("ml1-reach-rl2", "elsewhere", 0.9), 60),
        Part("trace", "ml10-rl2", "trace.heaviest", ("ml10-rl2", "mujoco", 1, directory, 2), 90),
        Part("training", "ml10-rl2", "training.speed", ("ml10-rl2", "mujoco", 1, 5), 90),
        Part("training", "mt10-ppo", "training.speed", ("mt10-ppo", "mujoco", 1, 5), 90),
        Part("stepping", f"{ml10}, mujoco", "stepping.rates", (ml10, "mujoco", [10], 5), 60),
        Part("stepping", f"{cheetah}, mjx", "stepping.rates", (cheetah, "mjx", [4], 2), 90),
        Part("stepping", f"{ml10}, warp", "stepping.rates", (ml10, "warp", [10], 2), 240, 60),
        *(Part("stepping", f"reach-v3, {peer}", "stepping.peer", (peer, "reach-v3", 4, 5), 60) for peer in _PEERS),
    ]
