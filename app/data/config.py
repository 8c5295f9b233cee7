"""Configuration of one data API: PostgREST's options, from its file syntax or its environment variables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.data.config_checks import ALIASES, fault_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^#\s]+)\s*(?:#.*)?")
_TRUE = frozenset({"true", "1", "yes", "on"})


class ConfigError(Exception):
    """The configuration cannot be used; the message names the option and never its value."""


@dataclass(frozen=True)
class DataConfig:
    """What one data API serves, and how. Names and defaults are PostgREST's, but for those that begin with ours."""

    db_uri: str = field(default="", repr=False)
    db_schemas: tuple[str, ...] = ("public",)
    db_extra_search_path: tuple[str, ...] = ("public",)
    db_anon_role: str = ""
    db_pool: int = 10
    db_pool_acquisition_timeout: float = 10.0
    db_pool_max_idletime: float = 60.0
    db_max_rows: int | None = None
    db_pre_request: str = ""
    db_root_spec: str = ""
    db_tx_end: str = "commit"
    db_aggregates_enabled: bool = False
    db_plan_enabled: bool = False
    db_prepared_statements: bool = True
    db_config: bool = True  # a server of its own reads options in its database, too
    db_pre_config: str = ""
    db_channel: str = "pgrst"
    db_channel_enabled: bool = True
    db_hoisted_tx_settings: tuple[str, ...] = (
        "statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation",
    )  # fmt: skip
    jwt_secret: str = field(default="", repr=False)
    jwt_secret_is_base64: bool = False
    jwt_aud: str = ""
    jwt_role_claim_key: str = ".role"
    jwt_leeway: int = 30  # seconds; clocks of those who make tokens differ from ours
    openapi_mode: str = "follow-privileges"
    openapi_server_proxy_uri: str = ""
    openapi_security_active: bool = False
    server_host: str = "127.0.0.1"
    server_port: int = 3000
    server_reuseport: bool = False
    server_unix_socket: str = ""
    server_unix_socket_mode: str = "660"
    admin_server_host: str = ""  # none: server-host
    admin_server_port: int | None = None
    admin_server_unix_socket: str = ""
    admin_server_unix_socket_mode: str = "660"
    log_level: str = "error"
    server_cors_allowed_origins: tuple[str, ...] = ()
    server_trace_header: str = ""
    server_timing_enabled: bool = False
    client_error_verbosity: str = "verbose"
    url_use_legacy_target_names: bool = True
    app_settings: tuple[tuple[str, str], ...] = ()
    # Ours; 0 and nothing: no limit.
    launchdb_rate_per_minute: int = 0
    launchdb_body_bytes_max: int = 10 * 1024 * 1024
    launchdb_answer_bytes_max: int = 32 * 1024 * 1024
    launchdb_session: str = ""
    launchdb_gateway: bool = False  # behind our edge, whose headers are heeded on a Unix socket
    launchdb_db_uri_before: str = field(default="", repr=False)
    launchdb_api_keys: tuple[str, ...] = ()  # `role:hash` of each opaque key that is good

    @property
    def rolls_back(self) -> bool:
        """Return whether a transaction ends in a rollback unless the request may and does ask otherwise."""
        return self.db_tx_end.startswith("rollback")

    @property
    def may_override_end(self) -> bool:
        """Return whether `Prefer: tx=` is heeded."""
        return self.db_tx_end.endswith("-allow-override")


def from_text(text: str) -> DataConfig:
    """Read PostgREST's configuration-file syntax. Raises ConfigError."""
    return from_values(values_of_text(text))


def values_of_text(text: str) -> dict[str, str]:
    """Return option names and their texts of PostgREST's configuration-file syntax. Raises ConfigError."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"line {number} is not of the form: name = value")
        values[match[1]] = _unquoted(match[2], number)
    return values


def from_environment(environ: Mapping[str, str]) -> DataConfig:
    """Read the PGRST_* variables. Raises ConfigError."""
    return from_values(values_of_environment(environ))


def values_of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return option names and their texts of the PGRST_* variables."""
    values = {
        name.removeprefix("PGRST_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("PGRST_") and not name.startswith("PGRST_APP_SETTINGS_")
    }
    settings = {
        f"app.settings.{name.removeprefix('PGRST_APP_SETTINGS_').lower()}": value
        for name, value in environ.items()
        if name.startswith("PGRST_APP_SETTINGS_")
    }
    return values | settings


def from_values(values: Mapping[str, str]) -> DataConfig:
    """Build a configuration from option names and their texts; an unknown option is left aside. Raises ConfigError."""
    values = {name: values[alias] for alias, name in ALIASES.items() if alias in values} | dict(values)
    if fault := fault_of(values):
        raise ConfigError(fault)
    given: dict[str, object] = {
        "app_settings": tuple((name, value) for name, value in values.items() if name.startswith("app.settings."))
    }
    for name, default in _DEFAULTS.items():
        text = values.get(name.replace("_", "-"), "")
        if text != "" or (name == "db_extra_search_path" and "db-extra-search-path" in values):
            given[name] = _typed(name, text, default)
    return DataConfig(**given)  # type: ignore[arg-type]


_DEFAULTS = {name: f.default for name, f in DataConfig.__dataclass_fields__.items() if name != "app_settings"}
_NUMBERS = {"db_max_rows", "admin_server_port"}


def _typed(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return text.lower() in _TRUE
        if isinstance(default, int) or name in _NUMBERS:
            return int(text)
        if isinstance(default, float):
            return float(text)
    except ValueError:
        raise ConfigError(f"{name.replace('_', '-')} must be a number") from None
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _unquoted(text: str, number: int) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        raise ConfigError(f"line {number} holds a text that is not quoted well") from None
