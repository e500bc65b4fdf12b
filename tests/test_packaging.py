"""What is shipped, and who may know whom."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"metarl_jax": "metarl_jax", "envs": "metarl_jax.envs", "benchmarks": "metarl_jax.benchmarks"}


def sources():
    """(file, dotted module name) of everything that is shipped."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            yield path, ".".join((package, *parts))


MODULES = dict(sources())


def imported(path, module):
    """Dotted names that a file imports, relative imports made absolute, wherever in the file they stand."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(name):
    """`envs`, `benchmarks` or `metarl_jax` where a name belongs to us, else None."""
    for folder in ("envs", "benchmarks"):
        if name == FOLDERS[folder] or name.startswith(FOLDERS[folder] + "."):
            return folder
    return "metarl_jax" if name.split(".")[0] == "metarl_jax" else None


def forbidden(path, module):
    """The names that a file must not import."""
    names = set(imported(path, module))
    own = room(module)
    if own == "metarl_jax":
        simulators = {"mujoco", "gymnasium", "metaworld", "brax", "mujoco_playground", "gymnax"}
        roof = module.startswith(("metarl_jax.cli", "metarl_jax.experiments")) or module == "metarl_jax.show.doctor"
        return (
            set() if roof else {n for n in names if room(n) in ("envs", "benchmarks") or n.split(".")[0] in simulators}
        )
    if own == "envs":
        allowed = ("metarl_jax.types", "metarl_jax.errors", "metarl_jax.plugins")
        if module.startswith("metarl_jax.envs.exports"):  # whose worlds are stepped as rollouts step them
            allowed += ("metarl_jax.rollout",)
        ours = {n for n in names if room(n) == "metarl_jax" and n != "metarl_jax"}
        return {n for n in ours if not n.startswith(allowed)} | {n for n in names if room(n) == "benchmarks"}
    return set()


def test_the_walk_sees_imports():
    """Relative, nested and aliased ones alike."""
    names = set(imported(ROOT / "metarl_jax" / "cli" / "evaluate.py", "metarl_jax.cli.evaluate"))
    assert {"metarl_jax.benchmarks.metaworld", "metarl_jax.show.console", "metarl_jax.errors.ConfigError"} <= names
    names = set(imported(ROOT / "envs" / "__init__.py", "metarl_jax.envs"))
    assert {"metarl_jax.types.MetaEnv", "metarl_jax.errors"} <= names
    assert {room(n) for n in names} >= {"metarl_jax", None}


@pytest.mark.parametrize("path", MODULES, ids=MODULES.values())
def test_import_directions(path):
    assert forbidden(path, MODULES[path]) == set()
    assert not {n for n in imported(path, MODULES[path]) if n.split(".")[0] in ("envs", "benchmarks", "tests")}


# Floors of the first folder, from the ground up: no import runs upward.
FLOORS = (
    ("types", "errors", "names", "plugins"),
    ("learning", "networks", "sharding"),
    ("rollout", "replay"),
    ("policies", "evaluation"),
    ("algorithms",),
    ("config", "presets"),
    ("show",),
    ("runs",),
    ("experiments",),
    ("cli",),
)
FLOOR_OF = {name: height for height, names in enumerate(FLOORS) for name in names}


def rooms_of(names):
    """The rooms of the first folder that dotted names lie in."""
    inside = (name.split(".") for name in names if room(name) == "metarl_jax")
    return {parts[1] for parts in inside if len(parts) > 1 and parts[1] in FLOOR_OF}


@pytest.mark.parametrize("path", [p for p in MODULES if p.is_relative_to(ROOT / "metarl_jax" / "")], ids=MODULES.get)
def test_no_import_runs_upward(path):
    module = MODULES[path]
    if module == "metarl_jax":
        return  # the package's own face
    own = module.split(".")[1]
    assert own in FLOOR_OF, f"{module} stands on no floor"
    assert {r for r in rooms_of(imported(path, module)) if FLOOR_OF[r] > FLOOR_OF[own]} == set()


def test_the_floors_see_an_import_that_runs_upward(tmp_path):
    path = tmp_path / "losses.py"
    path.write_text("from ..runs.training import train\nfrom .. import show\nfrom ..errors import ConfigError\n")
    assert rooms_of(imported(path, "metarl_jax.learning.losses")) == {"runs", "show", "errors"}


def test_environments_can_be_listed_without_a_simulator():
    code = (
        "import sys, metarl_jax.envs as e; assert e.ENVIRONMENTS;"
        "print(sorted({'mujoco', 'mujoco.mjx', 'warp', 'gymnasium', 'metaworld'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources, unpacked."""
    work = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, work / "source" / folder, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, work / "source")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(work / "source")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = work.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(work / "unpacked")
    return work / "unpacked"


def test_wheel_holds_every_file(wheel):
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_dir() or "__pycache__" in path.parts or path.suffix == ".pyc":
                continue
            inside = wheel.joinpath(*package.split("."), path.relative_to(ROOT / folder))
            if path.suffix in (".py", ".typed", ".html") or path.is_relative_to(ROOT / "metarl_jax" / "agents"):
                assert inside.read_bytes() == path.read_bytes(), inside


def test_wheel_is_small(wheel):
    """PyPI's users wait for it."""
    (path,) = wheel.parent.glob("*.whl")
    assert path.stat().st_size < 15_000_000


def test_wheel_installs_one_package(wheel):
    """No top-level `envs` or `benchmarks`, which would collide with anybody else's; no tests."""
    (info,) = wheel.glob("*.dist-info")
    assert {p.name for p in wheel.iterdir()} == {"metarl_jax", info.name}
    assert (info / "entry_points.txt").read_text().split() == [
        "[console_scripts]",
        "metarl",
        "=",
        "metarl_jax.cli:main",
    ]
    licences = {p.name for p in info.rglob("*") if p.is_file()}
    assert {"LICENSE", "NOTICE", "METADATA"} <= licences


def test_wheel_modules_import(wheel, tmp_path):
    """Every module comes from the wheel and imports, but for what belongs to an extra that is not installed."""
    code = """
import importlib, sys
sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "") + repr(f)]
for name in sys.argv[2:]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in ("warp", "brax", "stable_baselines3"):
            raise
    else:
        assert module.__file__.startswith(sys.argv[1]), module.__file__
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(wheel), *MODULES.values()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
