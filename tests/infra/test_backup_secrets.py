"""While a backup is made and read, neither its key nor a password stands in any argument or environment, nor on the disk."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from infra.backup import archive
from infra.backup.dumps import PostgresPrograms
from infra.backup.fingerprint import open_reader
from infra.gpg import Gpg

pytestmark = pytest.mark.gpg

KEY = "canary-of-the-backup-key-0123456789"
ROW = "canary-of-a-row"


class Watcher(threading.Thread):
    """Reads the command line and environment of every process, again and again, and what lies in a folder."""

    def __init__(self, folder, *canaries):
        super().__init__(daemon=True)
        self.folder, self.canaries, self.done = folder, [canary.encode() for canary in canaries], threading.Event()
        self.seen, self.programs = set(), set()

    def run(self):
        while not self.done.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._look(entry)
            for path in self.folder.rglob("*"):
                self._search(path.read_bytes() if path.is_file() else b"", str(path))

    def _look(self, entry):
        try:
            words = (entry / "cmdline").read_bytes()
            self.programs.add(Path(words.split(b"\0")[0].decode(errors="replace")).name)
            self._search(words + (entry / "environ").read_bytes(), words.decode(errors="replace"))
        except OSError:
            return

    def _search(self, text, where):
        self.seen |= {(canary, where) for canary in self.canaries if canary in text}


def test_no_secret_and_no_row_is_ever_to_be_seen(settings, tenant, tmp_path):
    with tenant.connect(tenant.roles.owner) as owner:
        owner.execute("CREATE TABLE t AS SELECT n, %s || md5(n::text) FROM generate_series(1, 200000) n", (ROW,))
    gpg, path = Gpg(tmp_path / "gnupg"), tmp_path / "x.gpg"
    uri = tenant.uri(tenant.roles.dump)
    watcher = Watcher(tmp_path, KEY, ROW, tenant.passwords[tenant.roles.dump])
    watcher.start()
    with (
        open_reader(tenant.infra.databases.cluster, uri, "test") as look,
        PostgresPrograms.of(settings).dump(uri, "sql.gz", snapshot=look.snapshot, session="test") as plain,
    ):
        archive.store_file(plain, path, "gz", gpg, KEY, lambda _done: None)
    with archive.open_plain(path, "gz", gpg, KEY) as plain:
        archive.copy_bytes(plain, io.BytesIO(), most_bytes=1 << 30)
    watcher.done.set()
    watcher.join(10)
    assert {"pg_dump", "gpg"} <= watcher.programs, "the watcher looked while they ran"
    assert watcher.seen == set(), "No key, password or row stands in an argument, an environment or a file"
