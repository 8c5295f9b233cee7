"""The routes by which a picture is read as a client wants it: of a public bucket, as the caller, or by a signed URL."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING

from werkzeug.http import parse_accept_header

from app.storage.errors import StorageError
from app.storage.images.pictures import Wanted
from app.storage.images.transformation import Transformation
from app.storage.objects import content
from app.storage.objects.found import FoundObject, opened, signed_object
from app.storage.objects.ranges import verdict
from app.storage.objects.reading import for_caller, public
from app.storage.objects.sending import sent
from app.storage.serve.call import StorageAnswer, StorageRoute
from app.storage.signed import url_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.storage.serve.call import StorageCall

# In the order in which they are preferred.
BY_ACCEPT = ("avif", "webp")
DRAWING = "image/svg+xml"


def render_public(call: StorageCall) -> StorageAnswer:
    """Answer a picture of a public bucket, transformed, whoever asks."""
    transformation = Transformation.of_query(call.repeated)
    return rendered(call, transformation, *opened(call, partial(public, call)))


def render(call: StorageCall) -> StorageAnswer:
    """Answer a picture, transformed, to whoever may see it."""
    transformation = Transformation.of_query(call.repeated)
    return rendered(call, transformation, *opened(call, partial(for_caller, call)))


def render_signed(call: StorageCall) -> StorageAnswer:
    """Answer the picture that a token names, transformed as the token says: what else is asked for does not count."""
    bucket, key = call.path["bucket"], call.path["key"]
    claims = url_tokens.verify(call.project, call.given("token"), f"{bucket}/{key}", "download", call.services.clock())
    transformation = Transformation.of(claims.get(url_tokens.TRANSFORMATION) or {}, "token")
    return rendered(call, transformation, *opened(call, lambda tx: signed_object(tx, bucket, key)))


def rendered(
    call: StorageCall, transformation: Transformation, found: FoundObject, original: IO[bytes]
) -> StorageAnswer:
    """Answer what becomes of an original, or that the client has it already. Raises StorageError."""
    try:
        answer = _rendered(call, transformation, found, original)
    except BaseException:
        original.close()
        raise
    more = [("X-Transformations", transformation.told)] if transformation.told else []
    if transformation.format is None:
        more.append(("Vary", "Accept"))
    return replace(answer, headers=(*answer.headers, *more))


def _rendered(
    call: StorageCall, transformation: Transformation, found: FoundObject, original: IO[bytes]
) -> StorageAnswer:
    beginning = original.read(content.BEGINNING_BYTES)
    original.seek(0)
    is_drawing = (content.type_of(beginning) or ("",))[0] == DRAWING
    target = _target(transformation, call.headers, is_drawing=is_drawing)
    if is_drawing and target is None:
        # It has no pixels to be scaled: whoever shows it does that.
        return sent(call, _described(found, found.etag, DRAWING), original)
    wanted = Wanted(call.project.id, found.blob, transformation, target)
    etag = f'"{found.etag.strip(chr(34))}-{wanted.stem[:16]}"'
    if verdict(call.headers, etag, found.updated_at) != "whole":
        return sent(call, _described(found, etag, found.content_type), original)
    counts = call.services.counts
    try:
        kind, file = call.services.pictures.made(wanted, original, counts.picture)
    except StorageError:
        counts.picture("refused")
        raise
    return sent(call, _described(found, etag, kind), file)


def _target(transformation: Transformation, headers: Mapping[str, str], *, is_drawing: bool) -> str | None:
    """Return the format to write: what was asked for, or the best that the client names; None: the original's."""
    if transformation.format is not None:
        return None if transformation.format == "origin" else transformation.format
    accepted = {} if is_drawing else dict(parse_accept_header(headers.get("Accept")))
    return next((name for name in BY_ACCEPT if accepted.get(f"image/{name}", 0) > 0), None)


def _described(found: FoundObject, etag: str, content_type: str) -> FoundObject:
    return replace(found, metadata={**found.metadata, "eTag": etag, "mimetype": content_type})


ROUTES = (
    StorageRoute("GET", "/render/image/public/<bucket>/<path:key>", "open", "render.image_public", render_public),
    StorageRoute(
        "GET", "/render/image/authenticated/<bucket>/<path:key>", "token", "render.image_authenticated", render
    ),
    StorageRoute("GET", "/render/image/sign/<bucket>/<path:key>", "open", "render.image_sign", render_signed),
)
