"""The operator account of the first start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from infra.composition import Infra
from scripts.cli.errors import CliError
from scripts.cli.owners import SQL

if TYPE_CHECKING:
    from config.settings import Settings


def ensure_operator(settings: Settings, email: str, password: str) -> None:
    """Let an owner with this e-mail address be there and be an operator. Raises CliError."""
    answer = httpx.post(
        f"{settings.base_url}/api/auth/register",
        json={"email": email, "password": password, "name": "Operator"},
        timeout=30,
    )
    # Taken: an earlier start that was cut short had come this far.
    if answer.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
        raise CliError(f"the operator account could not be created: {answer.status_code} {answer.text[:300]}")
    infra = Infra.open(settings, name="launchdb-up")
    try:
        with infra.database.transaction() as tx:
            tx.value(SQL.promote, {"email": email})
    finally:
        infra.close()
