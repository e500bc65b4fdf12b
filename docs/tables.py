"""Rewrites the generated tables of README.md, docs/ and benchmarks/results/ from benchmarks/results/*.json.

    python docs/tables.py            # all of them
    python docs/tables.py --check    # exit code 1, and the names of the pages, where one is not what the files say

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the names are those of TABLES below. Files are of three
kinds, told apart by their keys: `runs` (trainings: `summary.json` of each seed, or figures over seeds), `rows` (measurements,
as `metarl bench` writes them), and metaworld-bridge.json.
"""

import re
import sys
from pathlib import Path

from trainings import RESULTS, compared, estimate, load, markdown, overview, trainings

from metarl_jax import names
from metarl_jax.benchmarks.report import Report, show
from metarl_jax.envs import ENVIRONMENTS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- table: (?P<name>[^>]*?) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def measurements(name: str) -> str:
    """All rows of a measurement, below its command, machine and commit: what `metarl bench` writes as NAME.md."""
    record = load(name)
    return Report(*(record[field] for field in Report._fields)).to_markdown()


def tasks(name: str) -> str:
    """All rows of a table over tasks, as its program prints them: without the seconds."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in load(name)["rows"]]
    return markdown(dict.fromkeys(rows[0], "---"), (map(show, row.values()) for row in rows))


def columns(text: str) -> str:
    """Some columns of a measurement: `NAME: column = head; column = head; ...`; heads that end in `#` stand to the right."""
    name, _, wanted = text.partition(": ")
    heads = dict(part.split(" = ") for part in wanted.split("; "))
    rules = {head.removesuffix(" #"): "---:" if head.endswith("#") else "---" for head in heads.values()}
    return markdown(rules, ([show(row.get(key)) for key in heads] for row in load(name)["rows"]))


def rest() -> str:
    """Measurements that no other table of Results shows: files that nobody has written a page about yet."""
    shown = {name.split(" ", 1)[1].split(":")[0] for page in pages() for name in blocks(page) if " " in name}
    others = [
        path.stem for path in sorted(RESULTS.glob("*.json")) if "rows" in load(path.stem) and path.stem not in shown
    ]
    others = [name for name in others if name != "metaworld-bridge"]
    return "\n".join(f"### {name}\n\n{measurements(name)}" for name in others) or "None.\n"


def bridge() -> str:
    """Runs judged here and in the installed package: metaworld-bridge.json."""
    record = load("metaworld-bridge")
    rules = {
        "run": "---",
        "judged on": "---",
        "here": "---",
        "package, goal by goal": "---",
        "package's `official`": "---:",
    }
    rows = []
    for row, command in zip(record["rows"], record["commands"], strict=True):
        told = [estimate(row[where]["mean"], row[where]["mean_interval"], "success") for where in ("native", "bridge")]
        train = re.sub(r"metarl (train [\w-]+)", r"`\1`", command.split(";")[0])
        rows.append([train, f"{row['suite']}, {row['split']}", *told, show(row["official"])])
    return markdown(rules, rows) + f"\n{record['machine']}; seed {record['seeds']}\n"


def accelerator() -> str:
    """What was stepped, trained and learned on a GPU, of all that accelerator.json has."""
    rules = {"": "---", "what": "---", "worlds": "---:", "measured": "---:", "unit": "---", "how": "---"}
    rows = [
        row for row in load("accelerator")["rows"] if row["value"] and row["part"] in ("stepping", "training", "result")
    ]
    keys = ("part", "what", "worlds", "value", "unit", "note")
    return markdown(rules, ([show(row[key]) for key in keys] for row in rows))


def devices() -> str:
    """How fast worlds step on each kind of device: physics.json, metaworld-speed.json, accelerator.json."""
    (of_bare,) = (row["of_bare"] for row in load("physics")["rows"] if row["backend"] == "mujoco")
    of_async = [row["of_async"] for row in load("metaworld-speed")["rows"] if row["of_async"]]
    gpu: dict[str, float] = {}
    for row in load("accelerator")["rows"]:
        if row["value"] and row["unit"] == "steps/s" and "warp" in row["what"]:
            gpu[row["what"]] = max(row["value"], gpu.get(row["what"], 0.0))
    cpu = f"HalfCheetah at {of_bare:.2f} times the rate of a bare `mujoco.rollout`; "
    cpu += f"Meta-World at {sum(of_async) / len(of_async):.1f} times the package's AsyncVectorEnv (2 cores)"
    measured = ", ".join(f"{what.removesuffix(', warp')} {rate:,.0f}" for what, rate in gpu.items())
    rows = [
        ["CPU", "C MuJoCo on a thread pool", cpu],
        ["NVIDIA GPU", "Warp, or MJX", f"steps/s on one H100: {measured}"],
        ["TPU", "MJX", "not measured"],
    ]
    return markdown({"device": "---", "physics": "---", "measured": "---"}, rows)


def by_task(name: str) -> str:
    """Success of each task of a training: NAME.json's first run."""
    success = load(name)["runs"][0]["success_by_task"]
    return markdown({"task": "---", "success": "---:"}, ([task, f"{share:.2f}"] for task, share in success.items()))


def environments(module: str) -> str:
    """Names of the environments that a module of `envs` makes, with the lines that `metarl list` has about them."""
    rows = ([f"`{name}`", entry.summary] for name, entry in ENVIRONMENTS.items() if entry.module in module.split())
    return markdown({"name": "---", "": "---"}, rows)


def presets() -> str:
    """Names of the presets, with the lines that `metarl list` has about them."""
    return markdown({"preset": "---", "": "---"}, ([f"`{name}`", summary] for name, summary in names.PRESETS.items()))


def pages() -> list[Path]:
    """Markdown files that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("[a-z]*.md")), *sorted(RESULTS.glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """Names of the tables on a page."""
    return [match["name"] for match in BLOCK.finditer(page.read_text())]


def table(name: str) -> str:
    """The table of a name, which may carry a file's name or more behind it."""
    kind, _, text = name.partition(" ")
    if kind not in TABLES:
        raise SystemExit(f"no table {kind!r}: choose from {', '.join(TABLES)}")
    return TABLES[kind](text) if text else TABLES[kind]()


def rewritten(page: Path) -> str:
    """The text of a page with its tables as the files have them."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(match['name'])}\n", page.read_text())


def main(argv: list[str]) -> int:
    stale = {page: text for page in pages() if (text := rewritten(page)) != page.read_text()}
    for page, text in stale.items():
        print(("stale: " if "--check" in argv else "written: ") + str(page.relative_to(ROOT)))
        if "--check" not in argv:
            page.write_text(text)
    return int("--check" in argv and bool(stale))


TABLES = {
    "overview": overview,
    "trainings": trainings,
    "compared": compared,
    "measurements": measurements,
    "columns": columns,
    "tasks": tasks,
    "rest": rest,
    "bridge": bridge,
    "by_task": by_task,
    "accelerator": accelerator,
    "devices": devices,
    "environments": environments,
    "presets": presets,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
