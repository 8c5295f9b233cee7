"""What Auth writes to people: which letter, to whom, and what stands in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from app.auth.serve.project import AuthProject

# As project settings name their templates.
LetterKind = Literal["confirmation", "recovery", "magic_link", "invite", "email_change", "reauthentication"]


@dataclass(frozen=True)
class AuthLetter:
    """One letter, not rendered yet. url: the link in it; nothing for a letter that holds only a code.

    token       the code that people type
    token_hash  what stands in the link
    """

    kind: LetterKind
    to: str
    token: str = field(repr=False)
    token_hash: str = field(repr=False)
    url: str = field(default="", repr=False)
    redirect_to: str = ""
    email: str = ""
    new_email: str = ""
    data: dict[str, Any] = field(default_factory=dict, repr=False)


class Letters(Protocol):
    """Whoever sees to it that letters are sent."""

    def send(self, project: AuthProject, letter: AuthLetter) -> None:
        """Have the letter sent, without waiting for it. Raises AuthError (429) when too many were."""
