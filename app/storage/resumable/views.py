"""The routes of TUS: create, go on, ask how far it is, end; as a caller, or by a signed token in a header."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from app.storage.errors import StorageError
from app.storage.moments import http_date
from app.storage.names import checked_bucket, checked_key
from app.storage.objects.incoming import (
    OCTETS,
    READ_BYTES,
    Incoming,
    cache_control_of,
    checked_mime,
    checked_robots,
    user_metadata_of,
)
from app.storage.objects.storing import Target
from app.storage.objects.uploading import says_upsert
from app.storage.resumable import headers as tus
from app.storage.resumable import uploads
from app.storage.serve.call import StorageAnswer, StorageRoute
from app.storage.signed.storing import signed_target
from infra.blobs.store import BlobBusy, BlobMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.storage.resumable.uploads import Upload
    from app.storage.serve.call import StorageCall

    View = Callable[["TusViews", StorageCall], StorageAnswer]

PLAIN, SIGNED = "/upload/resumable", "/upload/resumable/sign"


def _speaks_tus(view: View) -> View:
    """Have a view check the version, and refuse as clients of TUS read it."""

    @wraps(view)
    def answered(self: TusViews, call: StorageCall) -> StorageAnswer:
        try:
            tus.check_version(call.headers)
            answer = view(self, call)
        except StorageError as error:
            raise error if error.text else tus.as_text(error) from error
        except BlobBusy as error:
            raise tus.refused(423, "The upload is being gone on with by somebody else") from error
        except BlobMissing as error:
            raise tus.refused(410, "What has come of the upload is gone") from error
        return StorageAnswer(answer.body, answer.status, (*tus.SAID, *answer.headers))

    return answered


class TusViews:
    """The views. signed: a token in the header X-Signature says who stores, and what for."""

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed

    def options(self, call: StorageCall) -> StorageAnswer:
        """Answer what there is of the protocol."""
        said = (
            *tus.SAID,
            ("Tus-Version", tus.VERSION),
            ("Tus-Extension", tus.EXTENSIONS),
            ("Tus-Max-Size", str(call.project.settings.file_bytes)),
        )
        return StorageAnswer(status=204, headers=said)

    @_speaks_tus
    def create(self, call: StorageCall) -> StorageAnswer:
        """Begin an upload, and take the bytes that come along."""
        if call.headers.get("Upload-Defer-Length") is not None or call.headers.get("Upload-Concat") is not None:
            raise tus.refused(400, "Upload-Length has to be said, and the whole be in one upload")
        stated = call.headers.get("Upload-Metadata") or ""
        said = tus.metadata_of(stated)
        bucket, key = checked_bucket(said.get("bucketName")), checked_key(said.get("objectName"))
        incoming = _incoming(call, said)
        try:
            upload = uploads.create(call, self._target(call, bucket, key), incoming, stated)
        except StorageError as error:
            raise tus.refused(413, "Maximum size exceeded") if error.status == 413 else error from error
        below = SIGNED if self._signed else PLAIN
        headers = [
            ("Location", f"{call.project.spec.url}/storage/v1{below}/{upload.id}"),
            ("Upload-Expires", http_date(upload.expires_at)),
        ]
        brings = call.headers.get("Content-Type") == tus.PART
        if brings or upload.length == 0:
            headers.append(("Upload-Offset", str(_go_on(call, upload, brings=brings))))
        return StorageAnswer(status=201, headers=tuple(headers))

    @_speaks_tus
    def go_on(self, call: StorageCall) -> StorageAnswer:
        """Take the next bytes of an upload."""
        if call.headers.get("Content-Type") != tus.PART:
            raise tus.refused(415, f"Content-Type has to be {tus.PART}")
        upload = self._found(call)
        if tus.number_of(call.headers, "Upload-Offset") != upload.received:
            raise tus.refused(409, "Upload-Offset conflict", (("Upload-Offset", str(upload.received)),))
        received = _go_on(call, upload, brings=True)
        headers = (("Upload-Offset", str(received)), ("Upload-Expires", http_date(upload.expires_at)))
        return StorageAnswer(status=204, headers=headers)

    @_speaks_tus
    def look(self, call: StorageCall) -> StorageAnswer:
        """Answer how far an upload is; one that has come whole, and was not finished, is finished now."""
        upload = self._found(call)
        if upload.received == upload.length and not upload.is_finished:
            uploads.finish(call, upload)
        headers = [
            ("Upload-Offset", str(upload.received)),
            ("Upload-Length", str(upload.length)),
            ("Upload-Expires", http_date(upload.expires_at)),
            ("Cache-Control", "no-store"),
        ]
        if upload.stated:
            headers.append(("Upload-Metadata", upload.stated))
        return StorageAnswer(status=200, headers=tuple(headers))

    @_speaks_tus
    def end(self, call: StorageCall) -> StorageAnswer:
        """End an upload, whatever has come of it."""
        upload = self._found(call)
        if upload.is_finished:
            raise tus.refused(410, "The upload is finished")
        uploads.drop(call, upload)
        return StorageAnswer(status=204)

    def routes(self) -> tuple[StorageRoute, ...]:
        """Return the routes."""
        below, access = (SIGNED, "open") if self._signed else (PLAIN, "token")
        one = f"{below}/<upload>"
        listed: tuple[tuple[str, str, Any, str, Any], ...] = (
            ("OPTIONS", below, "open", "tus.options", self.options),
            ("OPTIONS", one, "open", "tus.options", self.options),
            ("POST", below, access, "tus.upload.create", self.create),
            ("POST", f"{below}/", access, "tus.upload.create", self.create),
            ("PATCH", one, access, "tus.upload.part", self.go_on),
            ("HEAD", one, access, "tus.upload.get", self.look),
            ("DELETE", one, access, "tus.upload.delete", self.end),
        )
        return tuple(StorageRoute(*each) for each in listed)

    def _found(self, call: StorageCall) -> Upload:
        upload = uploads.find(call, call.path["upload"])
        target = self._target(call, upload.target.bucket, upload.target.key)
        return uploads.owned(upload, target)

    def _target(self, call: StorageCall, bucket: str, key: str) -> Target:
        """Return where an upload goes, as the caller or as whoever signed."""
        if self._signed:
            return signed_target(call, bucket, key, [call.headers.get("X-Signature") or ""])
        return Target(bucket, key, says_upsert(call), call.caller, call.asked)


def _incoming(call: StorageCall, said: Mapping[str, str]) -> Incoming:
    return Incoming(
        content_type=checked_mime(said.get("contentType") or OCTETS),
        cache_control=cache_control_of(said.get("cacheControl") or ""),
        user_metadata=user_metadata_of(said.get("metadata") or ""),
        robots=checked_robots(call.headers.get("X-Robots-Tag")),
        length=tus.number_of(call.headers, "Upload-Length"),
        chunks=iter(()),
    )


def _go_on(call: StorageCall, upload: Upload, *, brings: bool) -> int:
    """Take what comes of an upload, and finish it when that is all; return how much there is."""
    if upload.is_finished:
        return upload.length
    limits = upload.storing(call).permit(upload.incoming)
    received = uploads.append(call, upload, _parts(call) if brings else iter(()), limits)
    if received == upload.length:
        uploads.finish(call, upload)
    return received


def _parts(call: StorageCall) -> Iterator[bytes]:
    """Return what comes of the body; one that breaks off is no error: what has come of it stays."""
    while part := call.body.read(READ_BYTES):
        yield part


ROUTES = (*TusViews(signed=True).routes(), *TusViews(signed=False).routes())
