"""Letters on their way: counted, put into words, and handed to whoever sends them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from app.auth.errors import rate_limit_error
from app.auth.hooks import hooks
from app.auth.letters import RenderedLetter
from app.auth.store import users
from catalog.mail_templates.rendering import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.auth.letters import AuthLetter
    from app.auth.serve.call import AuthCall
    from app.auth.serve.project import AuthProject

HOUR = 3600
TOO_SOON = "over_email_send_rate_limit"


def ensure_not_too_soon(call: AuthCall, slot: str, whom: str) -> None:
    """Raise AuthError (429) when such a letter to somebody was asked for just now; else count from this moment.

    An address that nobody has counts like any other: a refusal tells nobody who is known.

    slot  what kind of letters this interval is between
    whom  an address, or the id of a user
    """
    seconds = call.project.settings.mail_interval_seconds
    name = hashlib.sha256(whom.encode()).hexdigest()
    left = call.services.limiter.claim(seconds, "mail", call.project.id, slot, name) if seconds else 0
    if left:
        raise rate_limit_error(
            TOO_SOON, f"For security purposes, you can only request this after {left} seconds.", left
        )


def post(call: AuthCall, letters: Iterable[AuthLetter]) -> None:
    """Have letters sent, whose tokens are kept by now. Raises AuthError (429) when the project has sent too many.

    Whatever is refused here leaves tokens that nobody was told.
    """
    if call.project.settings.hook_send_email:
        _hand_over(call, [letter for letter in letters if not letter.void])
        return
    for letter in letters:
        _count(call)
        call.services.letters.send(call.project, rendered(call.project, letter))


def _hand_over(call: AuthCall, letters: list[AuthLetter]) -> None:
    """Give letters to one user to the project's function, which sends them by itself. Raises AuthError."""
    if letters:
        with call.project.transaction() as tx:
            row = users.find(tx, letters[0].user_id)
            if row is not None:
                hooks.send_email(call, tx, row, letters)


def rendered(project: AuthProject, letter: AuthLetter) -> RenderedLetter:
    """Return a letter in the words of the project's templates."""
    settings = project.settings
    own = getattr(settings.mail_templates, letter.kind)
    mail = render(letter.kind, own, _values(letter, settings.site_url))
    return RenderedLetter(
        letter.to, mail.subject, mail.html, mail.text, seconds=settings.one_time_seconds, about=letter
    )


def _values(letter: AuthLetter, site_url: str) -> dict[str, object]:
    return {
        "ConfirmationURL": letter.url,
        "Token": letter.token,
        "TokenHash": letter.token_hash,
        "SiteURL": site_url,
        "RedirectTo": letter.redirect_to,
        "Email": letter.email,
        "NewEmail": letter.new_email,
        "Data": letter.data,
    }


def _count(call: AuthCall) -> None:
    per_hour = call.project.settings.mails_per_hour
    counted = call.services.limiter.count(per_hour, "auth", "mail", call.project.id, seconds=HOUR)
    if not counted.passed:
        raise rate_limit_error(TOO_SOON, "Email rate limit exceeded", counted.reset_seconds)
