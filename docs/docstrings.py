"""Docstrings as this package writes them, for Sphinx: Markdown's signs are plain text, comments behind a record's fields are
their documentation.
"""

import inspect
import io
import re
import tokenize
from typing import Any

_CODE = re.compile(r"(`[^`\n]*(?:\n[^`\n]+)?`)")
_whole: dict[str, list[str]] = {}  # text of attributes, by their names
_SIGNS = re.compile(r"([*|\\]|_(?!\w))")


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A handler of `autodoc-process-docstring`."""
    parts = _CODE.split("\n".join(lines))
    parts[::2] = [_SIGNS.sub(r"\\\1", part) for part in parts[::2]]
    parts[2::2] = [re.sub(r"^(?=\w)", r"\\ ", part) for part in parts[2::2]]  # `word`s: else no end of code
    text = _as_literal_blocks("".join(parts), inside=what == "module")
    if what == "class" and is_record(obj):
        text += "".join(f"\n\n**{field}** -- {said}" for field, said in fields(obj).items())
    lines[:] = text.splitlines()
    if what in ("attribute", "data", "property"):
        _whole[name] = list(lines)


def restore(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A handler of `autodoc-process-docstring`: napoleon takes what stands before a colon for the type of an attribute."""
    lines[:] = _whole.pop(name, lines)


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """A handler of `autodoc-skip-member`: fields of records stand in their class's text, data without a word are left out."""
    if str(getattr(obj, "__doc__", "")).startswith("Alias for field number"):
        return True
    return True if what == "module" and not (inspect.isroutine(obj) or isinstance(obj, type)) and skipped else None


def is_record(obj: Any) -> bool:
    return isinstance(obj, type) and issubclass(obj, tuple) and hasattr(obj, "_fields")


def fields(record: type) -> dict[str, str]:
    """What is said of each field of a NamedTuple, in the comment behind it or on the lines before: `` `type` comment``."""
    told: dict[str, str] = {}
    above: list[str] = []
    lines = inspect.getsource(record).splitlines()
    comments = _comments("\n".join(lines))
    for number, line in enumerate(lines, start=1):
        comment = comments.get(number, "")
        if line.strip().startswith("#"):
            above.append(comment)
            continue
        match = re.match(r"    (\w+): ", line)
        if match and match[1] in record._fields:
            said = " ".join([*above, comment]).strip()
            told[match[1]] = _SIGNS.sub(r"\\\1", said) if "`" not in said else said
        above = []
    return {field: told.get(field, "") or "\\ " for field in record._fields}


def _comments(source: str) -> dict[int, str]:
    """By line, without what is meant for linters."""
    tokens = tokenize.generate_tokens(io.StringIO(inspect.cleandoc(source)).readline)
    found = {t.start[0]: t.string.removeprefix("#").strip() for t in tokens if t.type == tokenize.COMMENT}
    return {line: re.sub(r"noqa: \w+( -- )?", "", text) for line, text in found.items()}


def _as_literal_blocks(text: str, inside: bool) -> str:
    """Indented code after a line that ends in a colon; where there are no sections, lists `inside` of paragraphs too."""
    if inside:
        text = re.sub(r"(?m)^(\S.*)\n((?:[ ]+\S.*(?:\n|$))+)", r"\1\n\n::\n\n\2\n", text)
    return re.sub(r"(?m)^(?!Args|Returns|Raises|Yields)(.*[^:]):\n\n(?=    )", r"\1::\n\n", text)
