"""`metarl video`."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro

from .. import envs, evaluation, rollout
from ..errors import ConfigError
from ..experiments.agent import load
from ..experiments.parts import HOST, make_judged_env
from ..policies import make_judged_act
from ..runs import agents, judging
from ..runs.files import check_place
from ..show import video
from ..types import Suite
from .choices import Actions, Checkpoint
from .options import check_ranges, given, parse


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """Film an episode: of a trained run on one of the tasks that it is judged on, or of an environment (--env)."""

    run: tyro.conf.Positional[Path | None] = None
    """Run directory, or agent:NAME."""
    env: str | None = None
    """Environment to film instead of a run (`metarl list` names them)."""
    policy: Literal["random", "expert"] | None = None
    """With --env, who acts: `random` (where left out), or `expert`, Meta-World's scripted policy (forms that show the goal)."""
    steps: int | None = None
    """Adaptation steps before the episode; the run's own number where left out, 0 is before adaptation."""
    checkpoint: Checkpoint | None = None
    """`latest` (where left out) or `best` checkpoint of the run."""
    actions: Actions | None = None
    """In the episode that is filmed: `sample`, drawn as in training (where left out), or `mode`, the most likely."""
    task: int = 0
    """Which task: of a run, its number among the tasks of `metarl evaluate` with the same seed."""
    seed: int | None = None
    """Seed of the tasks (with --env, of the episode too); the run's `evaluation.seed` where left out, 0 with --env."""
    frames: int | None = None
    """Frames to film, one per control step and the reset; a whole episode where left out. A termination ends it anyway."""
    out: Path | None = None
    """File to write, .mp4 or .gif; RUN/plots/video-steps..-task..-seed...mp4, or ENV.mp4 in this folder, where left out."""
    overwrite: bool = False
    """Replace a file that is there."""
    camera: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Camera of the MuJoCo model; its usual one where left out."""
    width: int = 480
    """Pixels."""
    height: int = 480
    """Pixels."""
    physics: str | None = None
    """Physics backend; the run's own where left out, `auto` with --env."""


def parse_options(argv: list[str]) -> VideoOptions:
    """The options of `metarl video`; ConfigError or exit 2 on bad ones."""
    options = parse(VideoOptions, argv)
    if (options.run is None) == (options.env is None):
        raise ConfigError("name either a run directory or an environment (--env) to film.")
    for name in ("policy",) if options.run else ("steps", "checkpoint", "actions"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} goes with {'--env' if options.run else 'a run directory'} only.")
    ranges = {"steps": (0, 2**31), "task": (0, 2**20), "seed": (0, 2**32), "frames": (2, 2**31)}
    check_ranges(options, ranges | {"width": (16, 4097), "height": (16, 4097)})
    if options.out is not None:
        check_place(options.out.parent, "--out")
    return options


def run(argv: list[str]) -> int:
    """`metarl video`; returns the exit code."""
    options = parse_options(argv)
    asked_gl = os.environ.pop("MUJOCO_GL", "")  # MuJoCo would read it, and not import where that backend is missing
    scene = _run_scene(options) if options.run else _env_scene(options)
    env, size = scene.env, (options.width, options.height)
    if options.out is None and not video.can_write_mp4():
        scene = scene._replace(out=scene.out.with_suffix(".gif"))
        print("the extra 'video' is not installed: a .gif it is, which leaves frames out", file=sys.stderr)
    video.check_file(scene.out, size, options.overwrite)

    from ..envs import render

    with render.open_view(env, options.camera, size, asked_gl) as view:
        key_act, key = jax.random.split(scene.key)
        act, history = scene.make_act(key_act)
        num_steps = env.spec.horizon if options.frames is None else options.frames - 1
        states, steps = jax.jit(lambda task, key: rollout.record(env, act, task, history, key, num_steps))(
            scene.task, key
        )
        ends = np.flatnonzero(steps.terminated)
        num_steps = int(ends[0]) + 1 if ends.size else num_steps
        if steps.unstable is not None and steps.unstable[:num_steps].any():
            num_steps = int(np.argmax(steps.unstable))  # what comes then cannot be drawn
            print(f"warning: the simulation blew up after {num_steps} steps, where the film ends", file=sys.stderr)
        video.write(view.draw(jax.tree.map(lambda x: x[: num_steps + 1], states), scene.task), scene.out, view.dt)
    totals = {"return": steps.reward[:num_steps].sum()}
    totals |= {name: x[:num_steps].max(initial=0.0) for name, x in steps.info.items() if name == "success"}
    print(f"{num_steps} steps, " + ", ".join(f"{name} {float(x):.1f}" for name, x in totals.items()))
    print(f"written: {scene.out}")
    return 0


def _run_scene(options):
    """The adapted policy of a run on one of the tasks that it is judged on."""
    agent = load(options.run, options.checkpoint or "latest", options.physics)
    algorithm, state = agent.algorithm, agent.state
    if options.task >= agent.config.evaluation.tasks:
        raise ConfigError(
            f"--task must be below {agent.config.evaluation.tasks}, the run's number of tasks to be judged on."
        )
    # Of the package's environments, ours are what can be drawn; they are told apart by their speed alone.
    drawn = {"env": agent.config.env.replace(HOST, "metaworld/"), "physics": agent.physics}
    config = dataclasses.replace(agent.config, **drawn)
    env = make_judged_env(config, agent.spec)
    asked = dataclasses.replace(config.evaluation, **given(options, "steps", "seed"))
    settings = asked.following(algorithm.adaptation, options.actions or "sample")
    env, task = rollout.row(env, judging.draw_tasks(settings, env), options.task)
    name = f"video-steps{settings.steps}-task{options.task}-seed{settings.seed}"
    out = agents.home(options.run) / "plots" / f"{name}{'-actions-mode' * (settings.actions == 'mode')}.mp4"
    judged_act = make_judged_act(settings.actions, config.policy, agent.spec)

    def make_act(key):
        adapt = jax.jit(
            lambda state: evaluation.adapt_to_task(algorithm, env, state, task, key, settings.episodes, settings.steps)
        )
        params, history, _ = adapt(state)
        act = algorithm.act(state, params)
        return act if judged_act is None else judged_act(act), history

    return video.Scene(env, task, make_act, judging.episodes_key(settings, config.seed), options.out or out)


def _env_scene(options):
    """Random actions, or an expert's, in an environment."""
    env = envs.make(options.env, physics=options.physics or "auto")
    if isinstance(env, Suite):
        env = env.envs[options.task % len(env.envs)]
    if options.policy == "expert":
        from ..envs.metaworld.expert import expert_policy

        act = expert_policy(env)
    else:
        act = video.random_policy(env.spec)
    key_task, key = jax.random.split(jax.random.key(options.seed or 0))
    task = env.sample_task(jax.random.fold_in(key_task, options.task))
    out = options.out or Path(options.env.replace("/", "-") + ".mp4")
    begin = video.without_memory(act), rollout.no_history(env.spec, (1, 1))
    return video.Scene(env, task, lambda key: begin, key, out)
