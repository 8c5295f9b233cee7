"""A letter with a link or a code: its token is kept, and what it says is made. It is sent once that has committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

from app.auth.letters import AuthLetter, LetterKind
from app.auth.mailing.codes import hash_of, make_code
from app.auth.store import flow_states, one_time_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.auth.pkce import Challenge
    from app.auth.serve.call import AuthCall
    from app.auth.serve.project import AuthProject
    from app.auth.store.one_time_tokens import TokenType
    from infra.postgres.database import Transaction


@dataclass(frozen=True)
class Writing:
    """What a kind of letter is made of.

    verify  the type that its link names; nothing for one that holds only a code
    method  by which somebody is signed in who followed it, as flows of PKCE name it
    """

    token_type: TokenType
    verify: str
    method: str


WRITINGS: Mapping[LetterKind, Writing] = {
    "confirmation": Writing("confirmation_token", "signup", "email/signup"),
    "invite": Writing("confirmation_token", "invite", "invite"),
    "recovery": Writing("recovery_token", "recovery", "recovery"),
    "magic_link": Writing("recovery_token", "magiclink", "magiclink"),
    "email_change": Writing("email_change_token_new", "email_change", "email_change"),
    "reauthentication": Writing("reauthentication_token", "", ""),
}
# By which flow a link is finished: the types of links, and the methods of flows.
METHODS = {one.verify: one.method for one in WRITINGS.values() if one.verify}


@dataclass(frozen=True)
class Way:
    """Where a letter leads.

    redirect_to  where people are sent after its link
    challenge    of the flow with PKCE that it belongs to
    durable      whether what is written beside it has to outlive a crash of the server
    """

    redirect_to: str
    challenge: Challenge | None = None
    durable: bool = False


def write(
    call: AuthCall, tx: Transaction, kind: LetterKind, user: Mapping[str, Any] | None, email: str, way: Way
) -> AuthLetter:
    """Keep a token for the user and return its letter to this address, to be posted after the commit.

    user  None writes a void letter in the same time: to an address that nobody has
    """
    begin_flow(call, tx, kind, user, way)
    return _written(call, tx, kind, WRITINGS[kind].token_type, user, to=email, way=way)


def write_email_change(
    call: AuthCall,
    tx: Transaction,
    user: Mapping[str, Any] | None,
    new_email: str,
    way: Way,
    *,
    only: Literal["new", "current"] | None = None,
) -> list[AuthLetter]:
    """Keep tokens for a change of address; return the letters: to the new one and, where that is set, the one before.

    user  their row, which waits for the new address; None writes void letters in the same time
    only  write this one alone, and let the other's token be
    """
    begin_flow(call, tx, "email_change", user, way)
    current = str(user["email"] if user is not None else new_email)
    targets: list[tuple[TokenType, str]] = []
    if only != "current":
        targets.append(("email_change_token_new", new_email))
    if only == "current" or (only is None and is_secure_change(call.project, user)):
        targets.append(("email_change_token_current", current))
    elif only is None:
        one_time_tokens.drop(tx, str(user["id"] if user else uuid4()), "email_change_token_current")
    return [_written(call, tx, "email_change", token_type, user, to=to, way=way) for token_type, to in targets]


def idle(tx: Transaction) -> None:
    """Spend the round trip that something for a known user would cost."""
    tx.execute("SELECT 1")


def is_secure_change(project: AuthProject, user: Mapping[str, Any] | None) -> bool:
    """Return whether another address of this user has to be confirmed from the one before too."""
    return project.settings.secure_email_change and (user is None or bool(user["email"]))


def begin_flow(call: AuthCall, tx: Transaction, kind: LetterKind, user: Mapping[str, Any] | None, way: Way) -> None:
    """Begin the flow of PKCE that a letter belongs to, if it belongs to one."""
    if way.challenge is not None:
        method = WRITINGS[kind].method
        flow_states.create(
            tx,
            provider_type="email" if kind == "confirmation" else method,
            authentication_method=method,
            now=call.services.clock(),
            challenge=way.challenge,
            user_id=str(user["id"]) if user is not None else str(uuid4()),
        )


def link(project: AuthProject, verify: str, token_hash: str, redirect_to: str) -> str:
    """Return the address that a letter leads to. Its host is the project's, whatever a request says."""
    members = {"token": token_hash, "type": verify, **({"redirect_to": redirect_to} if redirect_to else {})}
    return f"{project.issuer}/verify?{urlencode(members)}"


def _written(  # noqa: PLR0913 - what a letter is made of
    call: AuthCall,
    tx: Transaction,
    kind: LetterKind,
    token_type: TokenType,
    user: Mapping[str, Any] | None,
    *,
    to: str,
    way: Way,
) -> AuthLetter:
    project, known = call.project, user or {}
    code = make_code(project.settings.otp_length)
    token_hash = hash_of(to, code, pkce=way.challenge is not None)
    whose = str(known.get("id") or uuid4())
    token = one_time_tokens.NewToken(whose, token_type, token_hash, to, kind == "invite", way.durable)
    one_time_tokens.put(tx, token, now=call.services.clock())
    verify = WRITINGS[kind].verify
    return AuthLetter(
        kind=kind,
        to=to,
        token=code,
        token_hash=token_hash,
        url=link(project, verify, token_hash, way.redirect_to) if verify else "",
        redirect_to=way.redirect_to,
        email=known.get("email") or to,
        new_email=known.get("email_change") or "",
        data=known.get("raw_user_meta_data") or {},
        user_id=str(known["id"]) if known else "",
        void=user is None,
    )
