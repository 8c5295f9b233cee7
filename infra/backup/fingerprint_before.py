"""The digests of sets that were made before expressions stood apart from what they belong to.

Such a set says of each object one digest of definition, owner and rights. It is compared with the same digest of what
came back; where that differs although the object holds an expression, nothing more can be said.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

SQL = statements(__file__)


def digests(session: psycopg.Connection[Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each object by kind and name. names: what stands for what in them. Raises psycopg.Error."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)

    def plain(text: str) -> str:
        for name in longest_first:
            text = text.replace(name, names[name])
        return text

    found: dict[str, list[str]] = {}
    for kind, name, state in session.execute(SQL.objects).fetchall():
        found.setdefault(plain(f"{kind} {name}"), []).append(plain(state))
    return {key: hashlib.sha256("\n".join(sorted(states)).encode()).hexdigest()[:32] for key, states in found.items()}
