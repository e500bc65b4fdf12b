"""The `metarl` command: the roof over the three packages, and the only room here that knows them all.

Each command is a module with `run(argv) -> exit code`; to add one: a file, and a line in COMMANDS.
"""

import contextlib
import importlib
import importlib.metadata
import itertools
import os
import sys

from ..errors import ConfigError, is_out_of_memory, lookup
from ..show import streams

COMMANDS = {
    "train": "train a preset, or resume a run",
    "sweep": "a grid of runs, one table and one figure",
    "evaluate": "adaptation curve of a run on held-out tasks",
    "adapt": "let a run go on learning new tasks, episode by episode",
    "embed": "what an agent knows of its tasks after each adaptation step: figure and table",
    "diagnose": "one task: whether adaptation helps there, what it knows of it, whether training has its like",
    "video": "film an episode of a run or of an environment (.mp4, .gif)",
    "plot": "learning curves of several runs in one figure",
    "report": "one HTML file about runs, side by side",
    "paths": "where a run's point goes on the plane, episode by episode",
    "agents": "the trained agents that come with the package, as agent:NAME",
    "export": "make such an agent of a run",
    "list": "presets, environments, algorithms, networks, memories, physics backends",
    "doctor": "versions, devices, and what works here",
    "bench": "measure throughput",
}


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit code: 2 for bad input, 1 for a run that failed, 128 + n for signal n."""
    try:
        with streams.lasting():
            return _run(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:  # of the streams themselves
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: metarl COMMAND [options]   (metarl COMMAND --help describes them)\n")
        for name, summary in COMMANDS.items():
            print(f"  {name:10s}{summary}")
        print("\nmetarl --completion bash (or zsh) prints a script by which the shell completes all of this.")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"metarl-jax {importlib.metadata.version('metarl-jax')}")
        return 0
    try:
        _check_words(argv)
        if argv[0] == "--completion":
            from .completion import script

            print(script(argv[1] if len(argv) > 1 else "", [*COMMANDS]), end="")
            return 0
        lookup(argv[0], COMMANDS, "command")
        _keep_compiled_programs()
        return importlib.import_module(f".{argv[0]}", __name__).run(argv[1:])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ValueError, MemoryError) as error:
        if is_out_of_memory(error):
            print("error: out of memory: ask for fewer tasks, episodes or steps at once", file=sys.stderr)
            return 1
        # Where a worker with environments of the package has failed; from within XLA that comes as text.
        _, is_worker, words = f"{type(error).__name__}: {error}".rpartition("WorkerError: ")
        if not is_worker:
            raise
        print(f"error: {words.splitlines()[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # outside the training loop, which saves before it ends, or the second time within
        print("interrupted", file=sys.stderr)
        from ..runs import signals

        if signals.anything_runs():
            sys.stdout.flush()
            os._exit(130)
        return 130


def _check_words(argv: list[str]) -> None:
    """ConfigError where a word is empty, as it is after `--run-dir "$DIR"` where DIR is not set, which nothing means; or where
    one has several lines or a NUL, which no name that is asked for here has.
    """
    for before, word in itertools.pairwise(["metarl", *argv]):
        if not word or (word.startswith("--") and word.endswith("=")):
            raise ConfigError(f"nothing stands after {word[:-1] or before}: is a variable of the shell not set?")
        if "\0" in word or word.splitlines() != [word]:
            raise ConfigError(
                f"{word!r} is more than a line of text: is a variable of the shell not what it should be?"
            )


def _keep_compiled_programs() -> None:
    """Has JAX, once it is imported, keep compiled programs for the next start; where the environment says where, it does."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or caches.startswith("~"):  # nobody knows whose home: no such user
        return
    directory = os.path.join(caches, "metarl_jax")
    with contextlib.suppress(OSError):  # a home that cannot be written: every start compiles
        os.makedirs(directory, exist_ok=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
