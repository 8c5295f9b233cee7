"""In what a project differs, outside, from what the catalogue says it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog import names
from catalog.settings import effective
from jobs import pooling
from jobs.data_plane import limits, spec, standing_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.secrets import Known
    from catalog.settings_model import ProjectSettings
    from infra.composition import Infra
    from infra.databases import Survey
    from infra.pooler import Entry

# A project in another state is being changed by a job, which sees to it.
SETTLED = ("active", "paused")


@dataclass(frozen=True)
class Wanted:
    """A project as the catalogue knows it. settings: what is kept of them."""

    id: str
    status: str
    pool_size: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether nobody may reach it."""
        return self.status == "paused"


def faults(
    infra: Infra, seen: Survey, project: Wanted, known: Known, served: Mapping[str, Entry] | None = None
) -> list[str]:
    """Say in words in what a project differs from what it has to be; nothing when all is right.

    seen    the look at its database and roles
    known   its stored secrets
    served  what the pooler serves; None when nobody could ask it
    """
    roles = names.roles(project.id)
    needed = {names.JWT_SECRET, *(names.password(login) for login in roles.logins)}
    if needed - set(known):
        return [f"project {project.id}: stored secrets are missing"]
    chosen = effective(project.settings, infra.settings)
    databases = infra.databases.limited(limits(chosen))
    passwords = standing_passwords(seen, project.id, known)
    found = databases.faults(seen, roles, passwords, closed=project.closed)
    if served is not None and infra.pooler.exists:
        wanted = pooling.entry(infra, names.database(project.id), project.pool_size, chosen)
        found += pooling.faults(served, wanted, closed=project.closed)
    return found + _faults_of_instance(infra, project, known, chosen)


def _faults_of_instance(infra: Infra, project: Wanted, known: Known, chosen: ProjectSettings) -> list[str]:
    instance = names.instance(project.id)
    if project.closed:
        return [f"instance {instance}: a paused project is served"] if infra.instances.exists(instance) else []
    if infra.instances.serves(spec(infra, project.id, known, chosen, pool_size=project.pool_size)):
        return []
    missing = not infra.instances.exists(instance)
    return [f"instance {instance}: {'it is missing' if missing else 'its configuration was changed'}"]
