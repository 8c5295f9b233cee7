"""The roles of one project and those that all projects share, by the part each plays."""

from __future__ import annotations

from dataclasses import dataclass

SHARED_ANON, SHARED_AUTHENTICATED, SHARED_SERVICE = "anon", "authenticated", "service_role"
SHARED_OWNER = "launchdb_owner"  # grants meant for the owner of each project stand for this one in the template
PLATFORM_OWNER = "launchdb_platform"  # owns every project's database; nobody logs in as it
POOLER = "launchdb_pooler"  # what a pooler asks for logins as; without one nobody logs in as it
STAMP_OWNER = "launchdb_stamp"  # owns the schema version, which no tenant may write
TEMPLATE_PUBLIC, TEMPLATE_AUTH, TEMPLATE_STORAGE = "launchdb_tpl_public", "launchdb_tpl_auth", "launchdb_tpl_storage"
SHARED = (
    SHARED_ANON,
    SHARED_AUTHENTICATED,
    SHARED_SERVICE,
    SHARED_OWNER,
    PLATFORM_OWNER,
    STAMP_OWNER,
    TEMPLATE_PUBLIC,
    TEMPLATE_AUTH,
    TEMPLATE_STORAGE,
)


@dataclass(frozen=True)
class ProjectRoles:
    """The roles whose names begin with one project's id."""

    prefix: str

    @property
    def anon(self) -> str:
        """What a request without a user runs as."""
        return f"{self.prefix}_anon"

    @property
    def authenticated(self) -> str:
        """What a signed-in user's request runs as."""
        return f"{self.prefix}_authenticated"

    @property
    def service(self) -> str:
        """What a request with the service key runs as; row security does not apply to it."""
        return f"{self.prefix}_service"

    @property
    def owner(self) -> str:
        """What the project's owner logs in as."""
        return f"{self.prefix}_owner"

    @property
    def authenticator(self) -> str:
        """What the data API logs in as, to become one of the three."""
        return f"{self.prefix}_authenticator"

    @property
    def auth(self) -> str:
        """What Auth logs in as; owns schema auth."""
        return f"{self.prefix}_auth"

    @property
    def storage(self) -> str:
        """What Storage logs in as; owns schema storage."""
        return f"{self.prefix}_storage"

    @property
    def dump(self) -> str:
        """What backups log in as: reads everything, row security included."""
        return f"{self.prefix}_dump"

    @property
    def restore(self) -> str:
        """What a backup is restored as: for that time a member of all others. It is there for no longer."""
        return f"{self.prefix}_restore"

    @property
    def upgrade(self) -> str:
        """What our own files are applied as, with a role for each part; it is there for no longer than one takes."""
        return f"{self.prefix}_upgrade"

    @property
    def api(self) -> tuple[str, ...]:
        """The roles that requests run as; none of them can log in."""
        return self.anon, self.authenticated, self.service

    @property
    def logins(self) -> tuple[str, ...]:
        """The roles with a password."""
        return self.owner, self.authenticator, self.auth, self.storage, self.dump

    @property
    def all(self) -> tuple[str, ...]:
        """Every role of the project."""
        return (*self.api, *self.logins)
