"""Pages of auth.users, for whoever holds the service key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from psycopg import sql

from app.auth.store.users import SQL as USERS
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.auth.listing import Page
    from infra.postgres.database import Transaction

SQL = statements(__file__)
_WILD = re.compile(r"[%_\\]")


def count(tx: Transaction, wanted: str) -> int:
    """Return how many users have this in their address, number or full name; "" for all."""
    return int(tx.value(SQL.count.format(which=_which(wanted)), {"pattern": _pattern(wanted)}))


def page(tx: Transaction, page: Page) -> list[dict[str, Any]]:
    """Return the rows of one page."""
    query = SQL.page.format(
        columns=USERS.columns,
        which=_which(page.filter),
        sort=sql.Identifier("u", page.sort),
        direction=sql.SQL("ASC" if page.ascending else "DESC"),
    )
    start = (page.number - 1) * page.size
    return tx.rows(query, {"pattern": _pattern(page.filter), "size": page.size, "start": start})


def _which(wanted: str) -> sql.Composable:
    return SQL.which if wanted else sql.SQL("")


def _pattern(wanted: str) -> str:
    literal = _WILD.sub(r"\\\g<0>", wanted)
    return f"%{literal}%"
