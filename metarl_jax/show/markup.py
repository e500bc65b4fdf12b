"""HTML and SVG as text, in which whatever is not markup is escaped."""

import html
import json
from typing import Any


class Markup(str):
    """Text that is markup already."""


def el(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element. Children that are not `Markup` are escaped, None is left out; `class_` is the attribute class, and of other
    names underscores are hyphens.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"')
    inside = join(*children)
    return Markup(f"<{' '.join(words)}>{inside}</{name}>")


def join(*parts: Any) -> Markup:
    """One after the other, as the children of an element."""
    return Markup("".join(x if isinstance(x, Markup) else html.escape(str(x)) for x in parts if x is not None))


def data(value: Any) -> Markup:
    """A script element that holds `value` as JSON; no text in it can end the element."""
    text = json.dumps(value, allow_nan=False).replace("<", "\\u003c")
    return Markup(f'<script type="application/json">{text}</script>')
