"""What has happened to a project's users, for its owner to read: rows of auth.audit_log_entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Json

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infra.postgres.database import Transaction

SQL = statements(__file__)


def record(tx: Transaction, payload: Mapping[str, Any], moment: datetime, ip_address: str) -> None:
    """Write an entry down."""
    tx.execute(SQL.record, {"payload": Json(dict(payload)), "moment": moment, "ip_address": ip_address[:64]})
