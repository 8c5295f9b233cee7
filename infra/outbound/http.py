"""HTTP to such servers: checked where a connection begins, bounded in time and bytes, and following no redirect."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from infra.errors import InfraError, Refused, Unavailable
from infra.outbound import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from requests import PreparedRequest, Response

SECONDS = 8.0
ANSWER_BYTES_MAX = 256 * 1024
_CHUNK = 16_384
_REDIRECTS = range(300, 400)


@dataclass(frozen=True)
class Outbound:
    """How requests leave for servers that tenants name.

    allowed  networks that may be reached although they are not public, and without TLS
    seconds  for one request with its whole answer
    """

    allowed: tuple[IPv4Network | IPv6Network, ...] = ()
    seconds: float = SECONDS

    def equip(self, session: requests.Session) -> None:
        """Have everything that a session asks go this way."""
        session.trust_env = False  # neither proxies nor passwords of the environment
        session.max_redirects = 0
        session.headers["User-Agent"] = "LaunchDB"
        for scheme in ("https://", "http://"):
            session.mount(scheme, BoundedAdapter(self.allowed, self.seconds))

    def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON that a GET of this address brings. Raises Refused, Unavailable."""
        with self.session() as session:
            return decoded(session.get(url, headers={"Accept": "application/json", **(headers or {})}))

    def post_form(self, url: str, form: Mapping[str, str]) -> Any:
        """Return the JSON that a form brings which is posted to this address. Raises Refused, Unavailable."""
        with self.session() as session:
            return decoded(session.post(url, data=dict(form), headers={"Accept": "application/json"}))

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        """Lend a session for a few requests; what goes wrong in it is one of ours. Raises Refused, Unavailable."""
        with translate_errors(), requests.Session() as session:
            self.equip(session)
            yield session


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what the library raises into Refused and Unavailable; what is no error of the network passes."""
    try:
        yield
    except requests.RequestException as error:
        if isinstance(error, requests.Timeout | requests.ConnectionError):
            raise Unavailable(f"the server could not be asked ({type(error).__name__})") from error
        raise Refused(f"the server could not be asked ({type(error).__name__})") from error


def decoded(response: Response) -> Any:
    """Return the JSON of an answer. Raises Refused for one that is none or no success, Unavailable for the server's."""
    if response.status_code >= 500:
        raise Unavailable(f"the server answered {response.status_code}")
    if response.status_code >= 300:
        raise Refused(f"the server answered {response.status_code}")
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise Refused("the server's answer is no JSON") from error


class BoundedAdapter(HTTPAdapter):
    """Asks within the bounds, by a connection of its own for each request."""

    def __init__(self, allowed: tuple[IPv4Network | IPv6Network, ...], seconds: float) -> None:
        self._allowed, self._seconds = allowed, seconds
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        """Make the pools, whose connections begin at a checked address."""
        super().init_poolmanager(*given, **named)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _pools(self._allowed)

    def send(self, request: PreparedRequest, **named: Any) -> Response:  # type: ignore[override]
        """Send a request and read its whole answer. Raises Refused, Unavailable."""
        with _deadline(self._seconds) as over:
            try:
                response = super().send(request, **{**named, "stream": True, "timeout": self._seconds, "proxies": {}})
                response._content = _read(response, over)  # noqa: SLF001 - where the library keeps what it has read
            except (requests.RequestException, HTTPError, OSError) as error:
                cause = _ours(error)
                if cause is not None:
                    raise cause from error
                why = "it took too long" if over.is_set() else type(error).__name__
                raise Unavailable(f"the server could not be asked ({why})") from error
            finally:
                self.poolmanager.clear()
        if response.status_code in _REDIRECTS:
            raise Refused("the server answered with a redirect, which is not followed")
        return response


def _ours(error: BaseException | None) -> InfraError | None:
    """Return the error of ours that others were wrapped around."""
    while error is not None and not isinstance(error, InfraError):
        reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)
    return error


def _read(response: Response, over: threading.Event) -> bytes:
    taken = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        taken += chunk
        if len(taken) > ANSWER_BYTES_MAX:
            raise Refused("the server's answer is too large")
    if over.is_set():  # the end of a connection that we shut looks like the end of an answer
        raise Unavailable("the server could not be asked (it took too long)")
    return bytes(taken)


class _Sockets(threading.local):
    """The connections that a request of this thread has begun."""

    deadline: float = 0.0
    begun: list[socket.socket] | None = None


_SOCKETS = _Sockets()


@contextmanager
def _deadline(seconds: float) -> Iterator[threading.Event]:
    """Shut the connections of this request when its time is over, however busily they are talked on."""
    over, begun = threading.Event(), list[socket.socket]()
    _SOCKETS.deadline, _SOCKETS.begun = time.monotonic() + seconds, begun

    def end() -> None:
        over.set()
        for each in begun:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        _SOCKETS.begun = None
        for each in begun:
            each.close()


def _begin(
    host: str, port: int, allowed: tuple[IPv4Network | IPv6Network, ...], *, private_only: bool
) -> socket.socket:
    left = max(0.1, _SOCKETS.deadline - time.monotonic())
    made = addresses.connect(host.strip("[]"), port, left, allowed, private_only=private_only)
    if _SOCKETS.begun is not None:
        # A copy of its own: the library wraps the other into TLS, which takes it over.
        _SOCKETS.begun.append(made.dup())
    return made


def _pools(allowed: tuple[IPv4Network | IPv6Network, ...]) -> dict[str, type[HTTPConnectionPool]]:
    """Return the kinds of pools by scheme. What is not encrypted goes to networks that the operator allowed alone."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _begin(self.host, self.port, allowed, private_only=True)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _begin(self.host, self.port, allowed, private_only=False)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
