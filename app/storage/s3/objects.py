"""Objects, as S3 stores and reads them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.storage.objects.found import FoundObject, object_for_caller, opened
from app.storage.objects.incoming import header_line
from app.storage.objects.sending import sent
from app.storage.objects.storing import Storing, Target
from app.storage.s3 import errors, headers
from app.storage.s3.sigv4.payload import VerifiedBody
from app.storage.serve.call import StorageAnswer
from app.storage.serve.counts import CountedBody

if TYPE_CHECKING:
    from app.storage.serve.call import StorageCall
    from app.storage.serve.transaction import StorageTransaction

# What the query of a presigned URL may have an answer say instead.
OVERRIDES = {"response-content-type": "mimetype", "response-cache-control": "cacheControl"} | {
    f"response-{name.lower()}": member for name, member in headers.MORE.items()
}


def store(call: StorageCall) -> StorageAnswer:
    """Store an object, in whatever place it has, or on conditions."""
    if call.length is None:
        raise errors.refusal("MissingContentLength", "You must provide the Content-Length HTTP header", 411)
    bucket, key = call.path["bucket"], headers.key_to_store(call, call.length)
    target = Target(bucket, key, not headers.is_new_only(call.headers), call.caller, call.asked)
    storing = Storing(call.project, call.services, target)
    stored = storing.store(headers.incoming_of(call), headers.replaced_only(call, bucket, key))
    return StorageAnswer(headers=(("ETag", str(stored.metadata["eTag"])), *proven(call)))


def proven(call: StorageCall) -> tuple[tuple[str, str], ...]:
    """Return the headers that say which checksums of a body have proven right."""
    body = call.body.source if isinstance(call.body, CountedBody) else call.body
    return tuple(body.checks.stated.items()) if isinstance(body, VerifiedBody) else ()


def read(call: StorageCall) -> StorageAnswer:
    """Answer an object's bytes, or a part of them, or what is known of it."""
    found, file = opened(call, partial(_found, call))
    shown = replace(found, metadata={**found.metadata, **_overrides(call)})
    # A browser can follow a URL that is signed; it cannot sign a header by itself.
    answer = sent(call, shown, file, as_stored="X-Amz-Signature" not in call.query)
    fixed = dict(answer.headers)
    return replace(answer, headers=tuple((dict(headers.headers_of(shown)) | fixed).items()))


def _found(call: StorageCall, tx: StorageTransaction) -> FoundObject:
    return object_for_caller(call, tx, call.path["bucket"], headers.key_of(call))


def _overrides(call: StorageCall) -> dict[str, str]:
    given = {member: call.query[name] for name, member in OVERRIDES.items() if name in call.query}
    for name, value in given.items():
        if header_line(value) != value.strip():
            raise errors.invalid_argument(f"The override of {name} cannot be a header")
    return given
