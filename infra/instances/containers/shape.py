"""What a project's container is: the whole body of its creation, made from an id and from settings alone.

Nothing that a caller says gets into the body but the id of a project, of a job and a number: whoever asks cannot ask
for more rights than stand here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from infra.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings
    from infra.instances.instances import CreatedBy

USER = 10001
INSTALLATION, PROJECT, JOB, FENCE, SPEC = (
    f"launchdb.{name}" for name in ("installation", "project", "job", "fence", "spec")
)
# As the container sees them.
CONFIGURATION, SOCKETS, POOLER = "/etc/launchdb", "/run/launchdb", "/run/pgbouncer"
SOCKET = f"{SOCKETS}/api.sock"
STOP_SECONDS = 5
FILE_BYTES = 4096
PREFIX = "postgrest-"
_PROJECT = re.compile(r"proj_[0-9a-f]{16}")
_JOB = re.compile(r"(job_[0-9a-f]{32})?")
# The kernel's limit is 108 bytes, its closing zero included.
_LONGEST_SOCKET = 100


@dataclass(frozen=True)
class ContainerShape:
    """What all project containers of an installation have in common.

    configurations, sockets  folders of the host with a folder for each project
    pooler                   folder of the host in which the pooler's socket lies
    """

    installation: str
    image: str
    configurations: Path
    sockets: Path
    pooler: Path
    memory_mb: int
    cpus: float
    pids: int

    @classmethod
    def of(cls, settings: Settings) -> ContainerShape:
        """Take it from the settings. Raises Refused for a home whose sockets would have too long a name."""
        return cls(
            installation=installation_label(settings.home),
            image=settings.data_api,
            configurations=settings.instances_folder.absolute(),
            sockets=sockets_of(settings),
            pooler=settings.run_folder.absolute() / "pgbouncer",
            memory_mb=settings.project_memory_mb,
            cpus=settings.project_cpus,
            pids=settings.project_pids,
        )

    @property
    def is_own_image(self) -> bool:
        """Whether the image is our own data API; the other one there is, is PostgREST's."""
        return is_own_image(self.image)

    def labels(self, project_id: str) -> dict[str, str]:
        """Return the labels by which a container is known to be this project's of this installation."""
        return {INSTALLATION: self.installation, PROJECT: project_id}

    def spec(self, project_id: str, image_id: str) -> str:
        """Return the hash of everything that a container of this project is made with, by whomever."""
        return sha256(json.dumps(self._plain(project_id, image_id), sort_keys=True).encode()).hexdigest()

    def body(self, project_id: str, image_id: str, by: CreatedBy) -> dict[str, Any]:
        """Return the body with which Docker is asked to create the container. Raises Refused for an unfit id."""
        if _JOB.fullmatch(by.job) is None or not 0 <= by.fence < 2**63:
            raise Refused("not the id of a job with its fence")
        plain = self._plain(project_id, image_id)
        made_by = {JOB: by.job, FENCE: str(by.fence), SPEC: self.spec(project_id, image_id)}
        return {**plain, "Labels": {**plain["Labels"], **made_by}}

    def _plain(self, project_id: str, image_id: str) -> dict[str, Any]:
        command = [] if self.is_own_image else ["postgrest", f"{CONFIGURATION}/data-api.conf"]
        return {
            "Image": image_id,
            **({"Cmd": command} if command else {}),
            "User": f"{USER}:{USER}",
            "Labels": self.labels(checked_project_id(project_id)),
            "StopSignal": "SIGTERM",
            "StopTimeout": STOP_SECONDS,
            # Its socket is asked instead, which takes no process of its own.
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": self._host(project_id),
        }

    def _host(self, project_id: str) -> dict[str, Any]:
        memory = self.memory_mb * 1024 * 1024
        return {
            "NetworkMode": "none",
            "IpcMode": "none",
            "Privileged": False,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Init": True,
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": round(self.cpus * 1_000_000_000),
            "PidsLimit": self.pids,
            # A dump of its memory would hold its secrets.
            # No file of its has more than a block (Python looks for a place for its own): one folder is the host's.
            "Ulimits": [_limit("core", 0), _limit("fsize", FILE_BYTES)],
            "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108 - the container's own
            "Mounts": [
                _mount(self.configurations / project_id, CONFIGURATION, read_only=True),
                _mount(self.sockets / project_id, SOCKETS, read_only=False),
                _mount(self.pooler, POOLER, read_only=True),
            ],
            "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        }


def is_own_image(image: str) -> bool:
    """Return whether an image is our own data API; the other one there is, is PostgREST's."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] != "postgrest"


def sockets_of(settings: Settings) -> Path:
    """Return the folder with a folder for each project's socket. Raises Refused where their names would be too long."""
    sockets = settings.run_folder.absolute() / "projects"
    if len(bytes(sockets / f"proj_{'0' * 16}" / "api.sock")) > _LONGEST_SOCKET:
        raise Refused("LAUNCHDB_HOME is too long for the name of a Unix socket below it; choose a shorter one")
    return sockets


def installation_label(home: Path) -> str:
    """Return the name that an installation's containers bear: by its path as it is written, the same in containers."""
    return sha256(bytes(home.absolute())).hexdigest()[:12]


def container_name(project_id: str) -> str:
    """Return the name of a project's container. Raises Refused for what is no project id."""
    return PREFIX + checked_project_id(project_id)


def checked_project_id(project_id: str) -> str:
    """Return what is the id of a project. Raises Refused for anything else: it becomes part of paths and names."""
    if not is_project_id(project_id):
        raise Refused("not the id of a project")
    return project_id


def is_project_id(text: str) -> bool:
    """Return whether this is the form of a project id, as the catalogue makes them."""
    return _PROJECT.fullmatch(text) is not None


def _limit(name: str, most: int) -> dict[str, Any]:
    return {"Name": name, "Soft": most, "Hard": most}


def _mount(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    # A mount, not a bind: Docker would make a missing source of a bind, as root's.
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}
