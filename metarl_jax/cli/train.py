"""`metarl train`."""

import sys

from .. import console, training
from ..algorithms import make_algorithm
from ..options import parse_train
from ..runlog import RunLog
from .runs import make_env


def run(argv: list[str]) -> int:
    options = parse_train(argv)
    config = options.config
    env, eval_env = make_env(config, "train"), make_env(config, "test")
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    if options.resume is None:
        directory = options.run_dir or console.default_run_dir(config)
        log = RunLog.create(directory, config)
    else:
        log = RunLog.resume(options.resume)
    try:
        with log, console.Progress(config) as progress:
            summary = training.train(config, algorithm, eval_env, log, progress)
    except training.TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except training.Interrupted as stop:
        print(f"saved at iteration {stop.iteration}; continue with: metarl train --resume {log.directory}")
        return 128 + stop.signal
    console.print_summary(summary, log.directory)
    return 0
