"""Addresses and numbers by which people are known: how they are written, and which are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.auth.errors import AuthError, validation_error

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall

EMAIL_MAX = 255
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*", re.ASCII | re.IGNORECASE)
_PHONE = re.compile(r"[1-9][0-9]{1,14}", re.ASCII)


def email_of(call: AuthCall, name: str = "email") -> str:
    """Return the address in a member of the body, in lower case; "" when it was left out. Raises AuthError."""
    given = call.text(name)
    return valid_email(given) if given else ""


def valid_email(given: str) -> str:
    """Return an address in lower case. Raises AuthError for what is none."""
    if not given:
        raise validation_error("An email address is required")
    if len(given) > EMAIL_MAX:
        raise validation_error("An email address is too long")
    if not _EMAIL.fullmatch(given):
        raise validation_error("Unable to validate email address: invalid format")
    return given.lower()


def phone_of(call: AuthCall, name: str = "phone") -> str:
    """Return the number in a member of the body, digits alone; "" when it was left out. Raises AuthError."""
    given = call.text(name)
    if not given:
        return ""
    digits = given.removeprefix("+").replace(" ", "")
    if not _PHONE.fullmatch(digits):
        raise validation_error("Invalid phone number format (E.164 required)")
    return digits


def ensure_email_sign_in(call: AuthCall, *, status: int, message: str = "Email logins are disabled") -> None:
    """Raise AuthError where the project lets nobody in by address. status: of HTTP, which routes differ in."""
    if not call.project.settings.email_sign_in:
        raise AuthError(status, "email_provider_disabled", message)


def phone_sign_in_disabled(status: int, message: str = "Phone logins are disabled") -> AuthError:
    """Return the refusal of sign-in by number: there is nobody who would send text messages."""
    return AuthError(status, "phone_provider_disabled", message)
