"""Codes by the clock (RFC 6238): the secret that an app scans, and whether a code is one of now."""

from __future__ import annotations

import hmac
import io
from dataclasses import dataclass, field

import pyotp
import segno

SECRET_CHARACTERS, PERIOD_SECONDS, DIGITS = 32, 30, 6
# Clocks of phones are off, and people type slowly: one period to either side.
TOLERANCE = 1


@dataclass(frozen=True)
class TotpSetup:
    """What an app is told. qr_code: an SVG picture of the URI."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr_code: str = field(repr=False)


def make_setup(account: str, issuer: str) -> TotpSetup:
    """Make the secret of a new factor. account, issuer: as the app shows them."""
    secret = pyotp.random_base32(SECRET_CHARACTERS)
    codes = pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS)
    uri = codes.provisioning_uri(name=account, issuer_name=issuer)
    return TotpSetup(secret, uri, _picture(uri))


def step_of(secret: str, code: str, now: float) -> int | None:
    """Return the time step that a code belongs to, or None for a code that is not one of now.

    now  in seconds of the epoch
    """
    if len(code) != DIGITS or not code.isascii() or not code.isdigit():
        return None
    codes = pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS)
    current = int(now) // PERIOD_SECONDS
    steps = range(current - TOLERANCE, current + TOLERANCE + 1)
    fitting = [step for step in steps if hmac.compare_digest(codes.generate_otp(step), code)]
    return fitting[-1] if fitting else None


def _picture(uri: str) -> str:
    # Clients put it behind `data:image/svg+xml;utf-8,`, where a number sign would end it: colours go by name.
    out = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(out, kind="svg", scale=5, border=4, xmldecl=False, light="white")
    return out.getvalue().decode().strip().replace("#000", "black").replace("#fff", "white")
