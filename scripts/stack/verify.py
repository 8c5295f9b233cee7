"""The guide's verification after a deployment, end to end: each step proves one thing that clients rely on."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import InfraError
from infra.host import docker_cli, logs
from scripts.stack import edge
from scripts.stack.stack import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings

PROVISION_SECONDS = 60
GONE_SECONDS = 60.0
SEEN_SECONDS = 20.0
WORKER = "launchdb-worker"
MANAGER = "http://127.0.0.1:9000"
TABLE = (
    "CREATE TABLE verified (id int PRIMARY KEY, said text); GRANT SELECT ON verified TO anon;"
    "GRANT ALL ON verified TO service_role"
)


class VerificationFailed(Exception):
    """A step found something else than it should; the message says what."""


@dataclass
class VerifyTrial:
    """What the steps hand on: the client of a throw-away owner, and their project."""

    settings: Settings
    http: httpx.Client
    account: Callable[[str, str], None]
    leftovers: Callable[[str], list[dict[str, Any]]]
    email: str = field(default_factory=lambda: f"verify-{secrets.token_hex(6)}@launchdb.local")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    project: str = ""
    connection: dict[str, Any] = field(default_factory=dict)

    @property
    def in_containers(self) -> bool:
        """Whether data APIs are containers that can be looked at from here."""
        return self.settings.runtime != "embedded"


def _health(trial: VerifyTrial) -> str:
    answer = _expect(trial.http.get("/api/health"), 200)
    _same(answer, {"status": "ok", "service": "platform-api"})
    return f"{trial.settings.base_url}/api/health answers"


def _manager(trial: VerifyTrial) -> str:
    if not trial.in_containers:
        return "no manager here: data APIs run in the API's own process"
    answer = httpx.get(f"{MANAGER}/health", timeout=10)
    _same(_expect(answer, 200), {"status": "healthy", "service": "postgrest-manager"})
    return f"{MANAGER}/health answers"


def _owner(trial: VerifyTrial) -> str:
    known = {"email": trial.email, "password": trial.password}
    answer = trial.http.post("/api/auth/register", json=known)
    if answer.status_code == httpx.codes.FORBIDDEN:
        trial.account(trial.email, trial.password)  # nobody registers here by themselves
    else:
        _expect(answer, 201)
    return f"the owner {trial.email} registered"


def _login(trial: VerifyTrial) -> str:
    known = {"email": trial.email, "password": trial.password}
    found = _expect(trial.http.post("/api/auth/login", json=known), 200)
    trial.http.headers["Authorization"] = f"Bearer {found['accessToken']}"
    if not found.get("expiresIn"):
        raise VerificationFailed("the login does not say when its token expires")
    return "an access token was given"


def _create(trial: VerifyTrial) -> str:
    began = time.monotonic()
    answer = trial.http.post(
        "/api/projects",
        json={"name": f"verify {secrets.token_hex(4)}"},
        headers={"Prefer": f"wait={PROVISION_SECONDS}", "Idempotency-Key": secrets.token_hex(8)},
    )
    found = _body(answer)
    trial.project = str((found.get("project") or found).get("id") or "")
    _expect(answer, 201)
    return f"{trial.project} was provisioned in {time.monotonic() - began:.1f} s"


def _listed(trial: VerifyTrial) -> str:
    found = _expect(trial.http.get("/api/projects"), 200)["projects"]
    if [project["id"] for project in found] != [trial.project]:
        raise VerificationFailed(f"the list shows {len(found)} projects, not the one")
    return "the list shows it"


def _container(trial: VerifyTrial) -> str:
    if not trial.in_containers:
        return "no container here: data APIs run in the API's own process"
    name = f"postgrest-{trial.project}"
    found = [one for one in docker_cli.containers(name=PROJECTS) if one.name == name]
    if [one.state for one in found] != ["running"]:
        raise VerificationFailed(f"there should be one running container {name}, and there are {len(found)}")
    said = logs.read([name], logs.LogRange(tail=5))
    return f"{name} runs" + (f" and says: {said[-1].text[:120]}" if said else "")


def _answers(trial: VerifyTrial) -> str:
    trial.connection = _expect(trial.http.get(f"/api/projects/{trial.project}/connection"), 200)
    headers = _keys(trial.connection["serviceRoleKey"])
    for base in (f"/project/{trial.project}/", f"/db/{trial.project}/"):
        _until(partial(trial.http.get, base, headers=headers), 200)
    return "its data API answers at /project/<id>/ and at /db/<id>/"


def _rows(trial: VerifyTrial) -> str:
    _expect(trial.http.post(f"/api/projects/{trial.project}/sql", json={"query": TABLE}), 200)
    row = {"id": 1, "said": secrets.token_hex(8)}
    rest = f"/project/{trial.project}/rest/v1/verified"
    _until(lambda: trial.http.post(rest, json=row, headers=_keys(trial.connection["serviceRoleKey"])), 201)
    for path in (rest, f"/db/{trial.project}/verified"):
        found = _until(partial(trial.http.get, path, headers=_keys(trial.connection["anonKey"])), 200)
        _same(found.json(), [row])
    return "a row was written with the service key, and read with the public one at both addresses"


def _delete(trial: VerifyTrial) -> str:
    remove(trial)
    again = trial.http.delete(f"/api/projects/{trial.project}", params={"purge": "true"}, headers=_once())
    if again.status_code not in (200, 202, 404):
        raise VerificationFailed(f"a second DELETE answers {again.status_code}")
    return "it was deleted; a second DELETE changes nothing"


def _nothing_left(trial: VerifyTrial) -> str:
    deadline = time.monotonic() + GONE_SECONDS
    while found := _left(trial):
        if time.monotonic() > deadline:
            raise VerificationFailed(f"this is left of {trial.project}: {', '.join(found)}")
        time.sleep(0.5)
    return "no container, database, role, pooler entry, file or secret of it is left"


STEPS: tuple[tuple[str, Callable[[VerifyTrial], str]], ...] = (
    ("platform API is healthy", _health),
    ("manager is healthy", _manager),
    ("an owner registers", _owner),
    ("and signs in", _login),
    ("a project is created", _create),
    ("it is listed", _listed),
    ("its container runs", _container),
    ("its data API answers", _answers),
    ("rows are written and read", _rows),
    ("it is deleted", _delete),
    ("nothing of it is left", _nothing_left),
)


def remove(trial: VerifyTrial) -> None:
    """Delete the project for good. Raises Wrong."""
    answer = trial.http.delete(
        f"/api/projects/{trial.project}",
        params={"purge": "true"},
        headers={"Prefer": f"wait={PROVISION_SECONDS}", **_once()},
    )
    if answer.status_code not in (200, 202, 404):
        raise VerificationFailed(f"DELETE answers {answer.status_code}: {answer.text[:200]}")
    job = _body(answer).get("job") or {}
    deadline = time.monotonic() + GONE_SECONDS
    while job and job["status"] not in ("succeeded", "failed", "cancelled"):
        if time.monotonic() > deadline:
            raise VerificationFailed(f"the job {job['id']} is still {job['status']}")
        job = _expect(trial.http.get(f"/api/jobs/{job['id']}", params={"wait": 5}), 200)
    if job and job["status"] != "succeeded":
        raise VerificationFailed(f"the job {job['id']} {job['status']}: {(job.get('error') or {}).get('detail')}")


def clean_up(trial: VerifyTrial) -> None:
    """Remove what is left of the trial, whichever step failed. Raises Wrong, InfraError, httpx.HTTPError."""
    if "Authorization" not in trial.http.headers:
        # A registration whose answer was not understood is one all the same.
        known = {"email": trial.email, "password": trial.password}
        answer = trial.http.post("/api/auth/login", json=known)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return
        trial.http.headers["Authorization"] = f"Bearer {_expect(answer, 200)['accessToken']}"
    for project in _expect(trial.http.get("/api/projects"), 200)["projects"]:
        trial.project = project["id"]
        remove(trial)
    _expect(trial.http.delete("/api/auth/me"), 204)


def _left(trial: VerifyTrial) -> list[str]:
    found = [f"{thing['kind']} {thing['name']}" for thing in trial.leftovers(trial.project)]
    if trial.in_containers:
        found += [one.name for one in docker_cli.containers(name=f"postgrest-{trial.project}")]
        home = trial.settings.home
        places = (trial.settings.instances_folder / trial.project, home / "run" / "projects" / trial.project)
        found += [str(path) for path in places if path.exists()]
        found += ["pooler entry" for _ in [0] if trial.project in _text(home / "pgbouncer" / "pgbouncer.ini")]
    return found


def leftovers_inside(project: str) -> list[dict[str, Any]]:
    """Ask inside what bears the project's id. Raises Refused, Unavailable."""
    words = ["sh", "-c", 'launchdb db inventory --json --project "$1" || true', "sh", project]
    found: list[dict[str, Any]] = json.loads(docker_cli.execute(WORKER, words, seconds=60))["things"]
    return found


def open_trial_client(settings: Settings) -> httpx.Client:
    """Return the client for a trial. Raises Unavailable."""
    return edge.client(settings, timeout=PROVISION_SECONDS + 30)


def _text(path: Any) -> str:
    try:
        return str(path.read_text())
    except OSError:
        return ""


def _keys(key: str) -> dict[str, str]:
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def _once() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _expect(answer: httpx.Response, status: int) -> dict[str, Any]:
    if answer.status_code != status:
        request = answer.request
        raise VerificationFailed(
            f"{request.method} {request.url.path} answers {answer.status_code}: {answer.text[:200]}"
        )
    return _body(answer)


def _until(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Ask until the answer is as it should be; a data API may take a moment to see what is new."""
    deadline = time.monotonic() + SEEN_SECONDS
    while (answer := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.2)
    _expect(answer, status)
    return answer


def _same(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise VerificationFailed(f"the answer is {json.dumps(found)[:200]}, not {json.dumps(wanted)}")


FAULTS = (VerificationFailed, InfraError, httpx.HTTPError, OSError, KeyError)
