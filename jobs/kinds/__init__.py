"""Every job kind, one file each; importing this package registers them all."""

from jobs.kinds.configure import ConfigureProject
from jobs.kinds.delete import DeleteProject
from jobs.kinds.extension import ExtendProject
from jobs.kinds.mail import SendMail
from jobs.kinds.migrate import MigrateProject
from jobs.kinds.migrate_fleet import MigrateFleet
from jobs.kinds.pause import PauseProject
from jobs.kinds.provision import ProvisionProject
from jobs.kinds.prune import PrunePlatform
from jobs.kinds.reconcile import ReconcileProject
from jobs.kinds.restart import RestartProject
from jobs.kinds.resume import ResumeProject
from jobs.kinds.retire_secret import RetireSecret
from jobs.kinds.rotate_fleet import RotateFleet
from jobs.kinds.rotate_secret import RotateSecret
from jobs.kinds.vacuum import VacuumProject
from jobs.kinds.vacuum_fleet import VacuumFleet
from jobs.kinds.vacuum_platform import VacuumPlatform

__all__ = [
    "ConfigureProject",
    "DeleteProject",
    "ExtendProject",
    "MigrateFleet",
    "MigrateProject",
    "PauseProject",
    "ProvisionProject",
    "PrunePlatform",
    "ReconcileProject",
    "RestartProject",
    "ResumeProject",
    "RetireSecret",
    "RotateFleet",
    "RotateSecret",
    "SendMail",
    "VacuumFleet",
    "VacuumPlatform",
    "VacuumProject",
]
