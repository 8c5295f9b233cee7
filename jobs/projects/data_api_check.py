"""A restored copy is asked as its clients would ask it: by HTTP, signed in, through a data API."""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from catalog import names
from infra.backup.trial_api import serve_data_api
from infra.errors import Refused
from infra.secrets import tokens
from infra.sockets import socket_path

if TYPE_CHECKING:
    import httpx

    from infra.backup.fingerprint import Fingerprint
    from infra.postgres.role_names import ProjectRoles
    from jobs.engine.run import Run

MOST_TABLES, MOST_ROWS = 20, 100_000
TOKEN_SECONDS = 600
# A role's own limit of time is the tenant's business: it says nothing of the copy.
TIMED_OUT = "57014"
_SIMPLE = re.compile(r"public\.([a-z_][a-z0-9_]*)", re.ASCII)
_COUNT = re.compile(r"(?:\*|\d+-\d+)/(\d+)", re.ASCII)


def prove_by_data_api(run: Run[Any], uri: str, project: str, contents: Fingerprint) -> int:
    """Read as a signed-in user and count as the service; return how many tables were counted.

    uri       of the data API's login in the copy
    contents  what the copy has to hold

    Raises Refused, naming the table, when an answer is not what it has to be; Unavailable.
    """
    roles, secret = names.roles(project), secrets.token_urlsafe(32)
    lines = {
        "db-uri": uri,
        "db-schemas": "public",
        "db-anon-role": roles.anon,
        "db-pool": "2",
        "db-channel-enabled": "false",
        "jwt-secret": secret,
    }
    configuration = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    socket = socket_path(run.infra.settings, f"trial-{project.removeprefix('proj_')}.sock")
    wanted = [(found[1], rows) for name, rows in contents.rows.items() if (found := _SIMPLE.fullmatch(name))]
    with serve_data_api(configuration, socket) as client:
        run.check()
        signed_in = _header(roles, roles.authenticated, secret)
        _refuse_failure(client.get("/", headers=signed_in), "its description")
        chosen = [(table, rows) for table, rows in sorted(wanted) if rows <= MOST_ROWS][:MOST_TABLES]
        for table, _ in chosen:
            run.check()
            _refuse_failure(client.get(f"/{table}?limit=1", headers=signed_in), table)
        return sum(_is_counted(client, table, rows, _header(roles, roles.service, secret)) for table, rows in chosen)


def _is_counted(client: httpx.Client, table: str, rows: int, header: dict[str, str]) -> bool:
    answer = client.get(f"/{table}?limit=1", headers={**header, "Prefer": "count=exact"})
    _refuse_failure(answer, table)
    found = _COUNT.fullmatch(answer.headers.get("Content-Range", ""))
    if not answer.is_success or found is None:
        return False  # the service may not read it, or it is none that is served: as in the project itself
    if int(found[1]) != rows:
        raise Refused(f"through the data API the table {table} has {found[1]} rows instead of {rows}")
    return True


def _refuse_failure(answer: httpx.Response, what: str) -> None:
    if answer.is_server_error and TIMED_OUT not in answer.text:
        raise Refused(f"through the data API the restored copy does not answer for {what}: {answer.status_code}")


def _header(roles: ProjectRoles, role: str, secret: str) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": "launchdb", "ref": roles.prefix, "role": role, "sub": "00000000-0000-4000-8000-000000000000"}
    return {"Authorization": f"Bearer {tokens.sign_token({**claims, 'iat': now, 'exp': now + TOKEN_SECONDS}, secret)}"}
