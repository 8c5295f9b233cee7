"""The one place where the names of a project's database, roles and instance are made: from its opaque id only."""

from __future__ import annotations

from typing import Literal

from catalog.ids import is_project_id
from infra.postgres.role_names import ProjectRoles

# What lies beside a project's database: a restore under way, a trial of a backup, what was there before a restore.
StagingUse = Literal["restored", "trial", "before"]
STAGING_USES: tuple[StagingUse, ...] = ("restored", "trial", "before")

# A project's secrets, by name; each login's password has its own, see `password`.
JWT_SECRET, ANON_KEY, SERVICE_KEY = "jwt_secret", "anon_key", "service_role_key"
# What Auth seals its letters with, for the worker that sends them.
MAIL_KEY = "mail_key"
# The key that users' tokens are signed with, where that is not the JWT secret.
SIGNING_KEY = "signing_key"


def database(project_id: str) -> str:
    """Name the project's database. Raises ValueError for what is no project id."""
    return _checked(project_id)


def staging(project_id: str, use: StagingUse) -> str:
    """Name a database that stands beside the project's: restored into, or kept from before. Raises ValueError."""
    return f"{_checked(project_id)}_{use}"


def instance(project_id: str) -> str:
    """Name the project's data-API instance. Raises ValueError for what is no project id."""
    return _checked(project_id)


def roles(project_id: str) -> ProjectRoles:
    """Name the project's roles. Raises ValueError for what is no project id."""
    return ProjectRoles(_checked(project_id))


def password(role: str) -> str:
    """Name the secret that holds a login's password."""
    return f"password:{role.rpartition('_')[2]}"


def _checked(project_id: str) -> str:
    # Names become identifiers of the whole cluster: whatever came from outside is looked at here once more.
    if not is_project_id(project_id):
        raise ValueError("not a project id")
    return project_id
