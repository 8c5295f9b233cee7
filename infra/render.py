"""The one renderer of configuration files: whole files from templates, never patched."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from config.settings import CHECKOUT

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = CHECKOUT / "config" / "templates"


def _quoted(value: str) -> str:
    # A control character would end the line and begin another setting.
    if not str(value).isprintable():
        raise ValueError("a configuration value holds a control character")
    return json.dumps(str(value), ensure_ascii=False)


@cache
def _environment() -> Environment:
    import jinja2  # noqa: PLC0415 - most commands write no configuration, and it is slow to load

    made = jinja2.Environment(  # noqa: S701 - these are configuration files; HTML escapes would damage them
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    made.filters["quoted"] = _quoted
    return made


def render(template: str, values: dict[str, Any]) -> str:
    """Return the text of `config/templates/<template>`; a value that is missing is an error, never an empty text."""
    return _environment().get_template(template).render(values)
