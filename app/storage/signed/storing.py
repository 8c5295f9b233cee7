"""The routes of signed URLs for storing: made for who may store an object, and used by whoever has one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.storage.errors import StorageError
from app.storage.names import checked_key
from app.storage.objects.incoming import NO_CACHE, OCTETS, Incoming, incoming_of
from app.storage.objects.storing import Storing, Target
from app.storage.objects.uploading import says_upsert
from app.storage.serve.call import StorageAnswer, StorageRoute
from app.storage.serve.caller import ANON, Caller
from app.storage.signed import url_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall

CLAIMS_BYTES_MAX = 4096


def sign(call: StorageCall) -> StorageAnswer:
    """Answer a URL by which one object can be stored, as the caller, for some time."""
    call.json()
    bucket, key, upsert = call.path["bucket"], checked_key(call.path["key"]), says_upsert(call)
    nothing = Incoming(OCTETS, NO_CACHE, None, None, None, iter(()))
    Storing(call.project, call.services, Target(bucket, key, upsert, call.caller, call.asked)).permit(
        nothing, typed=False
    )
    token = url_tokens.sign(
        call.project,
        f"{bucket}/{key}",
        "upload",
        now=int(call.services.clock()),
        seconds=call.project.settings.signed_url_seconds,
        upsert=upsert,
        owner=call.caller.owner_id,
        as_role=call.caller.role,
        as_claims=_kept(call.caller.claims),
    )
    return StorageAnswer({"url": f"/object/upload/sign/{bucket}/{key}?token={quote(token)}", "token": token})


def store_signed(call: StorageCall) -> StorageAnswer:
    """Store the object that a token names, as whoever had it made: policies decide again."""
    bucket, key = call.path["bucket"], checked_key(call.path["key"])
    target = signed_target(call, bucket, key, call.given("token"))
    Storing(call.project, call.services, target).store(incoming_of(call))
    return StorageAnswer({"Key": f"{bucket}/{key}"})


def signed_target(call: StorageCall, bucket: str, key: str, given: list[str]) -> Target:
    """Return where, and as whom, a token lets its bearer store. Raises StorageError."""
    claims = url_tokens.verify(call.project, given, f"{bucket}/{key}", "upload", call.services.clock())
    role = claims.get("as_role", ANON)
    if role not in call.project.spec.roles:
        raise StorageError(400, "InvalidSignature", "InvalidSignature", "Invalid signature")
    caller = Caller(role, call.project.spec.roles[role], claims.get("as_claims") or {}, is_known=True)
    return Target(bucket, key, claims.get("upsert") is True, caller, call.asked)


def _kept(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that policies will see again; what makes a token too long for a URL is left out."""
    kept = {name: value for name, value in claims.items() if name not in ("exp", "iat", "nbf", "role")}
    if len(json.dumps(kept)) > CLAIMS_BYTES_MAX:
        kept = {name: kept[name] for name in ("sub", "aud", "email", "session_id", "aal") if name in kept}
    return kept


ROUTES = (
    StorageRoute("POST", "/object/upload/sign/<bucket>/<path:key>", "token", "object.sign_upload_url", sign),
    StorageRoute("PUT", "/object/upload/sign/<bucket>/<path:key>", "open", "object.upload_signed", store_signed),
)
