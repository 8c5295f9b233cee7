"""S3 as one of the protocols that Storage speaks: what is asked for, who signed it, refusals in XML."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from flask import Response, request

from app.storage.s3 import errors
from app.storage.s3.routes import route_of
from app.storage.s3.sigv4.admission import signed_by
from app.storage.s3.sigv4.expected import SignedRequest
from app.storage.s3.sigv4.payload import verified_body
from app.storage.s3.sigv4.stated import signature_of
from app.storage.s3.xml import plain_text, serialized
from app.storage.serve.dialect import Admitted
from app.storage.serve.rest import stated_length

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.storage.errors import StorageError
    from app.storage.serve.call import StorageRoute
    from app.storage.serve.project import StorageProject

NAME, XML = "s3", "application/xml"
_ENDPOINT = re.compile(rf"/(?:storage/[^/]+|project/[^/]+/storage/v1)/{NAME}")


class S3Dialect:
    """The protocol."""

    def route(self, path: str) -> tuple[StorageRoute, Mapping[str, str]]:
        """Return what is asked for. Raises StorageError, also for a request that states no signature."""
        headers: Mapping[str, str] = request.headers  # type: ignore[assignment]
        signature_of(headers, _query())
        return route_of(request.method, path.removeprefix(f"/{NAME}"), request.args.to_dict(), headers)

    def admit(self, route: StorageRoute, project: StorageProject, clock: Callable[[], float]) -> Admitted:  # noqa: ARG002
        """Return who signed the request, and its body as it is read. Raises StorageError."""
        headers: Mapping[str, str] = request.headers  # type: ignore[assignment]
        stated = signature_of(headers, _query())
        endpoint = _ENDPOINT.match(request.path)
        signed = SignedRequest(request.method, request.path, _query(), headers, endpoint[0] if endpoint else "")
        caller, signer = signed_by(project, stated, signed, clock)
        body = verified_body(stated, signer, headers, request.stream, stated_length())
        return Admitted(caller, body, body.length)

    def refusal(self, error: StorageError) -> Response:
        """Return a refusal as XML."""
        request_id = uuid.uuid4().hex
        code, status, message = errors.words(error)
        root = Element("Error")
        for name, text in (
            ("Code", code),
            ("Message", message),
            ("Resource", request.path),
            ("RequestId", request_id),
        ):
            SubElement(root, name).text = plain_text(text)
        response = Response(serialized(root), status, content_type=XML)
        for name, value in (*error.headers, ("X-Amz-Request-Id", request_id)):
            response.headers[name] = value
        return response


def _query() -> Mapping[str, list[str]]:
    return request.args.to_dict(flat=False)
