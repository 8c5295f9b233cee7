"""A set becomes a staging database of a project, and is proven to be what was backed up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from catalog import names
from infra.backup.differences import shortened
from infra.backup.set_plan import DumpSource
from infra.errors import LoginRefused, Refused
from infra.postgres.project_staging import ProjectStaging
from infra.postgres.stand_ins import StandInRoles
from jobs.backup import backups
from jobs.projects.data_api_check import prove_by_data_api
from jobs.projects.data_plane import stored_secrets

if TYPE_CHECKING:
    from infra.backup.differences import Difference
    from infra.backup.fingerprint import Fingerprint
    from infra.backup.sets import Manifest
    from infra.backup.sql_restore import RestoreSummary
    from infra.backup.verified_set import VerifiedSet
    from jobs.engine.run import Run


@dataclass(frozen=True)
class RestoreOutcome:
    """What came of a restore.

    played   what was played of the dump
    lacking  what does not come back, in words; whoever asked has agreed to that
    remarks  what is only worth saying
    """

    played: RestoreSummary
    lacking: list[str]
    remarks: list[str]

    def report(self, run: Run[Any]) -> None:
        """Write what is to be said of it into the job's result."""
        for name, said in (("lacking", self.lacking), ("remarks", self.remarks)):
            if said:
                run.result[name] = shortened(said)


@dataclass(frozen=True)
class RestoredVersion:
    """What the database is equal to. behind: the backup is older than the template, and a migration has to follow."""

    template: str
    behind: bool

    @classmethod
    def of(cls, run: Run[Any], manifest: Manifest) -> RestoredVersion:
        """Return how a database that was restored of this compares to a new one."""
        templates = run.infra.databases.templates
        return cls(templates.name, manifest.schema < templates.version)


def restore_staging(
    run: Run[Any], source: VerifiedSet, database: str, *, project: str, mark: str | None, partial: bool = False
) -> RestoreOutcome:
    """Fill a staging database of the project with what a set holds, and prove that it holds it.

    mark     what the finished restore is known by
    partial  what cannot come back may stay away: it is named, and the rest counts

    Raises Refused naming what failed or differs; then nothing is left of it.
    """
    staging = ProjectStaging(run.infra.databases, names.roles(project), run.session)
    run.check()
    try:
        staging.create_empty(database, source.manifest.schema, without=source.contents.lacks_schemas)
        staging.drop_restorer()  # an attempt that was killed has left those who stood in
        stand_ins = StandInRoles(
            run.infra.databases.cluster, names.roles(project), run.session, of=source.manifest.scope
        )
        played = _replayed(run, source, staging, database, stand_ins)
        run.check()
        staging.settle(database)
        restored = _judged(played, compare(run, source, database, project, stand_ins), partial=partial)
        restored.remarks.extend(stand_ins.drop(database))
        restored.remarks.extend([*source.contents.left_out, *source.file_remarks])
        restored.remarks.extend(
            f"schema {schema}: it was gone; it is there as in a new project" for schema in sorted(_anew(source))
        )
        if mark is not None:
            staging.set_mark(database, mark)
    except BaseException:
        drop_staging(run, database, project=project)
        raise
    return restored


def _judged(played: RestoreSummary, found: list[Difference], *, partial: bool) -> RestoreOutcome:
    """Raise Refused, naming it, for what of the differences is a fault."""
    remarks = [str(each) for each in found if each.remark]
    lacking = [*played.failures, *(str(each) for each in found if each.lacking)]
    wrong = [str(each) for each in found if not (each.remark or each.lacking)]
    if wrong or (lacking and not (partial or played.failures)):
        said = shortened([*wrong, *lacking])
        raise Refused(f"the restored database differs from what was backed up: {'; '.join(said)}")
    if lacking and not partial:
        raise Refused(
            f"it does not come back whole: {'; '.join(shortened(lacking))}. Everything else does: to have that, restore"
            " it partially (--partial, or partial: true)"
        )
    return RestoreOutcome(played, lacking, remarks)


def compare(
    run: Run[Any], source: VerifiedSet, database: str, project: str, stand_ins: StandInRoles | None = None
) -> list[Difference]:
    """Return in what a database differs from what was backed up. Raises Unavailable."""
    login = names.roles(project).dump
    uri = run.infra.databases.uri(database, login, stored_secrets(run)[names.password(login)])
    restored = DumpSource(run.infra.databases.cluster, uri, run.session, project)
    known = stand_ins.stands_for if stand_ins else None
    return source.compare(restored, stand_ins=known, without=_anew(source), check=run.check)


def _anew(source: VerifiedSet) -> set[str]:
    """Return which of the platform's schemas the project had lost: without them it cannot be served."""
    return source.contents.lacks_schemas - {"public"}


def check_staging(run: Run[Any], contents: Fingerprint, database: str, project: str) -> int:
    """Go the data API's way in a staging database: log in, write as each of its roles, leave nothing.

    Then ask it by HTTP; return how many tables were counted so. Raises Refused, Unavailable.
    """
    roles, known = names.roles(project), stored_secrets(run)
    ProjectStaging(run.infra.databases, roles, run.session).admit(database, roles.authenticator)
    name = names.password(roles.authenticator)
    uri = run.infra.databases.uri(database, roles.authenticator, known.wanted(name))
    try:
        run.infra.databases.check_round_trip(uri, roles, run.session, run.check)
    except LoginRefused:
        uri = run.infra.databases.uri(database, roles.authenticator, known[name])
        run.infra.databases.check_round_trip(uri, roles, run.session, run.check)
    return prove_by_data_api(run, uri, project, contents)


def drop_staging(run: Run[Any], database: str, *, project: str) -> None:
    """Drop a staging database, and the login that restores."""
    staging = ProjectStaging(run.infra.databases, names.roles(project), run.session)
    staging.drop(database)
    staging.drop_restorer()


def _replayed(
    run: Run[Any], source: VerifiedSet, staging: ProjectStaging, database: str, stand_ins: StandInRoles
) -> RestoreSummary:
    with staging.restorer(database, run.check) as login:
        return backups.store(run.infra).restore_into(
            login,
            source,
            extend=partial(staging.extend, database, login),
            role=stand_ins,
            monitor=backups.monitor(run, "restored"),
        )
