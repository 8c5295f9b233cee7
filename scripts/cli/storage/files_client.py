"""A project's Storage as the command line asks it."""

from __future__ import annotations

import mimetypes
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from scripts.cli.errors import CONFLICT, FAILURE, NOT_ALLOWED, NOT_FOUND, USAGE, CliError
from scripts.cli.service_client import ServiceClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.cli.context import CliSession
    from scripts.cli.storage.places import RemotePlace

INSIDE = "http://storage-service:8003"
PAGE, REMOVED_AT_ONCE, COPIED_BYTES = 1000, 1000, 1024 * 1024
_CODES = {"400": USAGE, "403": NOT_ALLOWED, "404": NOT_FOUND, "409": CONFLICT}


class FilesClient:
    """The Storage of one project, with the service key: policies do not apply."""

    def __init__(self, session: CliSession, project: str | None) -> None:
        """Find the project, and its service key. Raises CliError."""
        self._service = ServiceClient(session, project, "storage", INSIDE)
        self.project = self._service.project

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what Storage answers. Raises CliError with its sentence."""
        return _told(self._service.send(method, path, json=body))

    def entries(self, place: RemotePlace, *, recursive: bool) -> Iterator[dict[str, Any]]:
        """Walk through what begins with a place, by whole keys, folders first in each page unless recursive."""
        cursor = None
        while True:
            wanted = {"prefix": place.key, "limit": PAGE, "with_delimiter": not recursive}
            body = wanted if cursor is None else {**wanted, "cursor": cursor}
            page = self.ask("POST", f"/object/list-v2/{quote(place.bucket)}", body)
            yield from page["folders"]
            yield from page["objects"]
            if not page["hasNext"]:
                return
            cursor = page["nextCursor"]

    def info(self, place: RemotePlace) -> dict[str, Any]:
        """Return what is known of an object. Raises CliError when there is none."""
        found: dict[str, Any] = self.ask("GET", f"/object/info/{_path(place)}")
        return found

    def upload(self, file: IO[bytes], size: int, place: RemotePlace, moved: Callable[[int], None]) -> None:
        """Store a file in whatever place. moved: told how many bytes have gone."""
        kind = mimetypes.guess_type(place.key)[0] or "application/octet-stream"
        headers = {"Content-Type": kind, "Content-Length": str(size), "X-Upsert": "true"}

        def parts() -> Iterator[bytes]:
            while part := file.read(COPIED_BYTES):
                yield part
                moved(len(part))

        _told(self._service.send("POST", f"/object/{_path(place)}", headers, content=parts()))

    @contextmanager
    def download(self, place: RemotePlace) -> Iterator[Iterator[bytes]]:
        """Lend an object's bytes as they come. Raises CliError, also where they break off."""
        try:
            with self._service.stream(f"/object/{_path(place)}") as answer:
                if not answer.is_success:
                    answer.read()
                    _told(answer)
                yield answer.iter_bytes(COPIED_BYTES)
        except httpx.TransportError as error:
            raise CliError(f"{place} broke off") from error

    def send_to(self, verb: str, source: RemotePlace, target: RemotePlace) -> None:
        """Copy or move an object within the project."""
        body = {
            "bucketId": source.bucket, "sourceKey": source.key,
            "destinationBucket": target.bucket, "destinationKey": target.key,
        }  # fmt: skip
        self.ask("POST", f"/object/{verb}", body)

    def remove(self, bucket: str, keys: list[str]) -> int:
        """Remove objects; return how many there were."""
        return sum(
            len(self.ask("DELETE", f"/object/{quote(bucket)}", {"prefixes": keys[at : at + REMOVED_AT_ONCE]}))
            for at in range(0, len(keys), REMOVED_AT_ONCE)
        )


def _path(place: RemotePlace) -> str:
    return f"{quote(place.bucket)}/{quote(place.key, safe='/')}"


def _told(answer: httpx.Response) -> Any:
    try:
        found = answer.json()
    except ValueError:
        found = {}
    if answer.is_success:
        return found
    message = found.get("message") if isinstance(found, dict) else None
    code = found.get("statusCode") if isinstance(found, dict) else None
    raise CliError(str(message or f"Storage answered {answer.status_code}"), _CODES.get(str(code), FAILURE))
