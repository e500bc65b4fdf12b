"""The documentation site: `sphinx-build -W docs OUT`. It runs no heavy code, and needs no network."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings
import reference
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

reference.write(Path(__file__).parent / "reference")

project = "metarl_jax"
author = copyright = "the metarl_jax authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
exclude_patterns = ["_build", "example_package"]
nb_execution_mode = "off"  # tests/test_docs.py runs the notebook
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "metarl_jax"
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
default_role = "code"
autodoc_mock_imports = [name for name in reference.EXTRAS if importlib.util.find_spec(name) is None]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_preserve_defaults = True
autodoc_mock_imports = ["stable_baselines3"]  # an extra
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"


def visit_math(translator, node):
    """Formulas as browsers typeset them by themselves: nothing is fetched for it."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div style="margin: 1em 0; overflow-x: auto">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("autodoc-process-docstring", docstrings.process, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", docstrings.restore, priority=900)  # after it
    app.connect("autodoc-skip-member", docstrings.skip)
