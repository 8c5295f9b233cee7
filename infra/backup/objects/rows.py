"""The rows of a project's files, as one snapshot shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.backup.objects.listing import ObjectRow
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SQL = statements(__file__)
FIRST = "00000000-0000-0000-0000-000000000000"
AT_ONCE = 2000


def object_rows(session: psycopg.Connection[Any]) -> Iterator[ObjectRow]:
    """Return the files that there are, in the order of their ids. Raises psycopg.Error.

    session  in the transaction whose snapshot they are of, with no search path of a tenant's
    """
    found = session.execute(SQL.has_rows).fetchone()
    if not (found and found[0]):
        return
    after = FIRST
    while rows := session.execute(SQL.after, {"after": after, "most": AT_ONCE}).fetchall():
        yield from (ObjectRow(*row) for row in rows)
        after = rows[-1][0]
