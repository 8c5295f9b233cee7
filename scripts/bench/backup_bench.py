"""A project of 340 MB, 32 of them in one row, backed up and restored by our jobs, beside the same by hand.

By hand: pg_dump, gzip or zstd, gpg, psql. The hand-written pipes do what an expert would write into a shell: the same
programs, gpg's own compression off, gzip as fast as it can be. The guide's pipe is the plain one, with the defaults.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from catalog import names
from catalog import secrets as kept
from infra.backup.dumps import PostgresPrograms
from infra.pipeline import run as run_program
from scripts.bench.figures import Figure, exit_status, percentile, print_figures
from scripts.bench.installation import installation

if TYPE_CHECKING:
    from scripts.bench.installation import BenchInstallation

ROUNDS = 3
ROWS = 1_200_000
MIXED = """
CREATE TABLE orders AS
SELECT n AS id, gen_random_uuid() AS customer, (random() * 1e6)::numeric(12, 2) AS total,
       now() - n * interval '1 s' AS at, md5(n::text) || ' ' || repeat(chr(97 + n % 26), n % 60) AS note,
       jsonb_build_object('n', n, 'tags', ARRAY['a', 'b']) AS more
  FROM generate_series(1, %(rows)s) n;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON orders (customer);
CREATE TABLE files AS
SELECT 1 AS id, decode(string_agg(md5(n::text), ''), 'hex') AS content FROM generate_series(1, 2097152) n;
"""
BY_HAND = {
    "sql.gz": "{dump} | gzip -1 | {gpg} > {out}",
    "dump.zst": "{dump} -Fc -Z0 | zstd -q -3 | {gpg} > {out}",
    "the guide's": "{dump} | gzip | {plain_gpg} > {out}",
}
GATE, GATE_ZST, GATE_RESTORE, GATE_MB = 0.9, 2.5, 0.9, 50.0


class Bench:
    """One project, its backups, and the same by hand."""

    def __init__(self, at: BenchInstallation) -> None:
        self.at = at
        body = at.create("bench", wait_seconds=60)
        self.id = str(body["project"]["id"])
        self.folder = at.settings.home / "by-hand"
        self.folder.mkdir()
        self.programs = PostgresPrograms.of(at.settings).folder
        with at.infra.database.autocommit() as tx:
            self.known = kept.read_all(tx, at.infra.vault, self.id)
        with psycopg.connect(self.uri("owner"), autocommit=True) as owner:
            owner.execute("SET statement_timeout = 0")
            owner.execute(MIXED.replace("%(rows)s", str(ROWS)).encode())

    def uri(self, part: str) -> str:
        """Return the URI of one of the project's logins."""
        login = f"{self.id}_{part}"
        return self.at.infra.databases.uri(names.database(self.id), login, self.known[names.password(login)])

    def memory_mb(self, figure: str) -> dict[int, float]:
        """Return by process how much memory each worker holds (VmRSS), or has held at most (VmHWM); proc(5)."""
        with self.at.infra.database.autocommit() as tx:
            pids = [int(row["name"].split(":")[1]) for row in tx.rows("SELECT name FROM workers")]
        found = {}
        for pid in pids:
            lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
            found[pid] = next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{figure}:"))
        return found

    def size_mb(self) -> float:
        """Return the size of the database."""
        with psycopg.connect(self.uri("dump")) as login:
            row = login.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) / 1e6 if row else 0.0

    def ours(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Ask for a job and wait; return the seconds of its long step, and the job."""
        answer = self.at.http.post(path, json=body, headers={"Prefer": "wait=60"}, timeout=120)
        answer.raise_for_status()
        job: dict[str, Any] = answer.json()["job"]
        if job["status"] != "succeeded":
            raise RuntimeError(f"{job['kind']}: {job['error']}")
        return max(step["durationMs"] for step in job["steps"]) / 1000, job

    def by_hand(self, what: str) -> float:
        """Back up by a shell's pipe; return the seconds it took."""
        key, home = self.folder / "key", self.folder / "gnupg"
        key.write_text("a-key-of-the-bench-0123456789\n")
        home.mkdir(mode=0o700, exist_ok=True)
        common = f"gpg --homedir {home} --batch --quiet --pinentry-mode loopback --passphrase-file {key} --symmetric"
        pg_dump = f"{self.programs / 'pg_dump'} --no-password --exclude-schema=launchdb"
        pipe = BY_HAND[what].format(
            dump=f"{pg_dump} --dbname={shlex.quote(self.plain_uri())}",
            gpg=f"{common} --cipher-algo AES256 --compress-algo none",
            plain_gpg=f"{common} --cipher-algo AES256",
            out=self.folder / "out",
        )
        return self.timed(pipe, PGPASSWORD=self.known[names.password(f"{self.id}_dump")])

    def plain_uri(self) -> str:
        """Return the dump login's URI without its password."""
        return self.uri("dump").replace(":" + self.uri("dump").split(":", 2)[2].split("@")[0], "", 1)

    def timed(self, pipe: str, **more: str) -> float:
        """Run a pipe in a shell; return the seconds it took. more: what stands in its environment besides."""
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **more}
        began = time.perf_counter()
        run_program(["bash", "-o", "pipefail", "-c", pipe], timeout_seconds=300, env=env)
        return time.perf_counter() - began

    def restored_by_hand(self, source: Path) -> float:
        """Restore a plain dump by psql into an empty database; return the seconds it took."""
        with self.at.infra.databases.cluster.session("bench") as admin:
            admin.execute("DROP DATABASE IF EXISTS by_hand WITH (FORCE)")
            admin.execute("CREATE DATABASE by_hand TEMPLATE template0")
        target = self.at.infra.database.conninfo
        key, home = self.folder / "key", self.folder / "gnupg"
        gpg = (
            f"gpg --homedir {home} --batch --quiet --pinentry-mode loopback --passphrase-file {key} --decrypt {source}"
        )
        psql = f"{self.programs / 'psql'} -X -q -o /dev/null -d {shlex.quote(make_conninfo(target, dbname='by_hand'))}"
        took = self.timed(f"{gpg} | gunzip | {psql}")
        with self.at.infra.databases.cluster.session("bench") as admin:
            admin.execute("DROP DATABASE by_hand WITH (FORCE)")
        return took


