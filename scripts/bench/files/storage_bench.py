"""Uploads, downloads and lists of Storage beside Caddy serving the same files, `dd` and a bare Flask view, by turns."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from config.settings import CHECKOUT
from infra.embedded.programs import caddy_binary
from infra.pipeline import PIPE, run, spawn
from scripts.bench.auth_bench import by_turns
from scripts.bench.figures import Figure, exit_status, percentile, print_figures, tree
from scripts.bench.installation import free_port, installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.bench.installation import BenchInstallation

KB, MB = 1024, 1024 * 1024
ROUNDS, LARGE_ROUNDS, LISTS = 200, 3, 100
LARGE_MB, FULL_MB, OBJECTS, LISTED = 500, 2048, 100_000, 10_000
LEAST_LARGE, LEAST_SMALL, LIST_MS, MEMORY_MB = 0.7, 0.5, 50.0, 150.0
START_SECONDS = 30.0
MANY = """
INSERT INTO storage.objects (bucket_id, name, version, metadata)
SELECT 'many', CASE WHEN n <= %s THEN 'list/' ELSE 'f' || n %% 500 || '/' END || 'object-' || n,
       gen_random_uuid()::text, '{"size": 1234, "mimetype": "image/jpeg", "eTag": "x"}' FROM generate_series(1, %s) AS n
