"""The S3 access keys of a project: made, listed and revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.http.answers import AcceptedOut
from app.http.models import EmptyBody
from app.http.routing import Call, Routes, ViewResponse
from app.platform.projects.answers_keys import AccessKeyAcceptedOut, AccessKeysOut
from app.platform.projects.keys import NO_STORE, keys_told, locked_project, read_project
from app.platform.projects.models_keys import NewAccessKey
from config.logging import hide_values
from jobs.engine.view import rfc3339
from jobs.projects import access_keys

if TYPE_CHECKING:
    from infra.postgres.database import Transaction
    from jobs.projects.access_keys import AccessKey

routes = Routes("project_access_keys")
_KEYS = "/api/projects/<project_id>/storage/keys"


@routes.get(_KEYS, who="owner", answers={200: AccessKeysOut})
def list_access_keys(call: Call, project_id: str) -> ViewResponse:
    """Lists the S3 access keys, without their secrets."""
    _, known = read_project(call, project_id)
    return ViewResponse({"keys": [_shown(key) for key in access_keys.keys_of(known)]})


@routes.change(
    "POST", _KEYS, action="project.access_key_create", who="owner", body=NewAccessKey,
    answers={202: AccessKeyAcceptedOut, 200: AccessKeyAcceptedOut},
)  # fmt: skip
def create_access_key(call: Call, tx: Transaction, project_id: str) -> ViewResponse:
    """Makes an S3 access key and shows its secret, this one time: a replay has null in its place."""
    project = locked_project(call, tx, project_id)
    made, secret = access_keys.make(tx, call.world.infra.vault, project.id, name=call.body.name)
    hide_values(secret)
    answer = keys_told(call, tx, project)
    body = {**(answer.body or {}), "key": _shown(made), "secretAccessKey": None}
    headers = {**answer.headers, **NO_STORE}
    return replace(answer, body=body, once={"secretAccessKey": secret}, told={"keyId": made.id}, headers=headers)


@routes.change(
    "DELETE", f"{_KEYS}/<key_id>", action="project.access_key_revoke", who="owner", body=EmptyBody,
    answers={202: AcceptedOut, 200: AcceptedOut},
)  # fmt: skip
def revoke_access_key(call: Call, tx: Transaction, project_id: str, key_id: str) -> ViewResponse:
    """Revokes an S3 access key; what it signs is refused within a second."""
    project = locked_project(call, tx, project_id)
    access_keys.revoke(tx, project.id, key_id)
    return keys_told(call, tx, project)


def _shown(key: AccessKey) -> dict[str, Any]:
    return {"accessKeyId": key.id, "name": key.name, "createdAt": rfc3339(key.created_at)}
