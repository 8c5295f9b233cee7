"""In what a project differs, outside, from what the catalogue says it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog import names
from catalog.settings import effective
from jobs.data_plane import limits, spec, standing_passwords

if TYPE_CHECKING:
    from catalog.secrets import Known
    from catalog.settings_model import ProjectSettings
    from infra.composition import Infra
    from infra.databases import Survey

# A project in another state is being changed by a job, which sees to it.
SETTLED = ("active", "paused", "sleeping")


@dataclass(frozen=True)
class Wanted:
    """A project as the catalogue knows it. settings: what is kept of them."""

    id: str
    status: str
    pool_size: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether nobody may log in."""
        return self.status == "paused"

    @property
    def served(self) -> bool:
        """Whether it has a data API now."""
        return self.status == "active"


def faults(infra: Infra, seen: Survey, project: Wanted, known: Known) -> list[str]:
    """Say in words in what a project differs from what it has to be; nothing when all is right.

    seen   the look at its database and roles
    known  its stored secrets
    """
    roles = names.roles(project.id)
    needed = {names.JWT_SECRET, *(names.password(login) for login in roles.logins)}
    if needed - set(known):
        return [f"project {project.id}: stored secrets are missing"]
    chosen = effective(project.settings, infra.settings)
    databases = infra.databases.limited(limits(chosen))
    passwords = standing_passwords(seen, project.id, known)
    found = databases.faults(seen, roles, passwords, closed=project.closed)
    return found + _faults_of_instance(infra, project, known, chosen)


def _faults_of_instance(infra: Infra, project: Wanted, known: Known, chosen: ProjectSettings) -> list[str]:
    instance = names.instance(project.id)
    if not project.served:
        return (
            [f"instance {instance}: a {project.status} project is served"] if infra.instances.exists(instance) else []
        )
    if infra.instances.serves(spec(infra, project.id, known, chosen, pool_size=project.pool_size)):
        return []
    missing = not infra.instances.exists(instance)
    return [f"instance {instance}: {'it is missing' if missing else 'its configuration was changed'}"]
