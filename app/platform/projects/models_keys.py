"""What owners may send about the keys of a project."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.http.models import RequestBody, Secret, Title

GRACE_SECONDS_MAX = 30 * 24 * 3600
Algorithm = Literal["ES256", "RS256", "HS256"]
Grace = Annotated[int | None, Field(ge=0, le=GRACE_SECONDS_MAX)]


class NewApiKey(RequestBody):
    """An opaque API key. publishable: for apps, as the role anon; secret: for servers, as the role service_role."""

    name: Title
    type: Literal["publishable", "secret"]


class NewAccessKey(RequestBody):
    """An S3 access key."""

    name: Title


class NewSigningKey(RequestBody):
    """A signing key that stands by."""

    algorithm: Algorithm = "ES256"


class SigningKeyRotation(RequestBody):
    """Which key signs from now on: the one that stands by, or a new one of this algorithm.

    grace_seconds  how long the one before is good besides; by default until it is revoked
    """

    algorithm: Algorithm | None = None
    grace_seconds: Grace = None


class ImportedJwtSecret(RequestBody):
    """A JWT secret made elsewhere, with the keys that it signed; those that are left out are made.

    grace_seconds  how long the secret and keys that the project has now are good besides, by default a day
    """

    secret: Annotated[Secret, Field(max_length=2048)]
    anon_key: Annotated[Secret, Field(max_length=8192)] | None = None
    service_role_key: Annotated[Secret, Field(max_length=8192)] | None = None
    grace_seconds: Grace = None
