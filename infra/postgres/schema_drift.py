"""What is ours inside a project's database: compared with the project's template, put back where that is safe.

Nothing of the tenant's is ever dropped, and nothing that a tenant wrote is run: this is catalogue work.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.postgres.database import is_transient
from infra.postgres.role_names import SHARED, TEMPLATE_AUTH, TEMPLATE_PUBLIC, TEMPLATE_STORAGE
from infra.postgres.sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.postgres.cluster import Cluster, Session
    from infra.postgres.role_names import ProjectRoles
    from infra.postgres.template import Templates

SQL = statements(__file__)
# Each project's roles by the part they play, so that a project can be compared with its template.
OWNER, AUTH, STORAGE = "<owner>", "<auth>", "<storage>"
OF_TEMPLATE = {TEMPLATE_PUBLIC: OWNER, TEMPLATE_AUTH: AUTH, TEMPLATE_STORAGE: STORAGE}
API = ("anon", "authenticated", "service_role")
# What a project's owner is free to decide is named when it is missing, but not put back.
ITS_OWN = ("public", "extensions")
MOST_WORDS = 20
MOST_CHARACTERS = 200
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
GRANTED = ("schema", "function", "table")


@dataclass(frozen=True)
class SchemaObject:
    """An object of ours. state: what must be equal; made: its definition, where it can be made again."""

    kind: str
    name: str
    owner: str
    state: str
    made: str | None
    rights: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by."""
        return self.kind, self.name

    @property
    def label(self) -> str:
        """How people read it."""
        return f"{self.kind} {self.name}"

    @property
    def is_owners(self) -> bool:
        """Whether the project's owner decides about its rights."""
        return self.name in ITS_OWN or self.kind == "default privileges"


