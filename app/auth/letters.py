"""What Auth writes to people: which letter, to whom, what stands in it, and who sees to it that it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from app.auth.serve.project import AuthProject

# As project settings name their templates.
LetterKind = Literal["confirmation", "recovery", "magic_link", "invite", "email_change", "reauthentication"]


@dataclass(frozen=True)
class AuthLetter:
    """What a letter is about, before it is put into words.

    token       the code that people type
    token_hash  what stands in the link
    url         the link; nothing for a letter that holds only a code
    email       the user's address, which is not `to` when it is another that is to be confirmed
    data        the user's own metadata
    user_id     whose letter it is; "" for a void one
    void        nobody gets it: it is written for an address that nobody has, so that this takes as long
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
    user_id: str = ""
    void: bool = False


@dataclass(frozen=True)
class RenderedLetter:
    """A letter in the words of the project's templates, as a mail server takes it.

    seconds  how long it is of use
    about    what it was made of
    """

    to: str
    subject: str
    html: str = field(repr=False)
    text: str = field(repr=False)
    seconds: int
    about: AuthLetter

    @property
    def void(self) -> bool:
        """Whether nobody gets it: the same is to be done, and nothing sent."""
        return self.about.void


class Letters(Protocol):
    """Whoever sees to it that letters are sent."""

    def send(self, project: AuthProject, letter: RenderedLetter) -> None:
        """Have the letter sent, without waiting for it.

        A void one is to cost the same time, and goes nowhere. How many are sent is counted before: not here.

        Raises Unavailable when it cannot be kept for sending, AuthError for what its address is refused for.
        """
