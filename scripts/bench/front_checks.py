"""How a server behaves towards clients that are slow, that stream, that break off, and when it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from infra.sockets import is_listening
from scripts.bench.front_apps import BIG_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import Popen

CROWD = 64
PATIENCE_SECONDS = 1.5
HEAD = "{method} {path} HTTP/1.1\r\nHost: x\r\n"


def head(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request."""
    return (HEAD.format(method=method, path=path) + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode("latin-1")


@contextmanager
def connected(place: Path, seconds: float = 5.0) -> Iterator[socket.socket]:
    """Lend a connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(place))
        yield connection


def wait_until_listening(process: Popen[bytes], place: Path, seconds: float) -> None:
    """Wait until a server listens at its socket. Raises RuntimeError, with the end of the log beside it, otherwise."""
    deadline = time.monotonic() + seconds
    while not (place.exists() and is_listening(place)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((place.parent / "log").read_text()[-2000:])
        time.sleep(0.05)


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the other side ends, or nothing comes for the connection's patience."""
    said = b""
    with suppress(OSError):
        while found := connection.recv(65_536):
            said += found
    return said


def is_prompt(place: Path) -> bool:
    """Return whether ten clients who behave are each answered soon."""
    for _ in range(10):
        with connected(place, PATIENCE_SECONDS) as connection:
            connection.sendall(head("GET", "/", "Connection: close"))
            if not all_of(connection).startswith(b"HTTP/1.1 200"):
                return False
    return True


def _crowd(place: Path, first: bytes) -> bool:
    """Return whether others are served while a crowd has sent that much and no more."""
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(connected(place)).sendall(first)
        time.sleep(0.3)
        return is_prompt(place)


def slow_heads(place: Path, _pid: int) -> bool:
    """Return whether others are served while many send a head that does not end."""
    return _crowd(place, b"GET / HTTP/1.1\r\nX-Slow: ")


def slow_bodies(place: Path, _pid: int) -> bool:
    """Return whether others are served while many send a body that does not end."""
    return _crowd(place, head("POST", "/length", "Content-Length: 100") + b"x")


def slow_chunks(place: Path, _pid: int) -> bool:
    """Return whether others are served while many send a body in chunks that does not end."""
    return _crowd(place, head("POST", "/length", "Transfer-Encoding: chunked") + b"5\r\nab")


def slow_readers(place: Path, _pid: int) -> bool:
    """Return whether others are served while many take nothing of a large answer."""
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(connected(place)).sendall(head("GET", "/big"))
        time.sleep(0.5)
        return is_prompt(place)


def a_slow_head_is_told(place: Path, _pid: int) -> bool:
    """Return whether a head that does not end is answered with 408 within 13 seconds."""
    with connected(place, 13) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        return all_of(connection).startswith(b"HTTP/1.1 408")


def a_body_streams_in(place: Path, _pid: int) -> bool:
    """Return whether the application gets a part of a body before the last is sent, and the client the answer to it."""
    with connected(place, PATIENCE_SECONDS) as connection:
        connection.sendall(head("POST", "/echo", "Transfer-Encoding: chunked") + b"800\r\n" + b"abcd" * 512 + b"\r\n")
        said = b""
        with suppress(OSError):
            while b"abcd" not in said and (found := connection.recv(65_536)):
                said += found
        return b"abcd" in said


def events_stream_out(place: Path, _pid: int) -> bool:
    """Return whether the first event comes before the others are there."""
    with connected(place, PATIENCE_SECONDS) as connection:
        connection.sendall(head("GET", "/events"))
        said = b""
        while b"data: 0" not in said and (found := connection.recv(65_536)):
            said += found
        return b"data: 0" in said and b"data: 5" not in said


def idle_streams_leave_room(place: Path, _pid: int) -> bool:
    """Return whether others are served while half of the threads stream events."""
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connected(place)).sendall(head("GET", "/events"))
        time.sleep(0.3)
        return is_prompt(place)


def a_broken_body_is_told(place: Path, _pid: int) -> bool:
    """Return whether the client whose body ends early gets the application's 400."""
    with connected(place) as connection:
        connection.sendall(head("POST", "/length", "Content-Length: 100") + b"[1")
        connection.shutdown(socket.SHUT_WR)
        return all_of(connection).startswith(b"HTTP/1.1 400")


def long_urls(place: Path, _pid: int) -> bool:
    """Return whether a URL of 16 KiB is served."""
    with connected(place) as connection:
        connection.sendall(head("GET", "/?" + "a" * 16_000, "Connection: close"))
        return all_of(connection).startswith(b"HTTP/1.1 200")


def refused(place: Path, sent: bytes) -> str:
    """Return the status and media type of what is said to a request that is no good, "nothing" or "silence"."""
    with connected(place, 2) as connection:
        with suppress(OSError):
            connection.sendall(sent)
        said = all_of(connection)
    lines = said.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    media = next((line.split(": ", 1)[1] for line in lines if line.lower().startswith("content-type:")), "")
    return f"{lines[0][9:12]} {media}".strip() or "nothing"


def too_large_heads(place: Path, _pid: int) -> bool:
    """Return whether a head of 300 KB is told so, in JSON."""
    return refused(place, b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000).startswith("431 application/")


def no_http(place: Path, _pid: int) -> bool:
    """Return whether what is no HTTP is told so, in JSON."""
    return refused(place, b"hello\r\n\r\n").startswith("400 application/")


def two_lengths(place: Path, _pid: int) -> bool:
    """Return whether a request with two lengths is refused."""
    sent = head("POST", "/length", "Content-Length: 1", "Content-Length: 2") + b"ab"
    return refused(place, sent).startswith("400")


def a_stop_finishes(place: Path, pid: int) -> bool:
    """Return whether a request that is being answered is finished after SIGTERM."""
    with connected(place) as connection:
        connection.sendall(head("GET", "/slow", "Connection: close"))
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        return all_of(connection).startswith(b"HTTP/1.1 200")


def a_stop_waits_for_heads(place: Path, pid: int) -> bool:
    """Return whether a request whose head is half there is answered after SIGTERM."""
    with connected(place) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        with suppress(OSError):
            connection.sendall(b"Connection: close\r\n\r\n")
        return all_of(connection).startswith((b"HTTP/1.1 200", b"HTTP/1.1 408"))


def a_stop_lets_in(place: Path, pid: int) -> bool:
    """Return whether who has connected, but was not looked at yet, is answered after SIGTERM."""
    os.kill(pid, signal.SIGSTOP)
    with connected(place) as connection:
        connection.sendall(head("GET", "/", "Connection: close"))
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        return all_of(connection).startswith(b"HTTP/1.1 200")


def large_answers(place: Path, _pid: int) -> bool:
    """Return whether a large answer arrives whole."""
    with connected(place) as connection:
        connection.sendall(head("GET", "/big", "Connection: close"))
        return len(all_of(connection).partition(b"\r\n\r\n")[2]) == BIG_BYTES


CHECKS: tuple[Callable[[Path, int], bool], ...] = (
    slow_heads, slow_bodies, slow_chunks, slow_readers, a_slow_head_is_told, a_body_streams_in, events_stream_out,
    idle_streams_leave_room, large_answers, a_broken_body_is_told, long_urls, too_large_heads, no_http,
    two_lengths,
)  # fmt: skip
# Each of these ends the server.
STOPS: tuple[Callable[[Path, int], bool], ...] = (a_stop_finishes, a_stop_waits_for_heads, a_stop_lets_in)
