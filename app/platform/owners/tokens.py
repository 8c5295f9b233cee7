"""Personal access tokens of the owner who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.http import paging
from app.http.answers import PersonalTokenOut, PersonalTokensOut
from app.http.models import EmptyBody, NewToken, PageQuery
from app.http.routing import SIGN_IN, Call, Routes, ViewResponse
from catalog import personal_tokens
from jobs.engine.view import rfc3339

if TYPE_CHECKING:
    from catalog.personal_tokens import PersonalToken
    from infra.postgres.database import Transaction

routes = Routes("tokens")


@routes.get("/api/tokens", who="owner", query=PageQuery, answers={200: PersonalTokensOut})
def list_tokens(call: Call) -> ViewResponse:
    """Lists the tokens, newest first, without their values."""
    place = paging.decode_cursor(call.query.cursor)
    with call.world.infra.database.autocommit() as tx:
        found = personal_tokens.page(tx, call.owner_id, before=place[0] if place else None, limit=call.query.limit + 1)
    return ViewResponse(
        paging.page("tokens", found, call.query.limit, show=_shown, place=lambda token: paging.encode_cursor(token.id))
    )


@routes.change(
    "POST",
    "/api/tokens",
    action="token.create",
    who="owner",
    scope=SIGN_IN,
    body=NewToken,
    answers={201: PersonalTokenOut},
)
def create(call: Call, tx: Transaction) -> ViewResponse:
    """Makes a token and shows its value, this one time: a replay has null in its place."""
    wanted = {"name": call.body.name, "expires_at": call.body.expires_at, "scopes": call.body.scopes}
    made, value = personal_tokens.create(tx, call.owner_id, **wanted)
    headers = {"Location": f"/api/tokens/{made.id}", "Cache-Control": "no-store"}
    return ViewResponse({**_shown(made), "token": None}, 201, headers, once={"token": value})


@routes.change(
    "DELETE",
    "/api/tokens/<token_id>",
    action="token.delete",
    who="owner",
    body=EmptyBody,
    answers={204: None},
)
def delete(call: Call, tx: Transaction, token_id: str) -> ViewResponse:
    """Deletes a token; what uses it is refused within a second."""
    personal_tokens.delete(tx, call.owner_id, token_id)
    call.world.callers.clear()
    return ViewResponse(None, 204)


def _shown(token: PersonalToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": rfc3339(token.expires_at),
        "lastUsedAt": rfc3339(token.last_used_at),
        "scopes": token.scopes,
    }
