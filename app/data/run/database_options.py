"""Options that stand in the database itself: set for the login, as `pgrst.…`, or by a function of the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from infra.postgres.sql import statements

if TYPE_CHECKING:
    from app.data.config import DataConfig

SQL = statements(__file__)
PREFIX = "pgrst."
CONNECT_SECONDS = 5
# What may change while a server runs. Where it listens, how it connects and what it logs is not the database's to say.
READ = (
    "client-error-verbosity",
    "db-aggregates-enabled",
    "db-anon-role",
    "db-extra-search-path",
    "db-hoisted-tx-settings",
    "db-max-rows",
    "db-plan-enabled",
    "db-pre-config",
    "db-pre-request",
    "db-prepared-statements",
    "db-root-spec",
    "db-schemas",
    "db-tx-end",
    "jwt-aud",
    "jwt-role-claim-key",
    "jwt-secret",
    "openapi-mode",
    "openapi-security-active",
    "openapi-server-proxy-uri",
    "server-cors-allowed-origins",
    "server-timing-enabled",
    "server-trace-header",
    "url-use-legacy-target-names",
)
# Who is refused now will be refused again; whoever is away may come back.
_REFUSALS = ("password authentication failed", "no password supplied", "is not permitted to log in", "pg_hba.conf")


class DatabaseOptionsError(Exception):
    """The options of the database could not be read; the message says why. is_final: nor will they be."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def read_options(config: DataConfig) -> dict[str, str]:
    """Return names and texts of the options that stand in the database. Raises DatabaseOptionsError."""
    names = {PREFIX + name.replace("-", "_"): name for name in READ}
    try:
        with psycopg.connect(config.db_uri, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            found = _found(connection, config.db_pre_config, list(names))
    except psycopg.OperationalError as error:
        said = " ".join(str(error).split())
        final = any(each in said for each in _REFUSALS)
        raise DatabaseOptionsError(f"Database connection error. {said}", is_final=final) from None
    except (psycopg.Error, UnicodeError, ValueError) as error:
        raise DatabaseOptionsError(" ".join(str(error).split())) from None
    return {names.get(name, name.removeprefix(PREFIX)): value for name, value in found}


def _found(connection: psycopg.Connection[tuple[str, str]], function: str, names: list[str]) -> list[tuple[str, str]]:
    with connection.transaction(force_rollback=True):
        if function:
            connection.execute(sql.SQL("SELECT {}()").format(sql.Identifier(*function.split("."))))
        return connection.execute(SQL.options, {"names": names}).fetchall()
