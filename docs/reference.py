"""Writes the pages of the reference, one for each package, for autodoc to fill from docstrings."""

from pathlib import Path

import metarl_jax

ROOT = Path(__file__).parents[1]
EXTRAS = (
    "brax",
    "gymnax",
    "mlflow",
    "mujoco_playground",
    "stable_baselines3",
    "wandb",
    "warp",
)  # packages that modules may do without
FOLDERS = {"metarl_jax": "metarl_jax", "envs": "metarl_jax.envs", "benchmarks": "metarl_jax.benchmarks"}


def packages() -> dict[str, list[str]]:
    """Dotted names of the modules of each package, itself first."""
    found: dict[str, list[str]] = {}
    for folder, package in FOLDERS.items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            name = ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
            files = [path.stem for path in sorted(init.parent.glob("*.py")) if not path.stem.startswith("__")]
            found[name] = [name, *(f"{name}.{stem}" for stem in files)]
    return found


def page(modules: list[str]) -> str:
    """Of a package."""
    parts = [_title(modules[0], "=")]
    for module in modules:
        parts += [_title(module, "-")] if module != modules[0] else []
        # What the package hands on from its rooms is described there.
        members = "   :no-members:\n" if module == "metarl_jax" else ""
        parts.append(f".. automodule:: {module}\n{members}")
    return "\n".join(parts)


def index() -> str:
    """Where the names are that `metarl_jax` itself has, and the pages of all packages."""
    rows = [
        f"   * - :py:obj:`{name} <metarl_jax.{room}.{name}>`\n     - ``metarl_jax.{room}``"
        for room, names in metarl_jax._ROOMS.items()
        for name in names
    ]
    table = ".. list-table::\n   :header-rows: 1\n\n   * - ``from metarl_jax import``\n     - stands in\n" + "\n".join(
        rows
    )
    toctree = ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in packages())
    intro = "Everything below is read from the docstrings. Axis letters are those of ``metarl_jax.types``.\n"
    return "\n".join([_title("Reference", "="), intro, table, "", toctree])


def write(directory: Path) -> None:
    """The pages, as `directory/*.rst`; those that have not changed are left alone, and so is what Sphinx has made of them."""
    directory.mkdir(exist_ok=True)
    pages = {"index": index(), **{name: page(modules) for name, modules in packages().items()}}
    for path in directory.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = directory / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"