"""


@contextmanager
def program(*argv: str | Path) -> Iterator[httpx.Client]:
    """Run a server until the block ends; `PORT` in its arguments stands for its port. Yields a client of it."""
    port = free_port()
    command = [str(part).replace("PORT", str(port)) for part in argv]
    process = spawn(command, cwd=CHECKOUT, stdout=PIPE, stderr=PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300.0) as client:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.communicate()


class Stored:
    """A project's Storage, by its service key."""

    def __init__(self, at: BenchInstallation) -> None:
        project = at.create("bench", wait_seconds=60)["project"]["id"]
        body = {"fileBytes": 5 * 1024 * MB, "ratePerMinute": 10_000_000}
        done = at.http.patch(f"/api/projects/{project}/settings", json=body, headers={"Prefer": "wait=60"})
        done.raise_for_status()
        known = at.http.get(f"/api/projects/{project}/connection").json()
        self.database = known["databaseUrl"]
        key = {"Authorization": f"Bearer {known['serviceRoleKey']}"}
        self.client = httpx.Client(base_url=f"{known['projectUrl']}/storage/v1", headers=key, timeout=300.0)
        for bucket in ("files", "many"):
            self.client.post("/bucket", json={"name": bucket}).raise_for_status()

    def upload(self, name: str, content: Any, size: int) -> None:
        """Store an object."""
        headers = {"X-Upsert": "true", "Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self.client.post(f"/object/files/{name}", content=content, headers=headers).raise_for_status()

    def list(self, body: dict[str, Any], version: str = "list") -> int:
        """List; return how many entries came."""
        answer = self.client.post(f"/object/{version}/many", json=body)
        answer.raise_for_status()
        found = answer.json()
        return len(found) if version == "list" else len(found["objects"]) + len(found["folders"])


def zeros(megabytes: int) -> Iterator[bytes]:
    """Return so much content, a megabyte at a time."""
    part = bytes(MB)
    for _ in range(megabytes):
        yield part


def drained(client: httpx.Client, path: str) -> None:
    """Download and throw away."""
    with client.stream("GET", path) as answer:
        answer.raise_for_status()
        for _part in answer.iter_raw(MB):
            pass


def small(stored: Stored, bare: httpx.Client, caddy: httpx.Client, size: int, word: str) -> list[Figure]:
    """Return figures of an object of some size, asked by turns."""
    content, name = b"x" * size, f"small-{size}"
    headers = {"Content-Type": "application/octet-stream"}
    took = by_turns(
        ROUNDS,
        bare_up=lambda: bare.put(f"/{name}", content=content, headers=headers).raise_for_status(),
        our_up=lambda: stored.upload(name, content, size),
        bare_down=lambda: bare.get(f"/{name}").raise_for_status(),
        caddy_down=lambda: caddy.get(f"/{name}").raise_for_status(),
        our_down=lambda: stored.client.get(f"/object/files/{name}").raise_for_status(),
    )
    middle = {way: percentile(times, 0.5) for way, times in took.items()}
    rate = middle["bare_down"] / middle["our_down"]
    aim = (f"at least {LEAST_SMALL}", rate >= LEAST_SMALL) if size == KB else ("", None)
    return [
        Figure(f"upload of {word}, p50", middle["our_up"], "ms", middle["bare_up"]),
        Figure(f"download of {word}, p50", middle["our_down"], "ms", middle["bare_down"]),
        Figure("the same beside Caddy, p50", middle["our_down"], "ms", middle["caddy_down"]),
        Figure(f"download of {word}, rate beside the bare view", rate, "", None, *aim),
    ]


def large(
    stored: Stored, bare: httpx.Client, caddy: httpx.Client, edge: httpx.Client, folder: Path, megabytes: int
) -> list[Figure]:
    """Return figures of a large object: megabytes a second, medians. edge: Storage, through Caddy."""
    size, name = megabytes * MB, "large"

    def dd() -> None:
        run(["dd", "if=/dev/zero", f"of={folder}/dd", "bs=1M", f"count={megabytes}", "conv=fsync"], timeout_seconds=300)

    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    took = _by_turns_large(
        dd=dd,
        bare_up=lambda: bare.put(f"/{name}", content=zeros(megabytes), headers=headers).raise_for_status(),
        our_up=lambda: stored.upload(name, zeros(megabytes), size),
        bare_down=lambda: drained(bare, f"/{name}"),
        caddy_down=lambda: drained(caddy, f"/{name}"),
        our_down=lambda: drained(stored.client, f"/object/files/{name}"),
        edge_down=lambda: drained(edge, f"{stored.client.base_url.path.rstrip('/')}/object/files/{name}"),
    )
    speed = {way: megabytes / seconds for way, seconds in took.items()}
    up, down = speed["our_up"] / speed["bare_up"], speed["our_down"] / speed["caddy_down"]
    aim, went = f"at least {LEAST_LARGE}", f"download of {megabytes} MB beside"
    return [
        Figure(f"dd of {megabytes} MB with fsync", speed["dd"], "MB/s"),
        Figure(f"upload of {megabytes} MB", speed["our_up"], "MB/s", speed["bare_up"], aim, up >= LEAST_LARGE),
        Figure(f"{went} the bare view", speed["our_down"], "MB/s", speed["bare_down"]),
        Figure(f"{went} Caddy", speed["our_down"], "MB/s", speed["caddy_down"], aim, down >= LEAST_LARGE),
        Figure("the same through Caddy, without a hand-over", speed["edge_down"], "MB/s", speed["caddy_down"]),
    ]  # fmt: skip


def _by_turns_large(**ways: Callable[[], object]) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(LARGE_ROUNDS):
        for name, ask in ways.items():
            began = time.perf_counter()
            ask()
            took[name].append(time.perf_counter() - began)
    return {name: percentile(times, 0.5) for name, times in took.items()}


def lists(stored: Stored) -> list[Figure]:
    """Return figures of lists in a bucket of 100,000 objects."""
    with psycopg.connect(stored.database, autocommit=True) as owner:
        owner.execute(MANY, (LISTED, OBJECTS))
        owner.execute("ANALYZE storage.objects")
    newest = {"column": "created_at", "order": "desc"}
    ways: dict[str, Callable[[], int]] = {
        "root": lambda: stored.list({"prefix": ""}),
        "folder of 10,000, a page": lambda: stored.list({"prefix": "list"}),
        "folder of 10,000 by time": lambda: stored.list({"prefix": "list", "sortBy": newest}),
        "v2, a page with a delimiter": lambda: stored.list({"with_delimiter": True, "limit": 100}, "list-v2"),
        "v2, a page of keys": lambda: stored.list({"prefix": "list/", "limit": 100}, "list-v2"),
    }  # fmt: skip
    found = []
    for word, took in by_turns(LISTS, **ways).items():
        slow = percentile(took, 0.95)
        found.append(Figure(f"list: {word}, p95", slow, "ms", None, f"below {LIST_MS:g}", slow < LIST_MS))
    began = time.perf_counter()
    pages = [stored.list({"prefix": "list", "limit": 1000, "offset": at}) for at in range(0, LISTED, 1000)]
    found.append(Figure(f"list: all {sum(pages)} of a folder", (time.perf_counter() - began) * 1000, "ms"))
    return found


@contextmanager
def memory_watched(at: BenchInstallation) -> Iterator[list[float]]:
    """Watch how large the largest of our processes that serve gets, in MB."""
    most, stopped = [0.0], threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            most[0] = max(most[0], *(_resident(pid) for pid in tree(at.supervisor)))

    thread = threading.Thread(target=watch)
    thread.start()
    yield most
    stopped.set()
    thread.join()
    if not most[0]:
        raise RuntimeError("none of our processes was seen")


def _resident(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4096 / MB if b"python" in words or b"gunicorn" in words else 0.0


def main(arguments: list[str]) -> int:
    """Measure, print, clean up; return 1 when an aim is missed."""
    with installation() as at, ExitStack() as stack:
        stored, folder = Stored(at), at.settings.home / "floor"
        folder.mkdir()
        gunicorn = Path(sys.executable).with_name("gunicorn")
        bare = stack.enter_context(
            program(
                gunicorn, "-w", "1", "-k", "gthread", "--threads", "16", "-b", "127.0.0.1:PORT", "--no-control-socket",
                f"scripts.bench.files.storage_apps:bare({str(folder)!r})",
            )
        )  # fmt: skip
        caddy = stack.enter_context(
            program(caddy_binary(), "file-server", "--root", folder, "--listen", "127.0.0.1:PORT")
        )
        edge = stack.enter_context(
            program(caddy_binary(), "reverse-proxy", "--from", "http://127.0.0.1:PORT", "--to", at.settings.base_url)
        )
        edge.headers.update(stored.client.headers)
        found = [*small(stored, bare, caddy, KB, "1 KB"), *small(stored, bare, caddy, MB, "1 MB")]
        found += large(stored, bare, caddy, edge, folder, LARGE_MB)
        if "--full" in arguments:
            with memory_watched(at) as most:
                stored.upload("huge", zeros(FULL_MB), FULL_MB * MB)
                drained(stored.client, "/object/files/huge")
            found.append(
                Figure("memory, 2 GB each way", most[0], "MB", None, f"below {MEMORY_MB:g}", most[0] < MEMORY_MB)
            )
        found += lists(stored)
        stored.client.close()
    print_figures("Storage beside Caddy, dd and a bare Flask view", found)
    return exit_status(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
