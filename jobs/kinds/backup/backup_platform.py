"""platform.backup: the platform's own database: owners, projects, jobs, and every secret, sealed as it lies there."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.backup.writing import backup_key_id, name_backup, remove_set, write_backup, written
from jobs.engine.kind import BULK, AtomicStep, Step, kind
from jobs.kinds.backup.backup import list_backup


@kind(
    "platform.backup",
    steps=(
        AtomicStep(name_backup, reads=backup_key_id, undo=remove_set, title="Name the backup"),
        Step(write_backup, lasting=True, long=True, title="Dump, compress, encrypt"),
        AtomicStep(list_backup, reads=written, title="List the backup"),
    ),
    queue=BULK,
    lane=None,
    on_failure="undo",
    max_running=1,
    coalesces=True,
)
@dataclass(frozen=True)
class BackupPlatform:
    """Backs up the platform's own database."""
