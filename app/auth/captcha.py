"""Whether it is a person who asks: hCaptcha or Turnstile has to say so, where a project has set one of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.auth.errors import AuthError
from app.auth.serve import admission
from infra.errors import Refused, Unavailable

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall

log = logging.getLogger(__name__)
VERIFY_URLS = {
    "hcaptcha": "https://hcaptcha.com/siteverify",
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
}
# Who trades these for a session has been asked when it began.
_FREE_GRANTS = frozenset({"refresh_token", "pkce"})
TOKEN_MAX = 8192


def ensure_person(call: AuthCall) -> None:
    """Raise AuthError unless the project's captcha was solved, where it has one. The service role is not asked."""
    provider = call.project.settings.captcha_provider
    if not provider or call.query.get("grant_type") in _FREE_GRANTS or admission.bears_service_role(call):
        return
    said = (call.members("gotrue_meta_security") or {}).get("captcha_token")
    token = said.strip() if isinstance(said, str) else ""
    if not token or len(token) > TOKEN_MAX:
        raise _refused("no captcha_token found")
    answer = _asked(call, provider, token)
    if answer.get("success") is not True:
        codes = answer.get("error-codes")
        raise _refused(", ".join(map(str, codes))[:200] if isinstance(codes, list) else "")


def _asked(call: AuthCall, provider: str, token: str) -> dict[str, object]:
    secret = call.project.spec.secrets.get("captcha_secret", "")
    form = {"secret": secret, "response": token, "remoteip": call.address}
    try:
        found = call.services.oauth.outbound.post_form(VERIFY_URLS[provider], form)
    except (Refused, Unavailable) as error:
        log.warning("a captcha could not be checked", extra={"project_id": call.project.id, "error": str(error)})
        raise AuthError(500, "unexpected_failure", "captcha verification process failed") from error
    return found if isinstance(found, dict) else {}


def _refused(why: str) -> AuthError:
    return AuthError(400, "captcha_failed", f"captcha protection: request disallowed ({why})")