def main() -> int:
    """Measure and print; return 1 when a gate is not held."""
    results: dict[str, list[float]] = {}
    for form in ("sql.gz", "dump.zst"):
        with installation(BACKUP_FORMAT=form) as at:
            bench = Bench(at)
            size = bench.size_mb()
            path = f"/api/projects/{bench.id}/backups"
            held = bench.memory_mb("VmRSS")
            for _ in range(ROUNDS):
                took, job = bench.ours(path, {})
                results.setdefault(form, []).append(took)
                for what in (form, "the guide's"):
                    results.setdefault(f"{what} by hand", []).append(bench.by_hand(what))
                backup = job["result"]["backupId"]
                _, job = bench.ours(f"{path}/{backup}/verify", {})
                # Until the restored database is whole and compared; what follows is its proof and its end.
                results.setdefault(f"{form} restored", []).append(job["result"]["restoreMs"] / 1000)
                if form == "sql.gz":
                    bench.by_hand("sql.gz")
                    results.setdefault("psql", []).append(bench.restored_by_hand(bench.folder / "out"))
            grown = [most - held[pid] for pid, most in bench.memory_mb("VmHWM").items()]
            results.setdefault("growth", []).append(max(grown))
    middle = {name: percentile(values, 0.5) for name, values in results.items()}
    middle["growth"] = max(results["growth"])
    figures = _figures(middle, size)
    print_figures(f"Backup of a database of {size:.0f} MB", figures)
    return exit_status(figures)


def _figures(seconds: dict[str, float], size: float) -> list[Figure]:
    found = []
    for form in ("sql.gz", "dump.zst"):
        ours, floor = size / seconds[form], size / seconds[f"{form} by hand"]
        found.append(Figure(form, ours, "MB/s", floor, f">= {GATE} x by hand", ours >= GATE * floor))
    ours, floor = size / seconds["dump.zst"], size / seconds["the guide's by hand"]
    found.append(
        Figure("dump.zst beside the guide's pipe", ours, "MB/s", floor, f">= {GATE_ZST} x", ours >= GATE_ZST * floor)
    )
    ours, floor = size / seconds["sql.gz restored"], size / seconds["psql"]
    found.append(
        Figure(
            "restore and compare, sql.gz",
            ours,
            "MB/s",
            floor,
            f">= {GATE_RESTORE} x psql",
            ours >= GATE_RESTORE * floor,
        )
    )
    grown = seconds["growth"]
    found.append(Figure("a worker's growth", grown, "MB", None, f"<= {GATE_MB:.0f} MB", grown <= GATE_MB))
    found.append(Figure("restore and compare, dump.zst", size / seconds["dump.zst restored"], "MB/s"))
    return found


if __name__ == "__main__":
    sys.exit(main())
