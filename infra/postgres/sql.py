"""Loads the named statements of the .sql file beside a module."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import LiteralString, cast

from psycopg import sql

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(module_file: str) -> SimpleNamespace:
    """Return the statements of the file that shares `module_file`'s stem, one attribute each.

    `statements(__file__).renew_lease` is the text that follows the line `-- name: renew_lease`.
    """
    path = Path(module_file).with_suffix(".sql")
    parts = _NAME.split(path.read_text())[1:]
    named = dict(zip(parts[::2], parts[1::2], strict=True))
    # The files are our own and hold no outside input, which is what LiteralString asks for.
    return SimpleNamespace(**{name: sql.SQL(cast("LiteralString", text.strip())) for name, text in named.items()})
