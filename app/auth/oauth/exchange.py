"""The two things that are asked of a provider: to let people say who they are, and afterwards who that was."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from app.auth.oauth import accounts, id_tokens
from app.auth.oauth.documents import Metadata
from infra.errors import Refused
from infra.outbound import http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.auth.oauth.accounts import ExternalAccount
    from app.auth.oauth.documents import ProviderDocuments
    from app.auth.oauth.kinds import ProjectProvider

# What only we may say to the provider; the rest of a request's query is handed on, such as `prompt` or `login_hint`.
OURS = frozenset(
    {"client_id", "redirect_uri", "response_type", "response_mode", "state", "nonce", "scope", "code_challenge",
     "code_challenge_method", "request", "request_uri", "claims", "client_secret", "registration", "apikey",
     "provider", "redirect_to", "scopes", "skip_http_redirect", "invite_token"}
)  # fmt: skip
HANDED_ON_MAX, LONGEST = 20, 2000


class ProviderError(Refused):
    """The provider said no, in its own words."""


@dataclass(frozen=True)
class Handshake:
    """What one sign-in is recognised by at the provider, and by us when it comes back. Nobody can guess any of it."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)


@dataclass(frozen=True)
class Exchange:
    """One project's dealings with one provider. callback: where the provider sends people back to."""

    documents: ProviderDocuments
    provider: ProjectProvider
    callback: str

    def authorization_url(self, handshake: Handshake, scopes: str, query: Mapping[str, str]) -> str:
        """Return where people say who they are.

        scopes  asked for besides the usual ones
        query   of the request, of which the provider is told what is not ours to say

        Raises Refused, Unavailable.
        """
        metadata = self._metadata()
        more = {name: value[:LONGEST] for name, value in query.items() if name not in OURS and value}
        given: dict[str, str] = dict(list(more.items())[:HANDED_ON_MAX])
        if self.provider.kind.form_post:
            given["response_mode"] = "form_post"
        if metadata.jwks_uri:
            given["nonce"] = handshake.nonce
        with self._session("", metadata, scopes=self.provider.scopes(scopes)) as session:
            url, _ = session.create_authorization_url(
                metadata.authorization_endpoint, state=handshake.state, code_verifier=handshake.verifier, **given
            )
        return str(url)

    def account(
        self, code: str, handshake: Handshake, *, now: float, issuer: str = "", user: str = ""
    ) -> ExternalAccount:
        """Return whose account it was, by the code that the provider sent.

        issuer  who the provider says that it is, where it does
        user    what Apple tells of a person's name, once

        Raises ProviderError, Refused, Unavailable.
        """
        metadata = self._metadata()
        if metadata.names_issuer and issuer.rstrip("/") != metadata.issuer:
            raise ProviderError("the answer is another provider's")
        with self._session(id_tokens.client_secret(self.provider, now), metadata) as session:
            try:
                got = session.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=handshake.verifier,
                )
            except OAuthError as error:
                raise ProviderError(f"Unable to exchange external code ({_said(error)})") from error
            except (ValueError, TypeError) as error:
                raise Refused("the provider's answer is no token") from error
            return self._account(session, metadata, dict(got), handshake, now, user)

    def _account(
        self,
        session: OAuth2Session,
        metadata: Metadata,
        got: dict[str, Any],
        handshake: Handshake,
        now: float,
        user: str,
    ) -> ExternalAccount:
        tokens = {name: _text(got.get(name)) for name in ("access_token", "refresh_token")}
        if self.provider.kind.endpoints is not None:
            return self._plain_account(session, tokens)
        claims = id_tokens.verified(
            self.documents,
            self.provider,
            _text(got.get("id_token")),
            id_tokens.Expected(
                (self.provider.settings.client_id,),
                self.provider.settings.client_id,
                handshake.nonce,
                tokens["access_token"],
            ),
            now,
        )
        if metadata.userinfo_endpoint and "email" not in claims:
            more = http.decoded(session.get(metadata.userinfo_endpoint))
            if isinstance(more, dict) and more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
        return accounts.account_of_claims(self.provider, _with_name(claims, user), **tokens)

    def _plain_account(self, session: OAuth2Session, tokens: dict[str, str]) -> ExternalAccount:
        _, _, user, addresses = self.provider.kind.endpoints or ("", "", "", "")
        found = http.decoded(session.get(f"{self.provider.api}{user}"))
        if not isinstance(found, dict):
            raise Refused("the provider does not say who this is")
        if not addresses:
            return accounts.account_of_gitlab(self.provider, found, **tokens)
        listed = http.decoded(session.get(f"{self.provider.api}{addresses}"))
        return accounts.account_of_github(self.provider, found, listed, **tokens)

    def _metadata(self) -> Metadata:
        paths = self.provider.kind.endpoints
        if paths is None:
            return self.documents.metadata(self.provider)
        issuer = self.provider.issuer
        return Metadata(issuer, f"{issuer}{paths[0]}", f"{issuer}{paths[1]}", jwks_uri="", basic=False)

    @contextmanager
    def _session(self, secret: str, metadata: Metadata, *, scopes: str | None = None) -> Iterator[OAuth2Session]:
        with (
            http.translate_errors(),
            OAuth2Session(
                self.provider.settings.client_id,
                secret,
                token_endpoint_auth_method="client_secret_basic" if metadata.basic else "client_secret_post",
                scope=scopes,
                redirect_uri=self.callback,
                code_challenge_method="S256",
            ) as session,
        ):
            self.documents.outbound.equip(session)
            session.headers["Accept"] = "application/json"
            yield session


def _with_name(claims: dict[str, Any], user: str) -> dict[str, Any]:
    """Return the claims with the name that Apple sends beside them, in JSON, when somebody comes for the first time."""
    try:
        found = json.loads(user)["name"] if user else {}
        parts = [found[part] for part in ("firstName", "lastName") if isinstance(found.get(part), str)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        parts = []
    name = " ".join(filter(None, (part.strip() for part in parts)))[: accounts.TEXT_MAX]
    return {"name": name, **claims} if name else claims


def _said(error: OAuthError) -> str:
    return str(error.error or "refused")[:100]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
