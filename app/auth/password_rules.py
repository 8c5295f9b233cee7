"""What a password has to be like, as the project's settings say it."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from app.auth.errors import AuthError, validation_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.auth.serve.call import AuthCall

BYTES_MAX = 72
# As the setting names them; symbols are those that the reference counts.
CHARACTERS = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "digit": string.digits,
    "symbol": "!@#$%^&*()_+-=[]{};'\\:\"|<>?,./`~",
}


def ensure_length(password: str) -> None:
    """Raise AuthError for a password that is too long: none is ever cut."""
    if len(password.encode()) > BYTES_MAX:
        raise validation_error(f"Password cannot be longer than {BYTES_MAX} characters")


def ensure_strength(call: AuthCall, password: str) -> None:
    """Raise AuthError (422 weak_password, with the reasons) for a password that breaks the project's rules."""
    ensure_length(password)
    weakness = weakness_of(call, password)
    if weakness is not None:
        message = str(weakness.pop("message"))
        raise AuthError(422, "weak_password", message, extra={"weak_password": weakness})


def weakness_of(call: AuthCall, password: str) -> dict[str, Any] | None:
    """Return reasons and a message for a password that breaks the project's rules, or None."""
    reasons: list[str] = []
    messages: list[str] = []
    settings = call.project.settings
    if len(password) < settings.password_min_length:
        reasons.append("length")
        messages.append(f"Password should be at least {settings.password_min_length} characters.")
    wanted = [CHARACTERS[name] for name in settings.password_characters]
    if not _holds_one_of_each(password, wanted):
        reasons.append("characters")
        messages.append(f"Password should contain at least one character of each: {', '.join(wanted)}.")
    if settings.refuse_leaked_passwords and not reasons and call.services.leaked.holds(password):
        reasons.append("pwned")
        messages.append("Password is known to be weak and easy to guess, please choose a different one.")
    return {"message": " ".join(messages), "reasons": reasons} if reasons else None


def _holds_one_of_each(password: str, wanted: Sequence[str]) -> bool:
    return all(any(character in characters for character in password) for characters in wanted)
