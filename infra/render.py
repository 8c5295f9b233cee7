"""The one renderer of configuration files: whole files from templates, never patched."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from config.settings import CHECKOUT

TEMPLATES = CHECKOUT / "config" / "templates"


def _quoted(value: str) -> str:
    # A control character would end the line and begin another setting.
    if not str(value).isprintable():
        raise ValueError("a configuration value holds a control character")
    return json.dumps(str(value), ensure_ascii=False)


_ENVIRONMENT = jinja2.Environment(  # noqa: S701 - these are configuration files; HTML escapes would damage them
    loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)
_ENVIRONMENT.filters["quoted"] = _quoted


def render(template: str, values: dict[str, Any]) -> str:
    """Return the text of `config/templates/<template>`; a value that is missing is an error, never an empty text."""
    return _ENVIRONMENT.get_template(template).render(values)
