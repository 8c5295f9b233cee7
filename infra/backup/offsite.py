"""Copies of backups on another machine: rsync over SSH with a key of our own, to a host whose key is pinned.

Nothing is ever deleted by copying (rsync(1), --delete, is used in `remove` alone, on files that are named). What is on
its way lies in a folder beside and gets its name when it is whole (--partial-dir, --delay-updates).
"""

from __future__ import annotations

import re
import selectors
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.destination import destination
from infra import files
from infra.backup.set_names import is_manifest
from infra.errors import Refused, Unavailable
from infra.pipeline import PIPE, ProgramFailed, run, stage
from infra.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from subprocess import Popen

    from config.settings import Settings

    Look = Callable[[int], None]

KEY, KNOWN_HOSTS, CONFIG = "backup_key", "known_hosts", "config"
COMMENT = "launchdb-backup"
PARTIAL = ".rsync-partial"
TRIAL = ".launchdb-trial"
IDLE_SECONDS, ASK_SECONDS, LOOK_SECONDS = 60, 30.0, 0.5
# What a set is made of. Whatever else lies on the other machine is not ours, and not looked at.
NAME = re.compile(r"[a-z0-9_]+_\d{8}_\d{6}\.(manifest\.json|(sql\.gz|dump\.zst|files\.zst)\.gpg)", re.ASCII)
# rsync(1): what it writes has a dot before and six characters behind its name until it is whole.
_LEFT = re.compile(rf"\.({NAME.pattern}|\.launchdb-trial)\.[A-Za-z0-9]{{6}}", re.ASCII)
_LISTED = re.compile(r"-\S{9} +(?P<size>\d+) \d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?P<name>\S+)", re.ASCII)
_PROGRESS = re.compile(rb"\r *(\d+) +\d+%")
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
                [_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", made],
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
        argv = [_program("ssh-keyscan"), "-T", "10", "-p", str(self._port), "-t", "ed25519", self.destination.address]
        try:
            lines = [line for line in run(argv, timeout_seconds=ASK_SECONDS).splitlines() if not line.startswith("#")]
        except ProgramFailed:
            lines = []
        if not lines:
            raise Unavailable(f"nobody answers as an SSH server with an ed25519 key at {self._address}")
        line = lines[0]
        told = run([_program("ssh-keygen"), "-l", "-f", "-"], timeout_seconds=ASK_SECONDS, feed=f"{line}\n".encode())
        return line, told.split()[1]

    def pinned(self) -> str | None:
        """Return the fingerprint of the key that is pinned, or None."""
        path = self._folder / KNOWN_HOSTS
        if not path.exists():
            return None
        told = run([_program("ssh-keygen"), "-l", "-f", path], timeout_seconds=ASK_SECONDS)
        return told.split()[1]

    def pin(self, line: str) -> None:
        """Pin this key as the only one that the host is known by."""
        files.replace(self._folder / KNOWN_HOSTS, f"{line}\n")

    def list_files(self) -> dict[str, int]:
        """Return the files of sets that lie there, with their sizes. Raises Unavailable, Refused."""
        return {name: size for name, size in self._all().items() if NAME.fullmatch(name)}

    def remove_leftovers(self, empty: Path) -> None:
        """Remove what a killed rsync has left there; nobody else may be copying. Raises Unavailable, Refused."""
        self.remove(empty, [name for name in self._all() if _LEFT.fullmatch(name)])

    def _all(self) -> dict[str, int]:
        try:
            told = run(
                [*self._rsync(), "--list-only", "--recursive", "--no-h", "--exclude=*/", "--", self.destination.folder],
                timeout_seconds=ASK_SECONDS + IDLE_SECONDS,
                env=self._environment(),
            )
        except ProgramFailed as error:
            if _NO_FOLDER.search(error.said):
                return {}
            raise self._meant(error) from error
        lines = (_LISTED.fullmatch(line) for line in told.splitlines())
        return {line["name"]: int(line["size"]) for line in lines if line}

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
            _name(process, names)
            told = process.stdout.read().decode() if process.stdout else ""
        return [name for name in told.splitlines() if NAME.fullmatch(name)]

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
            chosen = [f"--include=/{_checked(name)}", "--exclude=*", "--delete", "--max-delete=1", "--recursive"]
            with self._translated():
                run(
                    [*self._rsync(), *chosen, "--", f"{empty}/", self.destination.folder],
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
            _name(process, names)
            _watch(process, look)

    def _rsync(self) -> list[str]:
        return [_program("rsync"), f"--timeout={IDLE_SECONDS}", f"--bwlimit={self._kbps}", "--secluded-args"]

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
        return {"LC_ALL": "C", "HOME": str(self._folder), "RSYNC_RSH": f"{_program('ssh')} -F '{quoted}'"}

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


def _name(process: Popen[bytes], names: Sequence[str]) -> None:
    """Tell rsync which files are meant; it reads the list to its end before it says anything."""
    if process.stdin is None:
        raise ValueError("the program's input is not a pipe")
    process.stdin.write("".join(f"{_checked(name)}\0" for name in names).encode())
    process.stdin.close()


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None and _LEFT.fullmatch(name) is None and name != TRIAL:
        raise Refused("this is no name of a backup's file")
    return name


def _watch(process: Popen[bytes], look: Look) -> None:
    """Follow what rsync says of its progress until it has no more to say."""
    out, done = process.stdout, 0
    if out is None:
        raise ValueError("the program's output is not a pipe")
    with selectors.DefaultSelector() as ready:
        ready.register(out, selectors.EVENT_READ)
        while True:
            look(done)
            if not ready.select(LOOK_SECONDS):
                continue
            said = out.read1(1 << 16)  # type: ignore[attr-defined] # a pipe of Popen is buffered
            if not said:
                return
            if found := _PROGRESS.findall(said):
                done = int(found[-1])


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = "rsync" if name == "rsync" else "openssh-client"
        raise Refused(f"{name} is not installed; on Debian: apt-get install {package}")
    return found
