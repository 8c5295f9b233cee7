"""What Auth refuses, in the words of the reference, which clients act upon."""

from __future__ import annotations

from typing import Any


class AuthError(Exception):
    """A refusal as clients read it.

    status   of HTTP
    code     the word, such as `invalid_credentials`
    message  the sentence
    headers  beside the body
    extra    members of the body beside word and sentence, such as `weak_password`
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.extra = headers, extra or {}


def validation_error(message: str) -> AuthError:
    """Return the refusal of input that cannot be used."""
    return AuthError(400, "validation_failed", message)


def rate_limit_error(code: str, message: str, retry_after_seconds: int) -> AuthError:
    """Return the refusal of one who asks too often, with when to ask again."""
    return AuthError(429, code, message, headers=(("Retry-After", str(max(1, retry_after_seconds))),))
