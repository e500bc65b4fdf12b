"""What README and docs/ say: tables beside the files that they come from, links, command lines, the site, the notebook."""

import contextlib
import importlib
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

import metarl_jax
from metarl_jax import cli, presets
from metarl_jax.benchmarks import BENCHMARKS
from metarl_jax.cli import options
from metarl_jax.config import to_json
from metarl_jax.types import EnvSpec, Kept

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))  # the site's own programs

import docstrings  # noqa: E402
import drawings  # noqa: E402
import reference  # noqa: E402
import tables  # noqa: E402
import trainings  # noqa: E402

PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *tables.pages()})
RESULTS = sorted(trainings.RESULTS.glob("*.json"))


def name(path):
    return str(path.relative_to(ROOT))


# Figures.


@pytest.mark.parametrize("page", tables.pages(), ids=name)
def test_tables_are_what_the_files_say(page):
    assert tables.rewritten(page) == page.read_text(), "python docs/tables.py"


def test_a_table_that_parts_from_its_file_is_seen(monkeypatch, tmp_path):
    for path in RESULTS:
        record = json.loads(path.read_text())
        if path.stem == "navigation-rl2":
            record["summary"]["return_after"]["mean"] += 1.0
        (tmp_path / path.name).write_text(json.dumps(record))
    monkeypatch.setattr(trainings, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    changed = {name(page) for page in map(Path, PAGES) if tables.rewritten(page) != page.read_text()}
    assert changed == {"README.md", "docs/results.md", "docs/algorithms/rl2.md"}


@pytest.mark.parametrize("path", RESULTS, ids=name)
def test_every_file_is_of_a_kind_and_says_where_it_comes_from(path):
    record = json.loads(path.read_text())
    measured = trainings.read(path.stem)
    if not measured:
        assert record["rows"] and record["machine"] and ("command" in record or "commands" in record)
    for training in measured:
        assert training.commit and training.machine and training.config.preset
        assert training.seeds == len(training.runs[0].get("mean_of_each_seed", training.runs))


def test_measurements_without_a_page_have_a_place(monkeypatch, tmp_path):
    record = {"machine": "a machine", "command": "metarl bench new", "commit": "abc", "rows": [{"rate": 12345.6}]}
    (tmp_path / "new.json").write_text(json.dumps(record))
    monkeypatch.setattr(trainings, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert "### new" in tables.rest() and "| 12,346 |" in tables.rest()


@pytest.mark.parametrize(
    ("means", "told"),
    [([1.0], "1.0 [0.5, 1.5]"), ([1.0, 2.0], "1.5"), ([1.0, 2.0, 3.0, 4.0, 5.0], "3.0 [1.0, 5.0]")],
)
def test_intervals_of_a_training(means, told):
    """Of one seed its own; of five Student's t: 3 +- 2.776 sqrt(2.5 / 5)."""
    runs = [{"return_after": {"mean": mean, "mean_interval": [0.5, 1.5]}} for mean in means]
    training = trainings.Training("x", "metarl train nav-maml", "abc", "", "", runs)
    assert trainings.estimate(*training.outcome("after")) == told


# Words.


def test_readme_is_a_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_readmes_example_is_the_packages():
    """Which a test runs."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    known = [line.strip() for line in metarl_jax.__doc__.splitlines()]
    assert [line for line in code.splitlines() if line not in known] == []
    assert code in (DOCS / "start.md").read_text()


def prose(page):
    """Without what is code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)


def anchors(page):
    """Of the headings, as GitHub and MyST make them."""
    for title in re.findall(r"(?m)^#+ (.*)$", page.read_text()):
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        made = linked.is_relative_to(DOCS / "reference")  # when the site is built
        assert made or (linked.exists() and linked.is_relative_to(ROOT)), target
        assert not anchor or anchor in anchors(linked), target


def commands():
    """Command lines in README and docs/, each with the first page that it stands on."""
    found = {}
    for page in (page for page in PAGES if page.name != "CHANGELOG.md"):
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
        lines = re.findall(r"(?<![/\w])metarl (?!_)[^\n&>#]*", blocks)
        lines += [line for line in re.findall(r"`(metarl [^`\n]+)`", text) if re.search(r" (train|bench|RUN) ?", line)]
        for line in (line.replace("[RUN ...]", "").strip() for line in lines):
            if not re.search(r"\b(NAME|COMMAND|FILE)\b|\.\.\.|^metarl --", line):
                found.setdefault(line, name(page))
    return [pytest.param(line, id=f"{page}: {line}") for line, page in sorted(found.items())]


def parse(argv):
    """A command line by the command's own parser."""
    module = importlib.import_module(f"metarl_jax.cli.{argv[0]}")
    parsers = [value for key, value in vars(module).items() if key in (f"parse_{argv[0]}", "parse_options")]
    if parsers:
        return parsers[0](argv[1:])
    (kind,) = [x for _, x in inspect.getmembers(module, inspect.isclass) if x.__module__ == module.__name__]
    return options.parse(kind, argv[1:])


@pytest.mark.parametrize("line", commands())
def test_command_lines_are_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in ("RUN", "runs/nav"):
        Path(run).mkdir(parents=True)
        (Path(run) / "config.json").write_text(to_json(presets.PRESETS["nav-maml"].config))
    _, *argv = shlex.split(line)
    assert argv[0] in cli.COMMANDS
    with contextlib.suppress(SystemExit):  # --help
        parse(argv)
    assert argv[0] != "bench" or argv[1] in BENCHMARKS


# The site.


def test_drawings_are_those_of_the_page(tmp_path):
    drawings.main(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == set(re.findall(r"figures/([\w-]+\.svg)", (DOCS / "concepts.md").read_text()))
    for path in tmp_path.iterdir():
        assert len(ElementTree.parse(path).getroot()) > 1


def test_the_reference_has_a_page_of_every_module(tmp_path):
    reference.write(tmp_path)
    text = "".join(path.read_text() for path in tmp_path.glob("*.rst"))
    documented = set(re.findall(r"automodule:: ([\w.]+)", text))
    for folder, package in reference.FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if path.name != "__main__.py":
                assert ".".join([package, *(part for part in parts if part != "__init__")]) in documented
    for public in metarl_jax.__all__:
        assert f"`{public} <" in text


def test_a_record_is_documented_by_its_comments():
    said = docstrings.fields(EnvSpec)
    assert tuple(said) == EnvSpec._fields
    assert (
        said["action_high"] == "[action\\_dim]; may be +inf; () of discrete actions"
        or "may be +inf" in said["action_high"]
    )
    assert docstrings.fields(Kept)["shared"].startswith("on every device")
    lines = ["Values `x`s of a * b, see:", "", "    code", ""]
    docstrings.process(None, "function", "f", test_a_record_is_documented_by_its_comments, None, lines)
    assert lines[:3] == ["Values `x`\\ s of a \\* b, see::", "", "    code"]


def public_names():
    """Dotted names of the functions and classes that modules define for others."""
    for modules in reference.packages().values():
        for dotted in modules:
            try:
                module = importlib.import_module(dotted)
            except ModuleNotFoundError as error:
                assert error.name.split(".")[0] in reference.EXTRAS
                continue
            for key, value in vars(module).items():
                own = getattr(value, "__module__", "") == dotted and getattr(value, "__name__", "") == key
                if key[0] != "_" and own and (inspect.isroutine(value) or isinstance(value, type)):
                    yield f"{dotted}.{key}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """And has an entry of every public name."""
    pytest.importorskip("myst_nb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    inventory = (tmp_path / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    assert set(public_names()) - entries == set()
    rooms = {f"metarl_jax.{room}.{each}" for room, names in metarl_jax._ROOMS.items() for each in names}
    assert rooms - entries == set()


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "beacon.gif").stat().st_size > 10_000


@pytest.mark.slow
def test_the_first_steps(tmp_path, monkeypatch, capfd):
    """Those of docs/start.md in their order, the training tiny."""
    monkeypatch.chdir(tmp_path)
    tiny = "--iterations 2 --horizon 5 --algorithm.num-tasks 2 --algorithm.envs-per-task 2 --evaluation.tasks 5"
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "start.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "runs/nav" in line]
    assert len(lines) == 5
    for line in lines:
        argv = shlex.split(line, comments=True)[1:]
        assert cli.main(argv + (tiny.split() if argv[0] == "train" else [])) == 0, capfd.readouterr().err
    assert {"nav.gif", "nav.png"} <= {path.name for path in tmp_path.iterdir()}
    shutil.rmtree("runs")
