"""`metarl evaluate`."""

import dataclasses
import importlib.util

from .. import console, judging, runlog
from ..errors import ConfigError
from ..options import parse_evaluate
from .runs import make_env, restore


def run(argv: list[str]) -> int:
    options = parse_evaluate(argv)
    config = runlog.read_config(options.run)
    return _evaluate_natively(options, config) if options.on == "native" else _evaluate_on_metaworld(options, config)


def _evaluate_natively(options, config) -> int:
    asked = {"tasks": options.tasks, "episodes": options.episodes, "horizon": options.horizon}
    asked |= {"steps": max(options.steps, default=None)}
    config = dataclasses.replace(
        config,
        seed=config.seed if options.seed is None else options.seed,
        physics=options.physics or config.physics,
        evaluation=dataclasses.replace(config.evaluation, **{k: v for k, v in asked.items() if v is not None}),
    )
    env = make_env(config, "test")
    with runlog.readable_errors(options.run):
        algorithm, state = restore(options.run, config, make_env(config, "train"), options.checkpoint)
        name = f"iteration-{int(state.step)}-tasks-{config.evaluation.tasks}-seed-{config.seed}"
        name += "" if options.horizon is None else f"-horizon-{options.horizon}"
        curve = judging.evaluate(config, algorithm, env, state, options.run, name)
    console.print_curve(curve, options.steps or tuple(curve["steps"]))
    print(f"written: {options.run / 'eval' / name}.json and {options.run / 'plots' / 'adaptation.png'}")
    return 0


def _evaluate_on_metaworld(options, config) -> int:
    if importlib.util.find_spec("metaworld") is None:
        raise ConfigError("--on metaworld needs the package: pip install 'metaworld>=3.0'.")
    from ..benchmarks.metaworld import bridge

    wanted = bridge.request(config, options)
    env = make_env(config, "train")
    with runlog.readable_errors(options.run):
        algorithm, state = restore(options.run, config, env, options.checkpoint)
        with console.StepsBar() as bar:
            report = bridge.judge(config, algorithm, env.spec, state, wanted, bar.begin)
        written = bridge.write(report, options.run)
    console.print_host_report(report)
    print("written: " + " and ".join(map(str, written)))
    return 0
