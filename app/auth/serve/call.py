"""One request to Auth as views see it, what they answer, and how they are declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from app.auth.errors import AuthError, validation_error
from app.auth.json_values import ensure_storable, is_storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.auth.serve.project import AuthProject
    from app.auth.serve.services import AuthServices

# open: nobody is asked; key: an API key admits; user: the token of a signed-in user; admin: that of the service role.
Access = Literal["open", "key", "user", "admin"]
SERVICE_ROLE = "service_role"


@dataclass(frozen=True)
class AuthCall:
    """One request.

    services  what all projects share in this process: password hashing, limits, mail, time
    path      the values of the rule's variables
    query     the first value of each parameter
    body      the JSON object that came, {} without one
    claims    those of the verified Authorization; {} where access is open, or key and nobody signed in
    address   of the client
    """

    project: AuthProject
    services: AuthServices
    method: str
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    claims: Mapping[str, Any]
    address: str
    user_agent: str

    @property
    def is_service(self) -> bool:
        """Whether the caller bears the service role."""
        return self.claims.get("role") == SERVICE_ROLE

    def text(self, name: str, *, default: str = "") -> str:
        """Return a member of the body that has to be a text; null counts as left out. Raises AuthError."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} must be a string")
        if not is_storable(value):
            raise validation_error(f"{name} holds characters that cannot be stored")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a member of the body that has to be true or false. Raises AuthError."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} must be a boolean")
        return value

    def members(self, name: str) -> dict[str, Any] | None:
        """Return a member of the body that has to be an object, or None when it was left out. Raises AuthError."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise AuthError(400, "bad_json", f"Could not parse request body as JSON: {name} must be an object")
        ensure_storable(value, name)
        return value

    def ensure_types(
        self, *, texts: Sequence[str] = (), flags: Sequence[str] = (), objects: Sequence[str] = ()
    ) -> None:
        """Raise AuthError when one of these members is of another type, whether or not it will be needed."""
        for read, names in ((self.text, texts), (self.flag, flags), (self.members, objects)):
            for name in names:
                read(name)


@dataclass(frozen=True)
class AuthAnswer:
    """What a view answers: a JSON body, or nothing (204, or a redirect by the header Location)."""

    body: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class AuthRoute:
    """One route below a project's Auth.

    path     as werkzeug's rules are written, such as `/admin/users/<user_id>`
    form     whether its body is a form, as browsers send it, instead of JSON
    captcha  whether a person has to ask, where the project wants to know
    """

    method: str
    path: str
    access: Access
    view: Callable[[AuthCall], AuthAnswer]
    form: bool = False
    captcha: bool = False
