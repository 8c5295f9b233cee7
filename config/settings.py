"""One frozen Settings object, read once from the environment; every fault is reported at once."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from config.auth import AuthSettings
from config.deployment import DeploymentSettings
from config.deployment import env as _env
from config.destination import destination
from config.files import FilesFolders
from config.watching import WatchdogSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parent.parent


class SettingsError(Exception):
    """The environment holds settings that cannot be used; the message lists every one of them."""


class Settings(AuthSettings, FilesFolders, WatchdogSettings, DeploymentSettings):
    """Everything that can be set from outside. The environment variable is each field's alias.

    docs/settings.md documents each one; a test compares the two.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, arbitrary_types_allowed=False)

    env: Literal["development", "production"] = _env(
        "LAUNCHDB_ENV", "development", "production refuses crash points and open doors meant for trials"
    )
    home: Path = _env("LAUNCHDB_HOME", CHECKOUT / ".launchdb", "folder of all state")
    host: str = _env("LAUNCHDB_HOST", "127.0.0.1", "address the public port listens on")
    port: int = _env("LAUNCHDB_PORT", 8000, "public port", ge=1, le=65535)
    public_url: str = _env("LAUNCHDB_PUBLIC_URL", "", "base of the URLs handed out; empty: made of host and port")

    database_url: str = _env("LAUNCHDB_DATABASE_URL", "", "URI of the platform database; empty: the embedded server")
    administrator_url: str = _env("LAUNCHDB_ADMINISTRATOR_URL", "", "the server's superuser; empty: the URI above")
    service: str = _env("LAUNCHDB_SERVICE", "", "which service this is, with its own secrets alone; empty: all")
    redis_url: str = _env("LAUNCHDB_REDIS_URL", "", "URL of Redis or Valkey; empty: the embedded server")
    postgres_bin: str = _env(
        "LAUNCHDB_POSTGRES_BIN", "", "folder with the machine's own Postgres programs (16 or newer); empty: the wheel's"
    )
    service_folder: Path = _env(
        "LAUNCHDB_SERVICE_FOLDER",
        Path("/var/lib/launchdb"),
        "when started as root: where Postgres lies if its own account cannot pass through the home's or the "
        "program's parent folders; must be passable by every account",
    )
    project_migrations: str = _env(
        "LAUNCHDB_PROJECT_MIGRATIONS",
        "",
        "folder of the SQL files that a project's database is made of, for rehearsing the next one; empty: our own",
    )
    procfile: Path = _env("LAUNCHDB_PROCFILE", CHECKOUT / "Procfile", "the processes that the supervisor starts")
    database_pool_size: int = _env(
        "LAUNCHDB_DATABASE_POOL_SIZE",
        16,
        "connections of one process to the platform database; too few: requests queue; too many: max_connections",
        ge=2,
        le=200,
    )

    formation: str = _env("LAUNCHDB_FORMATION", "worker=2", "how many processes of each Procfile line (default 1)")
    api_threads: int = _env("LAUNCHDB_API_THREADS", 64, "threads of the API; a stream holds one, a project a fifth")
    api_processes: int = _env(
        "LAUNCHDB_API_PROCESSES",
        0,
        "processes of the API: all serve projects' data, one of them the rest as well; 0: one a core, at most 8",
        ge=0,
        le=16,
    )
    worker_threads: Annotated[int, Field(ge=1, le=64)] = _env(
        "LAUNCHDB_WORKER_THREADS", 4, "jobs that one worker process runs at a time"
    )
    lease_seconds: float = _env(
        "LAUNCHDB_LEASE_SECONDS", 15.0, "how long a running job is held without a beat; too small: live jobs are taken"
    )
    beat_seconds: float = _env("LAUNCHDB_BEAT_SECONDS", 5.0, "interval of the beats that renew the lease")
    give_up_seconds: float = _env(
        "LAUNCHDB_GIVE_UP_SECONDS", 3.0, "a worker that could not renew for lease minus this long stops by itself"
    )
    suspect_seconds: float = _env(
        "LAUNCHDB_SUSPECT_SECONDS", 1.0, "how long a lost liveness session may stay lost before the worker is dead"
    )
    relay_seconds: float = _env("LAUNCHDB_RELAY_SECONDS", 2.0, "interval at which unheard jobs are rung again")
    reaper_seconds: float = _env("LAUNCHDB_REAPER_SECONDS", 0.4, "interval at which dead workers are looked for")
    crash: str = _env("LAUNCHDB_CRASH", "", "kind:step:point at which a worker dies, for tests; refused in production")

    registration: Literal["open", "invite", "closed"] = _env(
        "REGISTRATION",
        "open",
        "who may register: all, invite: whoever was invited (default in production), closed: nobody",
    )
    max_projects_per_owner: int = _env("MAX_PROJECTS_PER_OWNER", 0, "0: no quota (3 in production when open)", ge=0)
    access_token_seconds: int = _env("ACCESS_TOKEN_SECONDS", 900, "life of an owner's access token", ge=60, le=86_400)
    refresh_token_seconds: int = _env("REFRESH_TOKEN_SECONDS", 604_800, "life of an owner's refresh token", ge=300)
    api_rate_per_minute: int = _env("API_RATE_PER_MINUTE", 3000, "API calls per owner and address", ge=1)
    sign_in_rate_per_minute: int = _env("SIGN_IN_RATE_PER_MINUTE", 300, "sign-ins per address", ge=1)
    data_rate_per_minute: int = _env("DATA_RATE_PER_MINUTE", 30_000, "data-plane requests per project", ge=1)
    password_hash_concurrency: int = _env(
        "PASSWORD_HASH_CONCURRENCY", 2, "Argon2id hashes computed at a time (64 MiB each)", ge=1
    )
    trusted_proxies: str = _env(
        "TRUSTED_PROXIES",
        "",
        "addresses or networks, with commas between, whose X-Forwarded-For is believed; too many: anybody can pretend "
        "to come from anywhere; too few: all clients of a proxy share one rate limit",
    )
    event_streams: int = _env(
        "LAUNCHDB_EVENT_STREAMS",
        16,
        "requests that may wait for a job at a time (event streams, Prefer: wait, ?wait); each holds one of "
        "LAUNCHDB_API_THREADS, so too many starve the others",
        ge=1,
    )
    max_body_bytes: int = _env("MAX_BODY_BYTES", 1_048_576, "largest request body of the platform API", ge=1024)

    project_connections: int = _env(
        "PROJECT_CONNECTIONS",
        30,
        "connections that all logins of one project's database share; too few: its clients are refused; too many: one "
        "tenant uses up the server's",
        ge=8,
        le=1000,
    )
    project_temp_mb: int = _env(
        "PROJECT_TEMP_MB", 1024, "disk that one query of a project may use for sorting; more is refused", ge=16
    )
    project_statement_seconds: int = _env(
        "PROJECT_STATEMENT_SECONDS", 120, "how long a statement runs in a project's database unless it asks", ge=1
    )
    project_idle_transaction_seconds: int = _env(
        "PROJECT_IDLE_TRANSACTION_SECONDS", 60, "how long a transaction may sit idle in a project's database", ge=1
    )
    data_max_rows: int = _env("DATA_MAX_ROWS", 1000, "most rows one answer of a data API holds; too many: memory", ge=1)

    sql_seconds: int = _env("SQL_SECONDS", 30, "how long SQL sent to the platform API may run", ge=1, le=3600)
    sql_max_rows: int = _env("SQL_MAX_ROWS", 1000, "most rows one answer to such SQL holds", ge=1)
    sql_max_bytes: int = _env("SQL_MAX_BYTES", 4_194_304, "most bytes of rows one such answer holds", ge=1024)
    sql_connections: int = _env("SQL_CONNECTIONS", 3, "how much such SQL of one project runs at a time", ge=1)
    smtp_host: str = _env("SMTP_HOST", "", "mail server; empty: no mail is sent, or a mailbox keeps it (development)")
    smtp_port: int = _env("SMTP_PORT", 587, "465: TLS from the beginning; others: STARTTLS", ge=1, le=65535)
    smtp_tls: Literal["auto", "implicit", "starttls"] = _env(
        "SMTP_TLS", "auto", "auto: by the port, and plain to this machine if its server offers no STARTTLS"
    )
    smtp_ca_file: str = _env(
        "SMTP_CA_FILE", "", "certificates that the mail server's is checked by; empty: the system's"
    )
    smtp_user: str = _env("SMTP_USER", "", "account at the mail server; empty: none is needed")
    smtp_password: SecretStr = _env(
        "SMTP_PASSWORD", SecretStr(""), "its password; the file of that name among the secrets goes before it"
    )
    smtp_from: str = _env("SMTP_FROM", "launchdb@localhost", "address that mails come from; needed with SMTP_HOST")
    mails_per_hour: int = _env("MAILS_PER_HOUR", 200, "mails of the platform, and of each project, an hour", ge=1)

    backup_format: Literal["sql.gz", "dump.zst"] = _env(
        "BACKUP_FORMAT", "sql.gz", "sql.gz: read by gpg, gunzip and psql; dump.zst: by gpg, zstd and pg_restore, faster"
    )
    backup_verify: Literal["weekly", "always"] = _env(
        "BACKUP_VERIFY", "weekly", "when backups are proven by restoring them; always: also right after each"
    )
    backup_retention_days: int = _env("BACKUP_RETENTION_DAYS", 30, "how long backups are kept", ge=1, le=3650)
    backup_retention_count: int = _env(
        "BACKUP_RETENTION_COUNT", 2, "how many verified backups of a project are kept however old they are", ge=1
    )
    rsync_dest: str = _env(
        "RSYNC_DEST", "", "where backups are copied to: user@host:path, by rsync over SSH; empty: nowhere"
    )
    rsync_port: int = _env("RSYNC_PORT", 22, "port of the SSH server there", ge=1, le=65535)
    rsync_kbps: int = _env("RSYNC_KBPS", 0, "most kilobytes that go over in a second; 0: as many as can", ge=0)
    offsite_retention_days: int = _env(
        "OFFSITE_RETENTION_DAYS", 30, "how long copies there are kept; 0: for good", ge=0, le=3650
    )
    final_backup_days: int = _env(
        "FINAL_BACKUP_DAYS", 7, "how long a deleted project can be brought back", ge=1, le=365
    )
    restore_undo_hours: int = _env(
        "RESTORE_UNDO_HOURS", 24, "how long a project's database of before a restore is kept", ge=1, le=720
    )
    keep_jobs_days: int = _env("KEEP_JOBS_DAYS", 30, "how long finished jobs are kept", ge=1)
    keep_events_days: int = _env("KEEP_EVENTS_DAYS", 7, "how long job events are kept", ge=1)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("rsync_dest")
    @classmethod
    def _is_a_destination(cls, text: str) -> str:
        if text:
            destination(text)
        return text

    @model_validator(mode="after")
    def _engine_times_fit(self) -> Settings:
        if self.beat_seconds * 2 + self.give_up_seconds >= self.lease_seconds:
            needed = "twice LAUNCHDB_BEAT_SECONDS plus LAUNCHDB_GIVE_UP_SECONDS"
            raise ValueError(f"LAUNCHDB_LEASE_SECONDS must exceed {needed}")
        if self.crash and self.env == "production":
            raise ValueError("LAUNCHDB_CRASH is refused when LAUNCHDB_ENV=production")
        return self

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Settings:
        if re.fullmatch(r"[\x21-\x7e]+@[A-Za-z0-9.-]+", self.smtp_from) is None or re.search(r"[<>,;]", self.smtp_from):
            raise ValueError("SMTP_FROM must be a plain e-mail address")
        if self.smtp_host and "smtp_from" not in self.model_fields_set:
            raise ValueError("SMTP_FROM must be set with SMTP_HOST")
        return self

    @property
    def mail(self) -> Literal["smtp", "mailbox", "off"]:
        """Where mail goes. A mailbox is for trials: in production nobody would look there."""
        if self.smtp_host:
            return "smtp"
        return "off" if self.env == "production" else "mailbox"

    @property
    def mailbox_folder(self) -> Path:
        """Where mail is kept when no server takes it."""
        return self.home / "mailbox"

    @property
    def base_url(self) -> str:
        """Where clients reach this installation."""
        return self.public_url.rstrip("/") or self.deployed_url or f"http://127.0.0.1:{self.port}"

    @property
    def secrets_folder(self) -> Path:
        """Where the platform's own secrets lie, one file each (0600 in a 0700 folder)."""
        return self.home / "secrets"

    @property
    def run_folder(self) -> Path:
        """Sockets, locks and pids: nothing in it outlives a restart."""
        return self.home / "run"

    @property
    def backups_folder(self) -> Path:
        """Finished backups: encrypted files, each set with its manifest."""
        return self.home / "backups"

    @property
    def exports_folder(self) -> Path:
        """Projects in one file each, for another host."""
        return self.home / "exports"

    @property
    def imports_folder(self) -> Path:
        """Exports of other hosts that are to become projects here."""
        return self.home / "imports"

    @property
    def auth_folder(self) -> Path:
        """One file per project, holding what Auth has to know of it."""
        return self.home / "auth"

    @property
    def instances_folder(self) -> Path:
        """One folder per data-API instance, holding its rendered configuration."""
        return Path(self.host_config_dir) if self.host_config_dir else self.home / "instances"


def load(
    environ: Mapping[str, str] | None = None, *, recall: bool = True, over: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings from `environ` (the process's own by default); `over` goes over it.

    What the embedded servers remembered in `<home>/state.json` fills what the environment leaves open, unless not to
    be recalled. Raises SettingsError naming every setting that is wrong.
    """
    known = {**(os.environ if environ is None else environ), **(over or {})}
    given = {name: value for name, value in known.items() if value != ""}
    try:
        settings = Settings.model_validate(given)
        return Settings.model_validate({**remembered_state(settings.home), **given}) if recall else settings
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise SettingsError("; ".join(faults)) from None


def remembered_state(home: Path) -> dict[str, str]:
    """Return what an earlier start wrote down, ports and URLs of the embedded servers, by variable name."""
    try:
        state = json.loads((home / "state.json").read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError, json.JSONDecodeError):
        return {}
    return {name: str(value) for name, value in state.items()} if isinstance(state, dict) else {}
