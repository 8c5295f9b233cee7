"""The routes of signed URLs for reading: made for who may see the object, and used by whoever has one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.storage.errors import invalid_request
from app.storage.images.transformation import Transformation
from app.storage.objects.found import FoundObject, opened, own_object, signed_object
from app.storage.objects.sending import sent
from app.storage.serve.call import StorageAnswer, StorageRoute
from app.storage.signed import url_tokens
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

SQL = statements(__file__)
SECONDS_MAX, PATHS_MAX = 604_800, 1000
# Where nobody says for how long; the official clients always do.
SECONDS_UNSAID = 3600
UNSEEN = "Either the object does not exist or you do not have access to it"


def sign(call: StorageCall) -> StorageAnswer:
    """Answer a URL by which one object can be read for some time."""
    body = call.json()
    seconds, key = seconds_of(body), call.path["key"]
    transform = _transform(body)
    with call.transaction(once=True) as tx:
        found = own_object(call, tx, call.path["bucket"], key)
    return StorageAnswer({"signedURL": _url(call, found.bucket, found.key, seconds, transform)})


def sign_many(call: StorageCall) -> StorageAnswer:
    """Answer a URL for each of the paths, in their order, or that there is none for it."""
    body = call.json()
    seconds, paths = seconds_of(body), body.get("paths")
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise invalid_request("body/paths must be array of strings")
    if len(paths) > PATHS_MAX:
        raise invalid_request(f"body/paths must NOT have more than {PATHS_MAX} items")
    bucket = call.path["bucket"]
    with call.transaction(once=True) as tx:
        tx.become(call.caller)
        seen = {row["name"] for row in tx.rows(SQL.seen, {"bucket": bucket, "names": paths})}
    return StorageAnswer(
        [
            {"error": None, "path": path, "signedURL": _url(call, bucket, path, seconds, None)}
            if path in seen
            else {"error": UNSEEN, "path": path, "signedURL": None}
            for path in paths
        ]
    )


def read_signed(call: StorageCall) -> StorageAnswer:
    """Answer the bytes of the object that a token names."""
    bucket, key = call.path["bucket"], call.path["key"]
    claims = url_tokens.verify(call.project, call.given("token"), f"{bucket}/{key}", "download", call.services.clock())
    if claims.get(url_tokens.TRANSFORMATION):  # who may see the small picture need not see the large one
        raise url_tokens.wrong_purpose()
    return sent(call, *opened(call, partial(_signed, bucket, key)))


def seconds_of(body: Mapping[str, Any]) -> int:
    """Return for how long a URL is to be good; Python's clients send it as text. Raises StorageError."""
    value = body.get("expiresIn", SECONDS_UNSAID)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= SECONDS_MAX:
        raise invalid_request(f"body/expiresIn must be an integer between 1 and {SECONDS_MAX}")
    return value


def _transform(body: Mapping[str, Any]) -> dict[str, Any] | None:
    given = body.get("transform")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise invalid_request("body/transform must be object")
    return Transformation.of(given, "body/transform").members or None


def _url(call: StorageCall, bucket: str, key: str, seconds: int, transform: dict[str, Any] | None) -> str:
    now = int(call.services.clock())
    more = {} if transform is None else {url_tokens.TRANSFORMATION: transform}
    token = url_tokens.sign(call.project, f"{bucket}/{key}", "download", now=now, seconds=seconds, **more)
    below = "object" if transform is None else "render/image"
    return f"/{below}/sign/{bucket}/{key}?token={quote(token)}"


def _signed(bucket: str, key: str, tx: StorageTransaction) -> FoundObject:
    return signed_object(tx, bucket, key)


ROUTES = (
    StorageRoute("POST", "/object/sign/<bucket>", "token", "object.sign_many", sign_many),
    StorageRoute("POST", "/object/sign/<bucket>/<path:key>", "token", "object.sign", sign),
    StorageRoute("GET", "/object/sign/<bucket>/<path:key>", "open", "object.get_signed", read_signed),
)
