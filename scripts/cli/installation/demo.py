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

from catalog.backups import PLATFORM
from config.installation import default_home, is_containers_home, read
from config.settings import CHECKOUT
from infra import files
from infra.backup.store import BackupStore
from scripts.cli.client import Client
from scripts.cli.credentials import BearerAuth
from scripts.cli.errors import CliError
from scripts.cli.jobs.progress import follow_job, require_success
from scripts.cli.output import print_note
from scripts.cli.owners.account import ensure_operator
from scripts.stack import edge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
class OperatorRecord:
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

    def known(self) -> dict[str, str]:
        """Return what of it there is, under the names of the file."""
        return {name: value for name, value in self.document().items() if value}

    def next_commands(self, home: Path) -> Iterator[str]:
        """Return three commands to go on with, that work from any folder."""
        program = shlex.quote(str(_program(home)))
        if home not in (CHECKOUT / ".launchdb", default_home({})):
            program = f"LAUNCHDB_HOME={shlex.quote(str(home))} {program}"
        if not self.anon_key:
            yield f"{program} backups restore-platform   # when this home is to be restored; then: backups adopt"
            yield f"{program} projects create shop"
            return
        known = is_containers_home(home) and read(home).get("LAUNCHDB_TLS") == "internal"
        checked = f"--cacert {shlex.quote(str(home / edge.AUTHORITY))} " if known else ""
        yield f"curl {checked}'{self.project_url.rstrip('/')}/rest/v1/todos' -H 'apikey: {self.anon_key}'"
        yield f"{program} projects create shop"
        yield f"{program} jobs list"


def ensure_demo(
    settings: Settings, ensure: Callable[[Settings, str, str], bool] = ensure_operator, *, demo: bool = True
) -> OperatorRecord:
    """Ensure the operator account and the project `demo`, tried once; return what reaches them.

    ensure  lets the account be there with that address and password; says whether it was made now
    demo    whether a project `demo` is made where there is no project at all and none to be restored

    What an earlier start left half done is finished. Raises CliError.
    """
    path = settings.home / "operator.json"
    operator = _read(path)
    if operator and operator.anon_key and operator.url == settings.base_url:
        return _refreshed(settings, path, operator)
    if operator is None:
        operator = _account(settings, path, ensure)
    client = _sign_in(settings, operator)
    try:
        found = _demo(client, makes=demo and not _is_to_be_restored(settings))
        operator = replace(operator, url=settings.base_url)
        if not found:
            print_note(f"no project {NAME} was made")
            _write(path, operator)
            return operator
        operator = _reach(client, operator, found)
        # By the API and not by `databaseUrl`: on a server Postgres is not to be reached from outside.
        client.ask(f"/api/projects/{operator.project_id}/sql", {"query": TABLE})
    finally:
        client.close()
    with edge.client(settings, timeout=30) as http:
        _try(http, operator)
    _write(path, operator)
    return operator


def _account(settings: Settings, path: Path, ensure: Callable[[Settings, str, str], bool]) -> OperatorRecord:
    """Ensure the account with a new password, write it down, and return what became of one that was there."""
    operator = OperatorRecord(settings.base_url, EMAIL, secrets.token_urlsafe(18))
    # The account may be there, with a password that nobody has written down: it gets this one.
    made = ensure(settings, operator.email, operator.password)
    _write(path, operator)
    became = "created" if made else "has a new password, and what the old one had opened has ended"
    print_note(f"operator account {operator.email} {became}")
    return operator


def _is_to_be_restored(settings: Settings) -> bool:
    return any(stem.startswith(f"{PLATFORM}_") for stem in BackupStore(settings).stems())


