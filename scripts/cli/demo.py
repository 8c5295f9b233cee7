"""The first start's guest: an operator account and a project `demo`, made and tried through the public API."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from config.settings import CHECKOUT
from infra import files
from infra.database import Database
from scripts.cli.account import ensure_operator
from scripts.cli.client import Client
from scripts.cli.credentials import Bearer
from scripts.cli.errors import CliError
from scripts.cli.output import note
from scripts.cli.progress import follow, require_success

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings

NAME = "demo"
EMAIL = "operator@launchdb.local"
SEEN_SECONDS = 15.0
TABLE = """
CREATE TABLE IF NOT EXISTS public.todos (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, done boolean NOT NULL DEFAULT false);
ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS "everybody may read" ON public.todos;
CREATE POLICY "everybody may read" ON public.todos FOR SELECT USING (true);
GRANT SELECT ON public.todos TO anon, authenticated;
GRANT ALL ON public.todos TO service_role;
"""


@dataclass(frozen=True)
class Operator:
    """What `operator.json` holds; the project's members are empty until it answers."""

    url: str
    email: str
    password: str
    project_id: str = ""
    project_url: str = ""
    anon_key: str = ""
    service_role_key: str = ""
    database_url: str = ""

    def document(self) -> dict[str, str]:
        """Return it under the names of the file."""
        return {_camel(name): value for name, value in asdict(self).items()}

    def next_commands(self, home: Path) -> Iterator[str]:
        """Return three commands to go on with, that work from any folder."""
        program = shlex.quote(str(Path(sys.executable).with_name("launchdb")))
        if home != CHECKOUT / ".launchdb":
            program = f"LAUNCHDB_HOME={shlex.quote(str(home))} {program}"
        yield f"curl '{self.project_url.rstrip('/')}/rest/v1/todos' -H 'apikey: {self.anon_key}'"
        yield f"{program} projects create shop"
        yield f"{program} jobs list"


def furnish(settings: Settings) -> Operator:
    """Let the operator account and the project `demo` be there, tried once; return what reaches them.

    What an earlier start left half done is finished. Raises CliError.
    """
    path = settings.home / "operator.json"
    operator = _read(path)
    if operator and operator.database_url and operator.url == settings.base_url:
        return _refreshed(settings, path, operator)
    if operator is None:
        # Written before the account exists: a password that only a lost process knew opens nothing.
        operator = Operator(settings.base_url, EMAIL, secrets.token_urlsafe(18))
        _write(path, operator)
        ensure_operator(settings, operator.email, operator.password)
        note(f"operator account {operator.email} created")
    elif not operator.database_url:
        ensure_operator(settings, operator.email, operator.password)
    client = _sign_in(settings, operator)
    try:
        operator = _reach(client, replace(operator, url=settings.base_url), _demo(client))
    finally:
        client.close()
    _try(operator)
    _write(path, operator)
    return operator


def _refreshed(settings: Settings, path: Path, operator: Operator) -> Operator:
    """Let the file hold today's keys: they may have been rotated. What cannot be asked for stays as it was."""
    try:
        client = _sign_in(settings, operator)
        try:
            fresh = _reach(client, operator, operator.project_id)
        finally:
            client.close()
    except (CliError, httpx.HTTPError) as error:
        note(f"operator.json is as it was written at an earlier start: {error}")
        return operator
    if fresh != operator:
        _write(path, fresh)
    return fresh


def _sign_in(settings: Settings, operator: Operator) -> Client:
    answer = httpx.post(
        f"{settings.base_url}/api/auth/login",
        json={"email": operator.email, "password": operator.password},
        timeout=30,
    )
    if answer.status_code != httpx.codes.OK:
        raise CliError(f"the operator {operator.email} of operator.json cannot sign in ({answer.status_code})")
    auth = Bearer(answer.json()["accessToken"])
    return Client(httpx.Client(base_url=settings.base_url, auth=auth, timeout=90))


def _demo(client: Client) -> str:
    """Return the id of the active project `demo`; show how it is provisioned when it is not there yet."""
    for project in client.pages("/api/projects", "projects"):
        if project["name"] == NAME:
            job = project.get("currentJob")
            break
    else:
        note(f"provisioning the project {NAME}:")
        answer = client.post("/api/projects", {"name": NAME})
        project, job = answer["project"], answer["job"]
    if job:
        job_id = job if isinstance(job, str) else job["id"]
        require_success(follow(client, client.get(f"/api/jobs/{job_id}"), timeout=None))
    return str(project["id"])


def _reach(client: Client, operator: Operator, project_id: str) -> Operator:
    found = client.get(f"/api/projects/{project_id}/connection")
    return replace(
        operator,
        project_id=project_id,
        project_url=found["projectUrl"],
        anon_key=found["anonKey"],
        service_role_key=found["serviceRoleKey"],
        database_url=found["databaseUrl"],
    )


def _try(operator: Operator) -> None:
    """Make a table as its owner, write a row with the service key, read it with the public one. Raises CliError."""
    owner = Database(operator.database_url, name="launchdb-demo", max_size=2)
    try:
        with owner.transaction() as tx:
            tx.execute(TABLE.encode())
    finally:
        owner.close()
    url = f"{operator.project_url.rstrip('/')}/rest/v1/todos"
    title = "try LaunchDB"
    row = _answer(
        "POST", url, operator.service_role_key, json={"title": title}, headers={"Prefer": "return=representation"}
    )[0]
    note(f"wrote a row through {url}")
    rows = _answer("GET", url, operator.anon_key, params={"id": f"eq.{row['id']}", "select": "title"})
    if rows != [{"title": title}]:
        raise CliError(f"the project {operator.project_id} gave back another row than was written")
    note("read it back with the public key")


def _answer(method: str, url: str, key: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """Call the data API; a table made this second may take another to be seen. Raises CliError."""
    deadline = time.monotonic() + SEEN_SECONDS
    known = {"apikey": key, "Authorization": f"Bearer {key}", **(headers or {})}
    while True:
        answer = httpx.request(method, url, headers=known, timeout=30, **more)
        if answer.is_success:
            return answer.json()
        if answer.status_code not in (404, 503) or time.monotonic() > deadline:
            raise CliError(f"{method} {url} answered {answer.status_code}: {answer.text[:300]}")
        time.sleep(0.2)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _read(path: Path) -> Operator | None:
    try:
        found = json.loads(path.read_text())
        return Operator(**{name: str(found[_camel(name)]) for name in Operator.__dataclass_fields__})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, operator: Operator) -> None:
    files.replace(path, json.dumps(operator.document(), indent=2) + "\n")
