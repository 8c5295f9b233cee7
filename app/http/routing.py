"""A route is declared once: method, path, who may, what goes in and out. Flask and OpenAPI both read that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from app.http.models import NoQueryParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from app.http.caller import Caller
    from app.http.context import AppContext
    from infra.postgres.database import Transaction

Who = Literal["anyone", "owner", "operator"]
# What a personal token may be made for; the last one never: it takes who knows the password.
Scope = Literal["read", "write", "operate", "sign-in"]
SIGN_IN: Scope = "sign-in"
Limit = Literal["api", "sign_in", "none"]


@dataclass
class Call:
    """One request, understood: who asks, with what body and query, and where from."""

    world: AppContext
    caller: Caller | None
    body: Any
    query: Any
    address: str
    request_id: str

    @property
    def owner_id(self) -> str:
        """The owner who asks; only routes that are not for anyone have one."""
        if self.caller is None:
            raise RuntimeError("this route is for anyone")
        return self.caller.owner_id


@dataclass(frozen=True)
class ViewResponse:
    """What a view answers.

    job_id   the job that was begun: `Prefer: wait` waits for it
    project_id  the project concerned, for the audit
    once     members shown in the first answer only, never in a replay
    version  what the ETag is made of, when not of the body; one among the headers goes before it
    told     what the audit says beside the path: never a secret
    """

    body: dict[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    job_id: str | None = None
    project_id: str | None = None
    once: Mapping[str, Any] = field(default_factory=dict)
    version: Any = None
    told: Mapping[str, Any] = field(default_factory=dict)


View = Callable[..., Any]  # a ViewResponse, or a Response that streams
Final = Callable[["Call", "Transaction", "ViewResponse"], "ViewResponse"]


@dataclass(frozen=True)
class Operation:
    """A declared route.

    action    what the audit calls it; given for whatever changes something
    keyed     takes an Idempotency-Key: the view gets the open transaction that key, change and audit row share
    final     makes the answer of a job that succeeded while the client waited
    answers   model of the body by status; None: no body
    scope     what a personal token needs, where method and `who` do not tell it
    """

    method: str
    rule: str
    name: str
    summary: str
    view: View
    who: Who
    answers: Mapping[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    query: type[BaseModel] = NoQueryParameters
    limit: Limit = "api"
    action: str = ""
    keyed: bool = False
    final: Final | None = None
    media_type: str = "application/json"
    scope: Scope | None = None

    @property
    def needs(self) -> Scope:
        """Return the scope that a personal token needs here."""
        if self.scope is not None:
            return self.scope
        if self.who == "operator":
            return "operate"
        return "read" if self.method == "GET" else "write"

    @property
    def route(self) -> str:
        """Method and rule: what idempotency keys and metrics are counted by."""
        return f"{self.method} {self.rule}"


class Routes:
    """The routes of one noun, in the order in which they are declared."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.operations: list[Operation] = []

    def route(self, method: str, rule: str, **declared: Any) -> Callable[[View], View]:
        """Declare a route; the rest are fields of Operation."""

        def declare(view: View) -> View:
            summary = (view.__doc__ or "").strip().partition("\n")[0]
            name = f"{self.noun}.{view.__name__}"
            self.operations.append(Operation(method, rule, name, summary, view, **declared))
            return view

        return declare

    def get(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Declare a route that changes nothing."""
        return self.route("GET", rule, **declared)

    def change(self, method: str, rule: str, *, action: str, **declared: Any) -> Callable[[View], View]:
        """Declare a route that changes something, once per Idempotency-Key: its view also gets the transaction."""
        return self.route(method, rule, action=action, keyed=True, **declared)
