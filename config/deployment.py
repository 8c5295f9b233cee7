"""The settings of an installation in containers: where things run, how they are reached, what one project may use."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from config.version import VERSION

# What `.env.example` shows and nobody has changed.
EXAMPLE = re.compile(r"(?i)^(your|change|replace|<)|change.?me|your-|@example\.|(^|\.)example(\.com|\.org|\.net)?$")


def env(name: str, default: Any, description: str, **limits: Any) -> Any:
    """Declare a setting: the environment variable is the field's alias."""
    return Field(default, validation_alias=name, description=description, **limits)


# PostgREST as its makers publish it; what is not named by its version changes under one's feet.
OFFICIAL = "postgrest/postgrest:v14.12"


class DeploymentSettings(BaseModel):
    """What only an installation behind Caddy and PgBouncer needs; an embedded one leaves all of it alone."""

    version: str = env("LAUNCHDB_VERSION", VERSION, "tag of our images", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}$")
    runtime: Literal["embedded", "docker", "broker"] = env(
        "LAUNCHDB_RUNTIME",
        "embedded",
        "where data APIs run: in the API's own process, or in a container each, asked of Docker or of the broker",
    )
    docker_socket: Path = env("LAUNCHDB_DOCKER_SOCKET", Path("/var/run/docker.sock"), "Docker's socket")
    data_api_image: str = env(
        "LAUNCHDB_DATA_API_IMAGE",
        "",
        "image of the projects' data APIs; empty: launchdb/data-api with LAUNCHDB_VERSION; official: PostgREST's",
    )
    pooler_url: str = env(
        "LAUNCHDB_POOLER_URL", "", "libpq URI of PgBouncer's administration database; empty: there is no pooler"
    )

    disk_reserve_mb: int = env(
        "DISK_RESERVE_MB", 512, "what of a disk is kept free: with less, no project and no backup is begun", ge=0
    )

    domain: str = env("DOMAIN", "", "name that clients reach this installation by")
    acme_email: str = env("ACME_EMAIL", "", "whom the certificate authority writes to")
    tls: Literal["auto", "internal", "off"] = env(
        "LAUNCHDB_TLS",
        "auto",
        "auto: a public certificate for DOMAIN; internal: one of Caddy's own authority; off: plain, behind a tunnel",
    )
    http_port: int = env("LAUNCHDB_HTTP_PORT", 80, "public port for HTTP", ge=1, le=65535)
    https_port: int = env("LAUNCHDB_HTTPS_PORT", 443, "public port for HTTPS", ge=1, le=65535)
    edge_subnet: str = env(
        "LAUNCHDB_EDGE_SUBNET", "10.213.250.0/24", "addresses of the network by which Caddy is reached"
    )
    front_subnet: str = env(
        "LAUNCHDB_FRONT_SUBNET", "10.213.251.0/24", "addresses of the network on which Caddy finds the services"
    )
    internal_host: str = env("LAUNCHDB_INTERNAL_HOST", "127.0.0.1", "address that the inner services listen on")
    host_script_dir: str = env("HOST_SCRIPT_DIR", "", "folder of the installation's scripts on the host")
    host_config_dir: str = env(
        "HOST_CONFIG_DIR", "", "folder of the data APIs' configurations, the same on host and inside; empty: the home's"
    )
    alive_file: str = env(
        "LAUNCHDB_ALIVE_FILE",
        "",
        "file that a worker or a scheduler touches whenever Postgres took its beat, for health checks; empty: none",
    )
    database_public_host: str = env(
        "DATABASE_PUBLIC_HOST", "", "host and port of Postgres that clients outside reach, if there is one"
    )

    host_root: Path = env(
        "LAUNCHDB_HOST_ROOT", Path("/"), "where the doctor finds the machine's own files, if they are mounted elsewhere"
    )

    max_connections: int = env(
        "POSTGRES_MAX_CONNECTIONS", 500, "connections that the Postgres container takes", ge=50, le=10_000
    )
    pool_reserve: int = env("POOL_RESERVE", 2, "connections that a project's pool may borrow beyond its size", ge=0)
    project_memory_mb: int = env("PROJECT_MEMORY_MB", 192, "memory of a project's container", ge=64)
    project_cpus: float = env("PROJECT_CPUS", 1.0, "processors that a project's container may use", gt=0)
    project_pids: int = env("PROJECT_PIDS", 64, "processes and threads that a project's container may have", ge=16)

    @model_validator(mode="before")
    @classmethod
    def _invites_in_production(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {"REGISTRATION": "invite", **given} if given.get("LAUNCHDB_ENV") == "production" else given

    @field_validator("edge_subnet")
    @classmethod
    def _is_a_network(cls, text: str) -> str:
        ip_network(text)
        return text

    @field_validator("host_script_dir", "host_config_dir")
    @classmethod
    def _is_absolute(cls, text: str) -> str:
        if text and not Path(text).is_absolute():
            raise ValueError("must be an absolute path: the same folder has it on the host and inside the containers")
        return text

    @model_validator(mode="after")
    def _production_is_complete(self) -> Self:
        """Refuse, all at once, what a server in production cannot be run with.

        A service is told what it reads alone; the whole is looked at on the host, before any of them is started.
        """
        whole = self.runtime != "embedded" and not getattr(self, "service", "")
        in_production = whole and getattr(self, "env", "development") == "production"
        if in_production and (found := self._lacking()):
            raise ValueError("production needs: " + "; ".join(found))
        return self

    def _lacking(self) -> list[str]:
        known = {
            "DOMAIN": self.domain,
            "HOST_SCRIPT_DIR": self.host_script_dir,
            "HOST_CONFIG_DIR": self.host_config_dir,
        }
        found = [f"{name} is missing" for name, value in known.items() if not value]
        known["ACME_EMAIL"] = self.acme_email
        found += [f"{name} is an example" for name, value in known.items() if EXAMPLE.search(value)]
        if self.tls == "auto":
            if not self.acme_email:
                found.append("ACME_EMAIL is missing")
            if self.domain.strip("[]") in ("localhost", "127.0.0.1", "::1"):
                found.append(f"DOMAIN is {self.domain}, which no authority certifies")
        return found + self.lacks_a_way()

    def lacks_a_way(self) -> list[str]:
        """Return what is missing for services to reach what settings name outside."""
        return []

    @property
    def data_api(self) -> str:
        """The image of the projects' data APIs."""
        return {"": f"launchdb/data-api:{self.version}", "official": OFFICIAL}.get(
            self.data_api_image, self.data_api_image
        )

    @property
    def deployed_url(self) -> str:
        """Where Caddy answers; empty for an embedded installation."""
        if self.runtime == "embedded" or not self.domain:
            return ""
        if self.tls == "off":
            # A tunnel ends TLS somewhere else; without a name there is none.
            return f"http://localhost:{self.http_port}" if self.domain == "localhost" else f"https://{self.domain}"
        return f"https://{self.domain}" + ("" if self.https_port == 443 else f":{self.https_port}")
