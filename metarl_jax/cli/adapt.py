"""`metarl adapt`."""

import dataclasses
import json

import jax

from .. import console, plots, runlog, test_time
from ..errors import ConfigError
from ..options import parse_adapt
from ..policies import make_policy
from ..window import evaluation_key
from .runs import make_env, restore


def run(argv: list[str]) -> int:
    options = parse_adapt(argv)
    config = runlog.read_config(options.run)
    seed = config.seed if options.seed is None else options.seed
    trained, env = make_env(config, "train"), _make_tasks(config, options)
    shape = (options.tasks, options.episodes)
    steps = config.evaluation.steps if options.steps is None else options.steps
    with runlog.readable_errors(options.run):
        algorithm, state = restore(options.run, config, trained, options.checkpoint)
        policy = make_policy(config.policy, trained.spec)
        compare = jax.jit(
            lambda state, key: test_time.compare(options.online, algorithm, policy, env, state, key, shape, steps)
        )
        report = test_time.report(compare(state, evaluation_key(seed)))
        report |= {"env": env.spec.name, "iteration": int(state.step), "seed": seed}
        report |= {"tasks": options.tasks, "episodes": options.episodes, "steps": steps, "horizon": env.spec.horizon}
        report["online"] = dataclasses.asdict(options.online)
        name = f"online-{env.spec.name.replace('/', '-')}-iteration-{int(state.step)}-tasks-{options.tasks}-seed-{seed}"
        written = options.run / "eval" / f"{name}.json", options.run / "plots" / f"{name}.png"
        runlog.write_atomically(written[0], json.dumps(report, indent=2))
        plots.online_curve(report, written[1], f"{config.preset}: learning on in {env.spec.name}")
    console.print_online(report)
    print("written: " + " and ".join(map(str, written)))
    return 0


def _make_tasks(config, options):
    """Where the tasks come from; ConfigError where the run's policy does not fit there."""
    evaluation = dataclasses.replace(config.evaluation, tasks=options.tasks)
    env = make_env(dataclasses.replace(config, env=options.env or config.env, evaluation=evaluation), "test")
    own = make_env(config, "train").spec
    sizes = [(spec.obs_dim, spec.action_dim) for spec in (own, env.spec)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"the run has {sizes[0][0]} observations and {sizes[0][1]} actions, {env.spec.name!r} {sizes[1][0]} and "
            f"{sizes[1][1]}: choose an --env of the same sizes."
        )
    return env
