"""`metarl bench`."""

import shlex

from .. import benchmarks
from ..options import BenchOptions, parse


def run(argv: list[str]) -> int:
    options = parse(BenchOptions, argv)
    benchmarks.run(options.name, options.json, options.out, shlex.join(["metarl", "bench", *argv]))
    return 0
