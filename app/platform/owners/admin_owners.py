"""Owners as operators see and change them; to everybody else none of this is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.models import EmptyBody, PageQuery
from app.http.routing import SIGN_IN, Call, Routes, ViewResponse
from app.platform.owners import emails
from app.platform.owners.answers_owners import LinkOut, OwnerForOperatorsOut, OwnersOut
from app.platform.owners.models_owners import NewInvitation, OwnerChanges
from catalog import one_time, owners
from jobs.engine.view import rfc3339
from jobs.requests import mailing

if TYPE_CHECKING:
    from catalog.one_time import OneTimeLink
    from catalog.owners import OwnerWithProjects
    from infra.postgres.database import Transaction

routes = Routes("people")


@routes.get("/api/admin/owners", who="operator", query=PageQuery, answers={200: OwnersOut})
def list_owners(call: Call) -> ViewResponse:
    """Lists the owners with the number of their projects, oldest first."""
    place = paging.decode_cursor(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = owners.page(tx, after=place[0] if place else None, limit=call.query.limit + 1)
    return ViewResponse(
        paging.page("owners", found, call.query.limit, show=_shown, place=lambda owner: paging.encode_cursor(owner.id))
    )


@routes.change(
    "PATCH", "/api/admin/owners/<owner_id>", action="owner.update", who="operator", scope=SIGN_IN, body=OwnerChanges,
    answers={200: OwnerForOperatorsOut},
)  # fmt: skip
def update(call: Call, tx: Transaction, owner_id: str) -> ViewResponse:
    """Changes an owner's quota of projects, and whether they are an operator; the latter counts within a second."""
    owners.find_with_projects(tx, owner_id)
    wanted = call.body.model_fields_set
    if "max_projects" in wanted:
        owners.set_quota(tx, owner_id, call.body.max_projects)
    if "is_operator" in wanted:
        owners.set_operator(tx, owner_id, wanted=call.body.is_operator)
        call.world.callers.clear()
    told = call.body.model_dump(by_alias=True, include=wanted)
    return ViewResponse(_shown(owners.find_with_projects(tx, owner_id)), told=told)


@routes.change(
    "POST", "/api/admin/owners/invitations", action="owner.invite", who="operator", body=NewInvitation,
    answers={201: LinkOut},
)  # fmt: skip
def invite(call: Call, tx: Transaction) -> ViewResponse:
    """Invites an address: a link to register with, good for 7 days, shown this one time, and mailed if mail is on."""
    if owners.by_email(tx, call.body.email) is not None:
        raise owners.EmailTaken("an owner with this e-mail address exists")
    made = one_time.create_invitation(tx, call.body.email, by=call.owner_id)
    mailed = call.world.infra.mail is not None
    if mailed:
        letter = emails.invitation_email(call.world.settings.base_url, call.body.email, made.value)
        how = mailing.SendOptions(one_time.INVITATION_SECONDS, call.owner_id, call.owner_id, call.request_id)
        mailing.send_email(tx, call.world.infra, letter, how)
    return _link(call, "invitation", call.body.email, made, mailed=mailed)


@routes.change(
    "POST", "/api/admin/owners/<owner_id>/reset", action="owner.reset_link", who="operator", scope=SIGN_IN,
    body=EmptyBody, answers={201: LinkOut},
)  # fmt: skip
def reset(call: Call, tx: Transaction, owner_id: str) -> ViewResponse:
    """Makes a link with which an owner sets another password, good for an hour and shown this one time."""
    owner = owners.find_with_projects(tx, owner_id)
    made = one_time.create_password_reset(tx, owner, email=owner.email, by=call.owner_id)
    return _link(call, "reset", owner.email, made, mailed=False)


def _link(call: Call, purpose: str, email: str, made: OneTimeLink, *, mailed: bool) -> ViewResponse:
    body = {"email": email, "expiresAt": rfc3339(made.expires_at), "mailed": mailed, "token": None, "link": None}
    once = {"token": made.value, "link": emails.token_link(call.world.settings.base_url, purpose, made.value)}
    return ViewResponse(body, 201, {"Cache-Control": "no-store"}, once=once, told={"email": email})


def _shown(owner: OwnerWithProjects) -> dict[str, Any]:
    return {
        "id": owner.id,
        "email": owner.email,
        "name": owner.name,
        "createdAt": rfc3339(owner.created_at),
        "isOperator": owner.is_operator,
        "maxProjects": owner.max_projects,
        "projects": owner.projects,
    }
