"""`metarl bench`."""

from .. import benchmarks
from ..options import BenchOptions, parse


def run(argv: list[str]) -> int:
    options = parse(BenchOptions, argv)
    benchmarks.run(options.name, as_json=options.json, command="metarl bench " + " ".join(argv))
    return 0
