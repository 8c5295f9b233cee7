"""What the command line reads from the environment: where to, as whom, and about which project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping


def _env(name: str, default: Any, description: str, **more: Any) -> Any:
    return Field(default, validation_alias=name, description=description, **more)


class ClientSettings(BaseModel):
    """Settings of the command line alone; the services never read them."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    url: str = _env(
        "LAUNCHDB_URL", "", "the installation that commands talk to; empty: the one signed in to, else the local one"
    )
    token: str = _env(
        "LAUNCHDB_TOKEN",
        "",
        "access token or personal access token; empty: the one of `login`, else the operator of LAUNCHDB_HOME",
        repr=False,
    )
    project: str = _env("LAUNCHDB_PROJECT", "", "project that commands mean when none is named: its id or name")
    config_home: Path = _env(
        "XDG_CONFIG_HOME",
        Path("~/.config"),
        "the user's configuration folder; `login` writes launchdb/context.json there",
    )

    @property
    def context_file(self) -> Path:
        """Where `login` remembers whom it signed in (0600)."""
        return self.config_home.expanduser() / "launchdb" / "context.json"


def load_client_settings(environ: Mapping[str, str] | None = None) -> ClientSettings:
    """Read the client's settings from `environ` (the process's own by default)."""
    given = os.environ if environ is None else environ
    return ClientSettings.model_validate({name: value for name, value in given.items() if value != ""})
