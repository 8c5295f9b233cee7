"""The one renderer of configuration files: whole files from templates, replaced in one step."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING, Any

import jinja2

from config.settings import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

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


def replace(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Let the file hold exactly this text: readers see the old one or the new one, also after a power cut."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
