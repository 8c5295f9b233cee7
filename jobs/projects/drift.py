"""In what a project differs, outside, from what the catalogue says it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog import names
from catalog.settings import effective
from jobs.projects import pooling
from jobs.projects.data_plane import auth_spec, limits, spec, standing_passwords, storage_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.secrets import ScopeSecrets
    from catalog.settings_model import ProjectSettings
    from infra.composition import Infra
    from infra.instances.instances import InstanceSnapshot, InstanceSpec
    from infra.pooler.pooler import PoolerEntry
    from infra.postgres.databases import ServerSurvey


@dataclass(frozen=True)
class WantedProject:
    """A project as the catalogue knows it.

    settings   what is kept of them
    read_only  it is over its quota
    kept_out   logins that may begin no session for now
    """

    id: str
    status: str
    pool_size: int
    settings: dict[str, Any] = field(default_factory=dict)
    read_only: bool = False
    kept_out: frozenset[str] = frozenset()

    @property
    def closed(self) -> bool:
        """Whether nobody may log in."""
        return self.status == "paused"

    @property
    def served(self) -> bool:
        """Whether it has a data API now."""
        return self.status == "active"


def differences(
    infra: Infra,
    seen: ServerSurvey,
    project: WantedProject,
    known: ScopeSecrets,
    *,
    served: Mapping[str, PoolerEntry] | None = None,
    instances: InstanceSnapshot | None = None,
) -> list[str]:
    """Return in words in what a project differs from what it has to be; nothing when all is right.

    seen       the look at its database and roles
    known      its stored secrets
    served     what the pooler serves; None when nobody could ask it
    instances  the look at all data APIs; None: they are asked for this one

    Raises Unavailable.
    """
    roles = names.roles(project.id)
    needed = {names.JWT_SECRET, *(names.password(login) for login in roles.logins)}
    if needed - set(known):
        return [f"project {project.id}: stored secrets are missing"]
    chosen = effective(project.settings, infra.settings)
    databases = infra.databases.with_limits(limits(chosen, read_only=project.read_only, kept_out=project.kept_out))
    passwords = standing_passwords(seen, project.id, known)
    found = databases.differences(seen, roles, passwords, closed=project.closed)
    if served is not None and infra.pooler.exists:
        entry = pooling.pooler_entry(infra, names.database(project.id), project.pool_size, chosen)
        found += pooling.differences(served, entry, closed=project.closed)
    wanted = spec(infra, project.id, known, chosen, pool_size=project.pool_size, read_only=project.read_only)
    found += _faults_of_instance(instances or infra.instances, project, wanted)
    found += _faults_of_auth(infra, project, known, chosen)
    return found + _faults_of_storage(infra, project, known, chosen)


def _faults_of_storage(infra: Infra, project: WantedProject, known: ScopeSecrets, chosen: ProjectSettings) -> list[str]:
    if not project.served:
        exists = infra.storage.exists(project.id)
        return [f"Storage {project.id}: a {project.status} project is served"] if exists else []
    fault = infra.storage.fault(storage_spec(infra, project.id, known, chosen))
    return [f"Storage {project.id}: {fault}"] if fault else []


def _faults_of_auth(infra: Infra, project: WantedProject, known: ScopeSecrets, chosen: ProjectSettings) -> list[str]:
    if not project.served:
        return [f"Auth {project.id}: a {project.status} project is served"] if infra.auth.exists(project.id) else []
    if names.MAIL_KEY not in known:
        return [f"Auth {project.id}: it has no key for its letters"]
    fault = infra.auth.fault(auth_spec(infra, project.id, known, chosen))
    return [f"Auth {project.id}: {fault}"] if fault else []


def _faults_of_instance(instances: InstanceSnapshot, project: WantedProject, wanted: InstanceSpec) -> list[str]:
    instance = names.instance(project.id)
    if not project.served:
        return [f"instance {instance}: a {project.status} project is served"] if instances.exists(instance) else []
    fault = instances.fault(wanted)
    return [f"instance {instance}: {fault}"] if fault else []
