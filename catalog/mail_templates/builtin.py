"""The letters of projects that have none of their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """Subject, HTML and text of a letter."""

    subject: str
    html: str
    text: str


def _letter(subject: str, said: str, button: str, after: str) -> BuiltIn:
    """Return a letter with a link and, for those who read it elsewhere, the code."""
    html = (
        f"<h2>{subject}</h2>\n"
        f"<p>{said}</p>\n"
        f'<p><a href="{{{{ .ConfirmationURL }}}}">{button}</a></p>\n'
        "<p>Or type this code: <strong>{{ .Token }}</strong></p>\n"
        f"<p>{after}</p>\n"
    )
    text = f"{said}\n\n{button}:\n{{{{ .ConfirmationURL }}}}\n\nOr type this code: {{{{ .Token }}}}\n\n{after}\n"
    return BuiltIn(subject, html, text)


_NOT_YOU = "If this was not you, nothing has to be done: without this letter nothing happens."
_REAUTHENTICATE = "Somebody who is signed in to your account wants to change what keeps it safe."
BUILT_IN = {
    "confirmation": _letter(
        "Confirm your address", "An account was made with {{ .Email }}.", "Confirm the address", _NOT_YOU
    ),
    "recovery": _letter(
        "Reset your password", "A new password was asked for {{ .Email }}.", "Choose a new password", _NOT_YOU
    ),
    "magic_link": _letter("Your link to sign in", "This link signs {{ .Email }} in, once.", "Sign in", _NOT_YOU),
    "invite": _letter(
        "You are invited",
        "You are invited to {{ .SiteURL }}.",
        "Take the invitation",
        "If you did not expect it, leave it.",
    ),
    "email_change": _letter(
        "Confirm your new address",
        "{{ .NewEmail }} is to take the place of {{ .Email }}.",
        "Confirm the change",
        "If this was not you, do not follow the link, and change your password.",
    ),
    "reauthentication": BuiltIn(
        "Your code: {{ .Token }}",
        f"<h2>Your code</h2>\n<p>{_REAUTHENTICATE} It takes this code:</p>\n<p><strong>{{{{ .Token }}}}</strong></p>\n"
        "<p>If this was not you, tell nobody the code, and change your password.</p>\n",
        f"{_REAUTHENTICATE} It takes this code:\n\n{{{{ .Token }}}}\n\n"
        "If this was not you, tell nobody the code, and change your password.\n",
    ),
}