def _refreshed(settings: Settings, path: Path, operator: OperatorRecord) -> OperatorRecord:
    """Ensure that the file holds today's keys: they may have been rotated. What cannot be asked for stays as it was."""
    try:
        client = _sign_in(settings, operator)
        try:
            fresh = _reach(client, operator, operator.project_id)
        finally:
            client.close()
    except (CliError, httpx.HTTPError) as error:
        print_note(f"operator.json is as it was written at an earlier start: {error}")
        return operator
    if fresh != operator:
        _write(path, fresh)
    return fresh


def _sign_in(settings: Settings, operator: OperatorRecord) -> Client:
    http = edge.client(settings)
    answer = http.post("/api/auth/login", json={"email": operator.email, "password": operator.password})
    if answer.status_code != httpx.codes.OK:
        http.close()
        raise CliError(f"the operator {operator.email} of operator.json cannot sign in ({answer.status_code})")
    http.auth = BearerAuth(answer.json()["accessToken"])
    return Client(http)


def _demo(client: Client, *, makes: bool) -> str:
    """Return the id of the active project `demo`, "" for none; show how it is provisioned where there is no project.

    makes  whether it is
    """
    there = list(client.pages("/api/projects", "projects"))
    for project in there:
        if project["name"] == NAME:
            job = project.get("currentJob")
            break
    else:
        if there or not makes:
            return ""
        print_note(f"provisioning the project {NAME}:")
        answer = client.post("/api/projects", {"name": NAME})
        project, job = answer["project"], answer["job"]
    if job:
        job_id = job if isinstance(job, str) else job["id"]
        require_success(follow_job(client, client.get(f"/api/jobs/{job_id}"), timeout=None))
    return str(project["id"])


def _reach(client: Client, operator: OperatorRecord, project_id: str) -> OperatorRecord:
    found = client.get(f"/api/projects/{project_id}/connection")
    return replace(
        operator,
        project_id=project_id,
        project_url=found["projectUrl"],
        anon_key=found["anonKey"],
        service_role_key=found["serviceRoleKey"],
        database_url=found["databaseUrl"] or "",
    )


def _try(http: httpx.Client, operator: OperatorRecord) -> None:
    """Write a row with the service key, read it with the public one. Raises CliError."""
    url = f"{operator.project_url.rstrip('/')}/rest/v1/todos"
    title = "try LaunchDB"
    known = {"headers": {"Prefer": "return=representation"}, "json": {"title": title}}
    row = _answer(http, "POST", url, operator.service_role_key, **known)[0]
    print_note(f"wrote a row through {url}")
    found = {"id": f"eq.{row['id']}", "select": "title"}
    if _answer(http, "GET", url, operator.anon_key, params=found) != [{"title": title}]:
        raise CliError(f"the project {operator.project_id} gave back another row than was written")
    print_note("read it back with the public key")


def _answer(
    http: httpx.Client, method: str, url: str, key: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Any:
    """Call the data API; a table made this second may take another to be seen. Raises CliError."""
    deadline = time.monotonic() + SEEN_SECONDS
    known = {"apikey": key, "Authorization": f"Bearer {key}", **(headers or {})}
    while True:
        answer = http.request(method, url, headers=known, **more)
        if answer.is_success:
            return answer.json()
        if answer.status_code not in (404, 503) or time.monotonic() > deadline:
            raise CliError(f"{method} {url} answered {answer.status_code}: {answer.text[:300]}")
        time.sleep(0.2)


def _program(home: Path) -> Path:
    """Return the command as this machine has it: on a server the one that needs no Python."""
    if is_containers_home(home):
        return Path(read(home).get("HOST_SCRIPT_DIR") or CHECKOUT / "scripts") / "launchdb"
    return Path(sys.executable).with_name("launchdb")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _read(path: Path) -> OperatorRecord | None:
    try:
        found = json.loads(path.read_text())
        return OperatorRecord(**{name: str(found[_camel(name)]) for name in OperatorRecord.__dataclass_fields__})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, operator: OperatorRecord) -> None:
    files.replace(path, json.dumps(operator.document(), indent=2) + "\n")
