"""What owners are written. Each letter is plain text, and its link is made of our own address, never of a request's."""

from __future__ import annotations

from infra.mail.mail import Email


def token_link(base_url: str, purpose: str, token: str) -> str:
    """Return a link with a token: behind the #, which browsers keep out of requests and so of logs."""
    return f"{base_url}/#{purpose}={token}"


def password_reset_email(base_url: str, to: str, name: str, token: str) -> Email:
    """Return the letter to somebody who forgot the password."""
    text = (
        f"Somebody, you we hope, asked for another password for {to} at {base_url}.\n\n"
        f"This link sets one. It works once, within an hour:\n\n  {token_link(base_url, 'reset', token)}\n\n"
        f"Its token alone, for POST {base_url}/api/auth/password/reset:\n\n  {token}\n\n"
        "If it was not you, you need not do anything: nothing has changed.\n"
    )
    return Email(to, "Another password", text, name)


def invitation_email(base_url: str, to: str, token: str) -> Email:
    """Return the letter to somebody who is invited."""
    text = (
        f"You are invited to {base_url}.\n\n"
        f"This link lets you register as {to}. It works once, within 7 days:\n\n"
        f"  {token_link(base_url, 'invitation', token)}\n\n"
        f"Its token alone, for POST {base_url}/api/auth/register:\n\n  {token}\n"
    )
    return Email(to, "An invitation", text)


def trial_email(base_url: str, to: str) -> Email:
    """Return the letter of a trial."""
    return Email(to, "LaunchDB can send mail", f"This is the trial mail that was asked for at {base_url}.\n")
