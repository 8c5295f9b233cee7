"""Copies of backups on another machine: rsync over SSH with a key of our own, to a host whose key is pinned.

Nothing is ever deleted by copying (rsync(1), --delete, is used in `remove` alone, on files that are named). What is on
its way lies in a folder beside and gets its name when it is whole (--partial-dir, --delay-updates).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.destination import destination
from infra import files
from infra.backup.offsite_names import CONTENT, CONTENT_LEFT, LEFT, NAME, TRIAL, checked
from infra.backup.rsync import listed_files, listed_folders, name_files, program_path, watch
from infra.backup.set_names import is_manifest
from infra.errors import Refused, Unavailable
from infra.pipeline import PIPE, ProgramFailed, run, stage
from infra.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from config.settings import Settings

    Look = Callable[[int], None]

KEY, KNOWN_HOSTS, CONFIG = "backup_key", "known_hosts", "config"
COMMENT = "launchdb-backup"
PARTIAL = ".rsync-partial"
IDLE_SECONDS, ASK_SECONDS = 60, 30.0
AT_ONCE = 1000
_HOST_KEY = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known")
_NO_FOLDER = re.compile(r"(change_dir|link_stat|opendir)[^\n]*No such file or directory")
# rsync(1), EXIT VALUES: the ones that say that the connection did not come about or did not hold.
_AWAY = frozenset({5, 10, 12, 30, 35, 255})


class HostKeyChanged(Refused):
    """Whoever answers is not the machine whose key was pinned."""


class Offsite:
    """The other machine. Only names of a set's files go over; the folder there may hold whatever else."""

    def __init__(self, settings: Settings) -> None:
        """Read where it is. Raises Refused when no destination is set."""
        if not settings.rsync_dest:
            raise Refused("backups are not copied to another machine: RSYNC_DEST is not set")
        self.destination = destination(settings.rsync_dest)
        self._port = settings.rsync_port
        self._kbps = settings.rsync_kbps
        self._folder = settings.home / "backup" / "ssh"

    @property
    def is_prepared(self) -> bool:
        """Whether there are a key of ours and a pinned key of the host's."""
        return (self._folder / KEY).exists() and (self._folder / KNOWN_HOSTS).exists()

    def prepare(self) -> str:
        """Ensure that our key exists; return the line for `authorized_keys` on the other machine. Raises Refused."""
        files.ensure_folder(self._folder.parent)
        files.ensure_folder(self._folder)
        key = self._folder / KEY
        if not key.exists():
            # Under another name first: half a key would never be replaced.
            made = self._folder / f".{KEY}"
            for path in (made, made.with_suffix(".pub")):
                path.unlink(missing_ok=True)
            run(
                [program_path("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", made],
                timeout_seconds=ASK_SECONDS,
            )
            made.with_suffix(".pub").replace(self._folder / f"{KEY}.pub")
            made.replace(key)
        (self._folder / f"{KEY}.pub").chmod(0o644)
        return f"restrict {(self._folder / f'{KEY}.pub').read_text().strip()}"

    def host_key(self) -> tuple[str, str]:
        """Ask the host for its key; return the line to pin, and the fingerprint that people compare.

        Raises Unavailable when nobody answers.
        """
        argv = [
            program_path("ssh-keyscan"),
            "-T",
            "10",
            "-p",
            str(self._port),
            "-t",
            "ed25519",
            self.destination.address,
        ]
        try:
            lines = [line for line in run(argv, timeout_seconds=ASK_SECONDS).splitlines() if not line.startswith("#")]
        except ProgramFailed:
            lines = []
        if not lines:
            raise Unavailable(f"nobody answers as an SSH server with an ed25519 key at {self._address}")
        line = lines[0]
        told = run(
            [program_path("ssh-keygen"), "-l", "-f", "-"], timeout_seconds=ASK_SECONDS, feed=f"{line}\n".encode()
        )
        return line, told.split()[1]

    def pinned(self) -> str | None:
        """Return the fingerprint of the key that is pinned, or None."""
        path = self._folder / KNOWN_HOSTS
        if not path.exists():
            return None
        told = run([program_path("ssh-keygen"), "-l", "-f", path], timeout_seconds=ASK_SECONDS)
        return told.split()[1]

    def pin(self, line: str) -> None:
        """Pin this key as the only one that the host is known by."""
        files.replace(self._folder / KNOWN_HOSTS, f"{line}\n")

    def list_files(self) -> dict[str, int]:
        """Return the files of sets that lie there, with their sizes. Raises Unavailable, Refused."""
        return {name: size for name, size in self._all().items() if NAME.fullmatch(name)}

    def list_contents(self, owner: str) -> dict[str, int]:
        """Return the copies of a project's files that lie there, as paths, with their sizes.

        owner  whose they are: what the names of their sets begin with

        What an rsync that was killed has left of one is among them. Raises Unavailable, Refused.
        """
        below = f"files/{owner}/"
        found = {f"{below}{name}": size for name, size in self._all(below).items()}
        return {name: size for name, size in found.items() if CONTENT.fullmatch(name) or CONTENT_LEFT.fullmatch(name)}

    def list_owners(self) -> list[str]:
        """Return of which projects copies of files lie there. Raises Unavailable, Refused."""
        argv = [*self._rsync(), "--list-only", "--dirs", "--no-h", "--", f"{self.destination.folder}files/"]
        return listed_folders(self._listed(argv))

    def remove_leftovers(self, empty: Path) -> None:
        """Remove what a killed rsync has left there; nobody else may be copying. Raises Unavailable, Refused."""
        self.remove(empty, [name for name in self._all() if LEFT.fullmatch(name)])

    def _all(self, below: str = "") -> dict[str, int]:
        """Return the files in the folder there; below one in it, also those of its folders."""
        chosen = [] if below else ["--exclude=*/"]
        argv = [*self._rsync(), "--list-only", "--recursive", "--no-h", *chosen, "--"]
        return listed_files(self._listed([*argv, self.destination.folder + below]))

    def _listed(self, argv: list[str]) -> str:
        try:
            return run(argv, timeout_seconds=ASK_SECONDS + IDLE_SECONDS, env=self._environment())
        except ProgramFailed as error:
            if _NO_FOLDER.search(error.said):
                return ""
            raise self._meant(error) from error

    def send(self, folder: Path, names: Sequence[str], look: Look) -> None:
        """Copy these files of a folder there, whole. look: called again and again with the bytes that went over.

        Raises Unavailable, Refused; what went over then is gone on with.
        """
        self._copy(names, [f"{folder}/", self.destination.folder], look)

    def fetch(self, folder: Path, names: Sequence[str], look: Look) -> None:
        """Fetch these files of the other machine's into a folder here, whole. Raises Unavailable, Refused."""
        self._copy(names, [self.destination.folder, f"{folder}/"], look)

    def differing_files(self, folder: Path, names: Sequence[str]) -> list[str]:
        """Return which of these files are not there as they are here, byte for byte. Raises Unavailable, Refused."""
        if not names:
            return []
        argv = [*self._rsync(), "--checksum", "--dry-run", "--out-format=%n", "--files-from=-", "--from0", "--"]
        with (
            self._translated() as _,
            stage(
                [*argv, f"{folder}/", self.destination.folder],
                env=self._environment(),
                stdin=PIPE,
                stdout=PIPE,
            ) as process,
        ):
            name_files(process, names)
            told = process.stdout.read().decode() if process.stdout else ""
        return [name for name in told.splitlines() if NAME.fullmatch(name) or CONTENT.fullmatch(name)]

    def try_copy(self, folder: Path) -> None:
        """Copy a small file there and remove it again, to see that copying works. folder: an empty one of ours.

        Raises Unavailable, Refused.
        """
        files.replace(folder / TRIAL, "a trial of copying\n")
        try:
            self.send(folder, [TRIAL], lambda _done: None)
        finally:
            (folder / TRIAL).unlink(missing_ok=True)
        self.remove(folder, [TRIAL])

    def remove(self, empty: Path, names: Iterable[str]) -> None:
        """Remove these files; all others stay. empty: a folder with nothing in it.

        Raises Unavailable, Refused.
        """
        for name in sorted(names, key=lambda name: not is_manifest(name)):
            # The manifest first: what is left without it is no backup any more.
            self._remove(empty, [checked(name)], self.destination.folder)

    def remove_contents(self, empty: Path, names: Iterable[str]) -> None:
        """Remove these copies of files; all others stay. names: as `list_contents` gives them.

        Raises Unavailable, Refused.
        """
        folders: dict[str, list[str]] = {}
        for name in names:
            folder, _, last = checked(name).rpartition("/")
            folders.setdefault(folder, []).append(last)
        for folder, found in folders.items():
            for first in range(0, len(found), AT_ONCE):
                self._remove(empty, found[first : first + AT_ONCE], f"{self.destination.folder}{folder}/")

    def _remove(self, empty: Path, names: Sequence[str], folder: str) -> None:
        chosen = [*(f"--include=/{name}" for name in names), "--exclude=*"]
        removing = ["--delete", f"--max-delete={len(names)}", "--recursive"]
        with self._translated():
            run(
                [*self._rsync(), *chosen, *removing, "--", f"{empty}/", folder],
                timeout_seconds=ASK_SECONDS + IDLE_SECONDS,
                env=self._environment(),
            )

    def _copy(self, names: Sequence[str], ends: list[str], look: Look) -> None:
        if not names:
            return
        argv = [
            *self._rsync(),
            "--times",
            "--chmod=F600,D700",
            f"--partial-dir={PARTIAL}",
            "--delay-updates",
            "--mkpath",
        ]
        argv += ["--info=progress2", "--no-h", "--no-inc-recursive", "--files-from=-", "--from0", "--"]
        with (
            self._translated(),
            stage([*argv, *ends], env=self._environment(), stdin=PIPE, stdout=PIPE) as process,
        ):
            name_files(process, names)
            watch(process, look)

    def _rsync(self) -> list[str]:
        return [program_path("rsync"), f"--timeout={IDLE_SECONDS}", f"--bwlimit={self._kbps}", "--secluded-args"]

    def _environment(self) -> dict[str, str]:
        """Write the configuration of ssh anew, and name it. Raises Refused when nothing was prepared."""
        if not self.is_prepared:
            raise Refused("the other machine is not known yet; run `launchdb backups offsite`")
        values = {"key": self._percent(KEY), "known_hosts": self._percent(KNOWN_HOSTS), "port": self._port}
        path = self._folder / CONFIG
        text = render("ssh.config", values)
        if not files.holds(path, text):
            files.replace(path, text)
        quoted = str(path).replace("'", "''")  # as rsync(1) reads it, -e
        return {"LC_ALL": "C", "HOME": str(self._folder), "RSYNC_RSH": f"{program_path('ssh')} -F '{quoted}'"}

    def _percent(self, name: str) -> str:
        return str(self._folder / name).replace("%", "%%")  # ssh_config(5), TOKENS

    @property
    def _address(self) -> str:
        return f"{self.destination.address}, port {self._port}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ProgramFailed as error:
            raise self._meant(error) from error

    def _meant(self, error: ProgramFailed) -> Exception:
        """Return what a failure of rsync means to people."""
        if _HOST_KEY.search(error.said):
            return HostKeyChanged(
                f"the SSH server at {self._address} shows another key than the one that was pinned, or none: "
                "nothing was copied. If it is right, run `launchdb backups offsite`"
            )
        if "Permission denied (" in error.said:
            return Refused(
                f"{self.destination.user} at {self._address} does not let our key in; add the line that "
                "`launchdb backups offsite` prints to its authorized_keys"
            )
        if "No space left on device" in error.said:
            return Refused(f"the disk at {self._address} is full; what is there stays, nothing half is listed")
        if "command not found" in error.said or "rsync: not found" in error.said:
            return Refused(f"rsync is not installed at {self._address}")
        if error.status in _AWAY:
            return Unavailable(f"{self._address} cannot be reached, or went away", dependency="off-site")
        return Refused(f"copying to {self._address} failed: {error}")
