"""Access tokens of a project's users: which claims they have, and by which key they are signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.secrets import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.auth.serve.project import AuthProject

AUDIENCE = "authenticated"


def access_claims(
    project: AuthProject,
    user: Mapping[str, Any],
    *,
    session_id: str,
    aal: str,
    amr: Sequence[Mapping[str, Any]],
    now: int,
) -> dict[str, Any]:
    """Return the claims of a user's access token. user: a row of auth.users; now: in seconds of the epoch."""
    role = user["role"] or AUDIENCE
    return {
        "iss": project.issuer,
        "sub": str(user["id"]),
        "aud": user["aud"] or AUDIENCE,
        "exp": now + project.settings.access_token_seconds,
        "iat": now,
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "role": role,
        "db_role": project.spec.roles.get(role, project.spec.roles["authenticated"]),
        "aal": aal,
        "amr": list(amr),
        "session_id": session_id,
        "is_anonymous": user["is_anonymous"],
    }


def sign_access(project: AuthProject, claims: dict[str, Any]) -> str:
    """Return the token of these claims, signed by the project's key in force."""
    return tokens.sign_token(claims, project.spec.signing_key)
