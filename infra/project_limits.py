"""The limits of a project: what a tenant cannot lift, since it is set on its database from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings

SEARCH_PATH = '"$user", public, extensions'


@dataclass(frozen=True)
class Limits:
    """What a tenant cannot lift: set on its database from outside."""

    connections: int
    settings: Mapping[str, str]

    @property
    def stored(self) -> set[str]:
        """The settings of a project's database as the catalogue holds them."""
        return {f"search_path={SEARCH_PATH}", *(f"{name}={value}" for name, value in self.settings.items())}

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Read from the settings the limits of a project that has none of its own."""
        return cls.make(
            connections=settings.project_connections,
            temp_mb=settings.project_temp_mb,
            statement_seconds=settings.project_statement_seconds,
            idle_transaction_seconds=settings.project_idle_transaction_seconds,
        )

    @classmethod
    def make(cls, *, connections: int, temp_mb: int, statement_seconds: int, idle_transaction_seconds: int) -> Limits:
        """Return these limits as Postgres is told them."""
        return cls(
            connections=connections,
            settings={
                "temp_file_limit": f"{temp_mb}MB",
                "statement_timeout": f"{statement_seconds}s",
                "idle_in_transaction_session_timeout": f"{idle_transaction_seconds}s",
            },
        )
