"""Every job kind, one file each; importing this package registers them all."""

from jobs.kinds.backup import BackupProject
from jobs.kinds.backup_fleet import BackupFleet
from jobs.kinds.backup_platform import BackupPlatform
from jobs.kinds.configure import ConfigureProject
from jobs.kinds.delete import DeleteProject
from jobs.kinds.export import ExportProject
from jobs.kinds.extension import ExtendProject
from jobs.kinds.forget_backup import ForgetBackup
from jobs.kinds.forget_database import ForgetDatabase
from jobs.kinds.import_ import ImportProject
from jobs.kinds.mail import SendMail
from jobs.kinds.migrate import MigrateProject
from jobs.kinds.migrate_fleet import MigrateFleet
from jobs.kinds.pause import PauseProject
from jobs.kinds.provision import ProvisionProject
from jobs.kinds.prune import PrunePlatform
from jobs.kinds.reconcile import ReconcileProject
from jobs.kinds.restart import RestartProject
from jobs.kinds.restore import RestoreProject
from jobs.kinds.resume import ResumeProject
from jobs.kinds.retain_backups import RetainBackups
from jobs.kinds.retire_platform_secret import RetirePlatformSecret
from jobs.kinds.retire_secret import RetireSecret
from jobs.kinds.rewrap_secrets import RewrapSecrets
from jobs.kinds.rotate_fleet import RotateFleet
from jobs.kinds.rotate_platform_secret import RotatePlatformSecret
from jobs.kinds.rotate_secret import RotateSecret
from jobs.kinds.sleep import SleepProject
from jobs.kinds.sync_offsite import SyncOffsite
from jobs.kinds.undo_restore import UndoRestore
from jobs.kinds.vacuum import VacuumProject
from jobs.kinds.vacuum_fleet import VacuumFleet
from jobs.kinds.vacuum_platform import VacuumPlatform
from jobs.kinds.verify_backup import VerifyBackup
from jobs.kinds.verify_fleet import VerifyFleet
from jobs.kinds.wake import WakeProject

__all__ = [
    "BackupFleet",
    "BackupPlatform",
    "BackupProject",
    "ConfigureProject",
    "DeleteProject",
    "ExportProject",
    "ExtendProject",
    "ForgetBackup",
    "ForgetDatabase",
    "ImportProject",
    "MigrateFleet",
    "MigrateProject",
    "PauseProject",
    "ProvisionProject",
    "PrunePlatform",
    "ReconcileProject",
    "RestartProject",
    "RestoreProject",
    "ResumeProject",
    "RetainBackups",
    "RetirePlatformSecret",
    "RetireSecret",
    "RewrapSecrets",
    "RotateFleet",
    "RotatePlatformSecret",
    "RotateSecret",
    "SendMail",
    "SleepProject",
    "SyncOffsite",
    "UndoRestore",
    "VacuumFleet",
    "VacuumPlatform",
    "VacuumProject",
    "VerifyBackup",
    "VerifyFleet",
    "WakeProject",
]
