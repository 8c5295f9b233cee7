"""Requests to servers that tenants name: where they may lead, and how much they may take."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

import pytest

from infra.errors import Refused, Unavailable
from infra.outbound import addresses
from infra.outbound.addresses import AddressRefused, is_public, parse_networks
from infra.outbound.http import ANSWER_BYTES_MAX, Outbound

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@contextmanager
def server(*pieces, pause=0.0, family=socket.AF_INET, address="127.0.0.1"):
    """A server that says these pieces to whoever comes."""
    listener = socket.socket(family)
    listener.bind((address, 0))
    listener.listen(8)
    listener.settimeout(0.1)
    over, came = threading.Event(), []

    def serve():
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            came.append(peer)
            try:
                peer.recv(65536)
                for piece in pieces:
                    peer.sendall(piece)
                    over.wait(pause)
            except OSError:
                pass
            peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], came
    over.set()
    thread.join()
    listener.close()


OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
    ],
)
def test_only_addresses_of_the_public_network_are_public(address, public):
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_of_this_machine_is_refused_before_anything_is_sent(host, scheme):
    with server(OK) as (port, came), pytest.raises(AddressRefused):
        Outbound(seconds=3).get_json(f"{scheme}://{host}:{port}/")
    assert came == []


def test_an_allowed_network_is_reached():
    with server(OK) as (port, _):
        assert Outbound(LOOPBACK, 3).get_json(f"http://127.0.0.1:{port}/") == {"a": 1}


def test_a_public_server_is_not_asked_without_tls(monkeypatch):
    monkeypatch.setattr(addresses, "_resolved", lambda *_: [(socket.AF_INET, ("93.184.216.34", 80))])
    with pytest.raises(AddressRefused):
        Outbound(LOOPBACK, 3).get_json("http://example.com/")


def test_a_redirect_is_not_followed():
    with server(OK) as (inner, came):
        moved = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n".encode()
        with server(moved) as (port, _), pytest.raises(Refused, match="redirect"):
            Outbound(LOOPBACK, 3).get_json(f"http://127.0.0.1:{port}/")
        assert came == []


def test_an_answer_is_read_up_to_a_limit():
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {ANSWER_BYTES_MAX * 2}\r\n\r\n".encode()
    with server(head, b"1" * ANSWER_BYTES_MAX * 2) as (port, _), pytest.raises(Refused, match="too large"):
        Outbound(LOOPBACK, 3).get_json(f"http://127.0.0.1:{port}/")


@pytest.mark.timing
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: "])
def test_a_server_that_drips_is_left_in_time(head):
    with server(head, *[b"1"] * 100, pause=0.05) as (port, _):
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            Outbound(LOOPBACK, 1).get_json(f"http://127.0.0.1:{port}/")
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("body", [b"nothing", b"", b"[" * 100_000])
def test_what_is_no_json_is_refused(body):
    with (
        server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as (port, _),
        pytest.raises(Refused),
    ):
        Outbound(LOOPBACK, 3).get_json(f"http://127.0.0.1:{port}/")


def test_networks_are_read_from_a_list():
    assert parse_networks("127.0.0.1, 10.0.0.0/8,::1") == tuple(
        map(ip_network, ("127.0.0.1/32", "10.0.0.0/8", "::1/128"))
    )
    with pytest.raises(ValueError, match="does not appear"):
        parse_networks("here")