@dataclass(frozen=True)
class SchemaFault:
    """What differs of one thing: in words, with what puts it back, where that is safe."""

    words: str
    remedy: tuple[sql.Composed, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """One look into a database, in words.

    differences  what is not as in its template
    mistaken     the owner's things that take every request for a login which is none of the data API's
    """

    differences: list[str]
    mistaken: list[str]


class SchemaInspector:
    """Looks into databases as the administrator. `session` names the run."""

    def __init__(self, cluster: Cluster, templates: Templates) -> None:
        self._cluster, self._templates = cluster, templates

    def write_counts(self, session: str) -> dict[str, int]:
        """Return for each project's database what was ever written in it. One query, nothing is opened."""
        with self._cluster.session(session) as admin:
            return dict(admin.execute(SQL.writes).fetchall())

    def template_objects(self, name: str, session: str) -> list[dict[str, Any]] | None:
        """Return what a template holds, as JSON can keep it; None when there is no such template (any more).

        A sealed template admits nobody, so a copy is looked at.
        """
        database = sql.Identifier(f"{name}_look")
        with self._templates.locked(session) as admin:
            if not self._templates.exists(admin, name):
                return None
            admin.execute(SQL.drop.format(database=database))
            try:
                copy, revoke = SQL.copy.as_string().split("\n")
                for part in (copy, revoke):
                    text = sql.SQL(part)
                    admin.execute(text.format(database=database, template=sql.Identifier(name)))
                with self._cluster.open_in_database(f"{name}_look", session) as inside:
                    found = _look(inside, TEMPLATE_PUBLIC, OF_TEMPLATE)
            finally:
                admin.execute(SQL.drop.format(database=database))
        return [asdict(thing) for thing in [*found.values(), *_default_privileges()]]

    def differences(self, roles: ProjectRoles, wanted: list[dict[str, Any]], session: str) -> list[str]:
        """Return in words in what a project's database differs from its template. Raises Unavailable."""
        return self.inspect(roles, wanted, session).differences

    def inspect(self, roles: ProjectRoles, wanted: list[dict[str, Any]], session: str) -> Inspection:
        """Look into a project's database: in what it differs from its template, and what mistakes its logins.

        Raises Unavailable.
        """
        with self._cluster.open_in_database(roles.prefix, session) as admin:
            found = _told_shortly(self._faults(admin, roles, wanted))
            return Inspection(found, _mistaken_logins(admin))

    def heal(self, roles: ProjectRoles, wanted: list[dict[str, Any]], session: str) -> list[str]:
        """Put back what can be put back safely; say in words what differs still. Raises Unavailable."""
        with self._cluster.open_in_database(roles.prefix, session) as admin:
            healed = [_healed(admin, fault.remedy) for fault in self._faults(admin, roles, wanted) if fault.remedy]
            if any(healed):
                _attempt(admin, [SQL.stamp.format()])
            return _told_shortly(self._faults(admin, roles, wanted))

    def _faults(self, admin: Session, roles: ProjectRoles, wanted: list[dict[str, Any]]) -> list[SchemaFault]:
        parts = {OWNER: roles.owner, AUTH: roles.auth, STORAGE: roles.storage}
        found = _look(admin, roles.owner, {name: part for part, name in parts.items()})
        expected = [SchemaObject(**{**thing, "rights": tuple(thing["rights"])}) for thing in wanted]
        order = {"schema": 0, "table": 1, "function": 2, "event trigger": 3}
        expected.sort(key=lambda thing: (order.get(thing.kind, 4), thing.name))
        # What lay in a table or schema that is gone needs no word of its own.
        gone = tuple(f"{thing.name}." for thing in expected if thing.key not in found and thing.kind in GRANTED)
        told = [thing for thing in expected if thing.key in found or not thing.name.startswith(gone)]
        return [fault for thing in told for fault in _compare(thing, found.get(thing.key), parts)]


def _look(admin: Session, owner: str, parts: dict[str, str]) -> dict[tuple[str, str], SchemaObject]:
    with admin.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(SQL.look, {"owner": owner}).fetchall()
    things = [
        SchemaObject(
            **{**row, "owner": parts.get(row["owner"], row["owner"]), "rights": _parts_of(row["rights"], parts)}
        )
        for row in rows
    ]
    return {thing.key: thing for thing in things}


def _mistaken_logins(admin: Session) -> list[str]:
    """Name what asks for a login that no request has. The names are a tenant's; a template of before knows none."""
    if admin.execute(SQL.names_mistaken_logins).fetchone() == (None,):
        return []
    return [
        CONTROLS.sub(" ", f"{kind} {name}")[:MOST_CHARACTERS]
        for kind, name in admin.execute(SQL.mistaken_logins, {"most": MOST_WORDS}).fetchall()
    ]


def _parts_of(rights: Iterable[str], parts: dict[str, str]) -> tuple[str, ...]:
    pairs = [right.rpartition(":") for right in rights]
    return tuple(sorted(f"{parts.get(who, who)}:{what}" for who, _, what in pairs))


def _told_shortly(faults: list[SchemaFault]) -> list[str]:
    words = [fault.words for fault in faults]
    return words if len(words) <= MOST_WORDS else [*words[:MOST_WORDS], f"and {len(words) - MOST_WORDS} more"]


def _default_privileges() -> list[SchemaObject]:
    """What the owner's new things in schema public are open to: the template has no owner yet, so it is said here."""
    each = {
        "tables": ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"),
        "sequences": ("SELECT", "UPDATE", "USAGE"),
        "functions": ("EXECUTE",),
    }
    return [
        SchemaObject(
            "default privileges", f"of {word} in public", "", "", None, tuple(f"{w}:{p}" for w in API for p in what)
        )
        for word, what in each.items()
    ]


def _compare(thing: SchemaObject, found: SchemaObject | None, parts: dict[str, str]) -> Iterator[SchemaFault]:
    if found is None:
        yield SchemaFault(f"{thing.label}: it is missing", _made(thing, parts))
        return
    if found.made != thing.made or not _is_in(thing, found):
        yield SchemaFault(f"{thing.label}: it was changed", _remade(thing, found, parts))
    if found.owner != thing.owner:
        yield SchemaFault(f"{thing.label}: it has another owner", _owned(thing, parts))
    missing = sorted(set(thing.rights) - set(found.rights))
    if missing:
        given = () if thing.is_owners else tuple(_right(SQL.grant, thing, right, parts) for right in missing)
        yield SchemaFault(f"{thing.label}: what was granted is missing ({_told(missing)})", given)
    strange = [] if thing.is_owners else sorted(set(found.rights) - set(thing.rights))
    if strange and thing.kind in GRANTED:
        ours = "launchdb" in (thing.name, thing.name.partition(".")[0])
        taken = tuple(_right(SQL.revoke, thing, right, parts) for right in strange) if ours else ()
        yield SchemaFault(f"{thing.label}: more was granted ({_told(strange)})", taken)


def _is_in(thing: SchemaObject, found: SchemaObject) -> bool:
    """Whether the state is as wanted; row security that an owner has added is no fault."""
    return found.state == thing.state or (thing.state, found.state) == ("plain", "row security")


def _told(rights: list[str]) -> str:
    """Name rights without the names of strangers' roles."""
    known = {*SHARED, *API, OWNER, AUTH, STORAGE, "public"}
    pairs = [right.rpartition(":") for right in rights]
    return ", ".join(sorted({f"{what} to {who.strip('<>') if who in known else 'somebody'}" for who, _, what in pairs}))


def _made(thing: SchemaObject, parts: dict[str, str]) -> tuple[sql.Composed, ...]:
    if thing.made is None:
        return ()
    made = sql.Composed([sql.SQL(thing.made)])  # as the server printed it from our own template
    if thing.kind == "event trigger":
        return (made,)
    closed = SQL.revoke_all.format(kind=sql.SQL("FUNCTION"), name=_name(thing))
    granted = [_right(SQL.grant, thing, right, parts) for right in thing.rights]
    return (made, *_owned(thing, parts), closed, *granted)


def _remade(thing: SchemaObject, found: SchemaObject, parts: dict[str, str]) -> tuple[sql.Composed, ...]:
    if thing.kind == "function":
        return _made(thing, parts)[:1]
    if thing.kind == "event trigger" and found.made == thing.made:
        return (SQL.enable_event_trigger.format(name=_name(thing)),)
    if thing.kind == "event trigger":
        return (SQL.drop_event_trigger.format(name=_name(thing)), *_made(thing, parts))
    if (thing.state, found.state) == ("row security", "plain"):
        return (SQL.enable_row_security.format(name=_name(thing)),)
    return ()


def _owned(thing: SchemaObject, parts: dict[str, str]) -> tuple[sql.Composed, ...]:
    if thing.kind not in (*GRANTED, "event trigger"):
        return ()
    owner = sql.Identifier(parts.get(thing.owner, thing.owner))
    return (SQL.own.format(kind=_kind(thing), name=_name(thing), owner=owner),)


def _right(statement: sql.SQL, thing: SchemaObject, right: str, parts: dict[str, str]) -> sql.Composed:
    who, _, what = right.rpartition(":")
    grantee = sql.SQL("PUBLIC") if who == "public" else sql.Identifier(parts.get(who, who))
    privilege = sql.SQL(what)
    return statement.format(privilege=privilege, kind=_kind(thing), name=_name(thing), grantee=grantee)


def _kind(thing: SchemaObject) -> sql.SQL:
    return sql.SQL(thing.kind.upper())


def _name(thing: SchemaObject) -> sql.SQL:
    # Quoted by the server when the template was looked at: no tenant has a say in it.
    return sql.SQL(thing.name)


def _healed(admin: Session, remedy: tuple[sql.Composed, ...]) -> bool:
    return _attempt(admin, [SQL.begin.format(), *remedy])


def _attempt(admin: Session, parts: list[sql.Composed]) -> bool:
    """Do it whole or not at all; what the server refuses stays as it is and is named."""
    try:
        with admin.transaction():
            for part in parts:
                admin.execute(part)
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return False
    return True
