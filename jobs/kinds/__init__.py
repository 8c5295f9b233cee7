"""Every job kind, one file each; importing this package registers them all."""

from jobs.kinds import former_steps
from jobs.kinds.backup.backup import BackupProject
from jobs.kinds.backup.backup_fleet import BackupFleet
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.kinds.backup.export import ExportProject
from jobs.kinds.backup.forget_backup import ForgetBackup
from jobs.kinds.backup.forget_database import ForgetDatabase
from jobs.kinds.backup.import_ import ImportProject
from jobs.kinds.backup.restore import RestoreProject
from jobs.kinds.backup.retain_backups import RetainBackups
from jobs.kinds.backup.sync_offsite import SyncOffsite
from jobs.kinds.backup.undo_restore import UndoRestore
from jobs.kinds.backup.verify_backup import VerifyBackup
from jobs.kinds.backup.verify_fleet import VerifyFleet
from jobs.kinds.platform.migrate_fleet import MigrateFleet
from jobs.kinds.platform.prune import PrunePlatform
from jobs.kinds.platform.retire_platform_secret import RetirePlatformSecret
from jobs.kinds.platform.rewrap_secrets import RewrapSecrets
from jobs.kinds.platform.rotate_fleet import RotateFleet
from jobs.kinds.platform.rotate_platform_secret import RotatePlatformSecret
from jobs.kinds.platform.vacuum_fleet import VacuumFleet
from jobs.kinds.platform.vacuum_platform import VacuumPlatform
from jobs.kinds.project.configure import ConfigureProject
from jobs.kinds.project.delete import DeleteProject
from jobs.kinds.project.extension import ExtendProject
from jobs.kinds.project.import_users import ImportUsers
from jobs.kinds.project.mail import SendMail
from jobs.kinds.project.migrate import MigrateProject
from jobs.kinds.project.pause import PauseProject
from jobs.kinds.project.provision import ProvisionProject
from jobs.kinds.project.reconcile import ReconcileProject
from jobs.kinds.project.restart import RestartProject
from jobs.kinds.project.resume import ResumeProject
from jobs.kinds.project.retire_secret import RetireSecret
from jobs.kinds.project.rotate_secret import RotateSecret
from jobs.kinds.project.rotate_signing_key import RotateSigningKey
from jobs.kinds.project.sleep import SleepProject
from jobs.kinds.project.update_keys import UpdateKeys
from jobs.kinds.project.vacuum import VacuumProject
from jobs.kinds.project.wake import WakeProject
from jobs.kinds.project.warn import WarnOwner

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
    "ImportUsers",
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
    "RotateSigningKey",
    "SendMail",
    "SleepProject",
    "SyncOffsite",
    "UndoRestore",
    "UpdateKeys",
    "VacuumFleet",
    "VacuumPlatform",
    "VacuumProject",
    "VerifyBackup",
    "VerifyFleet",
    "WakeProject",
    "WarnOwner",
    "former_steps",
]
