"""The keys of a project: opaque API keys, what its users' tokens are signed with, and a JWT secret made elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.http import waiting
from app.http.answers import AcceptedOut, ProjectAcceptedOut
from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_keys import ApiKeyAcceptedOut, ApiKeysOut, SigningKeysOut
from app.platform.projects.lifecycle import finished_response, request_job
from app.platform.projects.models_keys import ImportedJwtSecret, NewApiKey, NewSigningKey, SigningKeyRotation
from catalog import projects, secrets
from catalog.project_states import SETTLED
from config.logging import hide_values
from jobs.engine.view import job_json, rfc3339
from jobs.kinds.project.rotate_secret import GRACE_SECONDS
from jobs.projects import api_keys, jwt_import, signing_keys
from jobs.requests import lifecycle

if TYPE_CHECKING:
    from catalog.projects import Project
    from catalog.secrets import ScopeSecrets
    from infra.postgres.database import Transaction
    from jobs.projects.api_keys import ApiKey
    from jobs.projects.signing_keys import ProjectSigningKey

routes = Routes("project_keys")
_KEYS, _SIGNING = "/api/projects/<project_id>/keys", "/api/projects/<project_id>/signing-keys"


@routes.get(_KEYS, who="owner", answers={200: ApiKeysOut})
def list_keys(call: Call, project_id: str) -> ViewResponse:
    """Lists the opaque API keys, without the values of secret ones."""
    _, known = read_project(call, project_id)
    return ViewResponse({"keys": [_shown(key) for key in api_keys.keys_of(known)]})


@routes.change(
    "POST", _KEYS, action="project.key_create", who="owner", body=NewApiKey,
    answers={202: ApiKeyAcceptedOut, 200: ApiKeyAcceptedOut},
)  # fmt: skip
def create_key(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Makes an opaque API key and shows its value, this one time: a replay has null in its place."""
    project = locked_project(call, tx, project_id)
    made, value = api_keys.make(tx, call.world.infra.vault, project.id, name=call.body.name, key_type=call.body.type)
    hide_values(value)
    answer = keys_told(call, tx, project)
    body = {**(answer.body or {}), "key": _shown(made), "apiKey": None}
    told = {"keyId": made.id, "type": made.type}
    return replace(answer, body=body, once={"apiKey": value}, told=told, headers={**answer.headers, **NO_STORE})


@routes.change(
    "DELETE", f"{_KEYS}/<key_id>", action="project.key_revoke", who="owner", body=EmptyBody,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def revoke_key(call: Call, tx: Transaction, project_id: str, key_id: str) -> ViewResponse:
    """Revokes an opaque API key; what uses it is refused within a second."""
    project = locked_project(call, tx, project_id)
    api_keys.revoke(tx, project.id, key_id)
    return keys_told(call, tx, project)


@routes.get(_SIGNING, who="owner", answers={200: SigningKeysOut})
def list_signing_keys(call: Call, project_id: str) -> ViewResponse:
    """Lists the keys that users' tokens are signed with, by their public part."""
    _, known = read_project(call, project_id)
    found = signing_keys.keys_of(known)
    signs = next((key.id for key in found if key.state == "in_use"), None)
    return ViewResponse({"keys": [_shown_signing(key) for key in found], "signedBy": signs})


@routes.change(
    "POST", _SIGNING, action="project.signing_key_create", who="owner", body=NewSigningKey, final=finished_response,
    answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def create_signing_key(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Makes a signing key that stands by: it is published, and signs nothing yet."""
    what = {"algorithm": call.body.algorithm, "use": False, "grace_seconds": None}
    answer = request_job(call, tx, project_id, lifecycle.rotate_signing_key, **what)
    return replace(answer, told={"algorithm": call.body.algorithm})


@routes.change(
    "POST", f"{_SIGNING}/rotate", action="project.signing_key_rotate", who="owner", body=SigningKeyRotation,
    final=finished_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def rotate_signing_key(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Lets another key sign users' tokens; no request fails, and what the one before signed stays good."""
    what = {"algorithm": call.body.algorithm, "use": True, "grace_seconds": call.body.grace_seconds}
    answer = request_job(call, tx, project_id, lifecycle.rotate_signing_key, **what)
    return replace(answer, told={"algorithm": call.body.algorithm, "graceSeconds": call.body.grace_seconds})


@routes.change(
    "POST", f"{_SIGNING}/<key_id>/revoke", action="project.signing_key_revoke", who="owner", body=EmptyBody,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def revoke_signing_key(call: Call, tx: Transaction, project_id: str, key_id: str) -> ViewResponse:
    """Revokes a key that signs no more: tokens that it signed are refused."""
    project = locked_project(call, tx, project_id)
    signing_keys.revoke(tx, call.world.infra.vault, project.id, key_id)
    return keys_told(call, tx, project)


@routes.change(
    "POST", "/api/projects/<project_id>/jwt-secret", action="project.jwt_secret_import", who="owner",
    body=ImportedJwtSecret, final=finished_response, answers={202: ProjectAcceptedOut, 200: ProjectAcceptedOut},
)  # fmt: skip
def import_jwt_secret(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Goes on with a JWT secret made elsewhere: users stay signed in, and apps that have its keys work."""
    body = call.body
    given = [each.get_secret_value() if each else "" for each in (body.secret, body.anon_key, body.service_role_key)]
    hide_values(*given)
    projects.find_owned(tx, project_id, call.owner_id)  # whose id it is not is none for a role's name
    values = jwt_import.check(project_id, given[0], anon_key=given[1], service_key=given[2])
    grace = GRACE_SECONDS if body.grace_seconds is None else body.grace_seconds
    what = {"vault": call.world.infra.vault, "values": values, "grace_seconds": grace}
    answer = request_job(call, tx, project_id, lifecycle.import_jwt_secret, **what)
    return replace(answer, told={"graceSeconds": grace})


NO_STORE = {"Cache-Control": "no-store"}


def read_project(call: Call, project_id: str) -> tuple[Project, ScopeSecrets]:
    """Return the owner's project, and its secrets. Raises ProjectNotFound."""
    with call.world.infra.database.autocommit() as tx:
        project = projects.find_owned(tx, project_id, call.owner_id)
        return project, secrets.read_all(tx, call.world.infra.vault, project.id)


def locked_project(call: Call, tx: Transaction, project_id: str) -> Project:
    """Return the owner's project, which nobody else changes now. Raises ProjectBusy unless it has its secrets."""
    project = projects.find_owned(tx, project_id, call.owner_id, lock=True)
    if project.status not in SETTLED:
        raise projects.ProjectBusy(project.status, project.current_job)
    return project


def keys_told(call: Call, tx: Transaction, project: Project) -> ViewResponse:
    """Have the project's services told, and answer with the job that does."""
    by: dict[str, Any] = {"by": call.owner_id, "owner_id": call.owner_id, "request_id": call.request_id}
    answer = waiting.accepted_response(job_json(tx, lifecycle.update_keys(tx, project.id, **by)))
    return replace(answer, project_id=project.id)


def _shown(key: ApiKey) -> dict[str, Any]:
    of = {"id": key.id, "name": key.name, "type": key.type, "role": api_keys.ROLES[key.type], "value": key.value}
    return {**of, "createdAt": rfc3339(key.created_at)}


def _shown_signing(key: ProjectSigningKey) -> dict[str, Any]:
    times = {"createdAt": rfc3339(key.created_at), "endsAt": rfc3339(key.ends_at)}
    return {"id": key.id, "algorithm": key.algorithm, "state": key.state, **times, "publicKey": key.public}
