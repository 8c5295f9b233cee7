"""How much has come over a connection that a library reads, which would otherwise only tell when it has read it all."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios

# Where the kernel's struct tcp_info has what was received.
BYTES_RECEIVED = slice(128, 136)


class ReceivedBytes:
    """Counts what comes over a connected socket that somebody else reads, by the kernel's count where it keeps one.

    unread  bytes that the kernel is to keep at most for who reads
    """

    def __init__(self, descriptor: int, *, unread: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._is_tcp = self._socket.family != socket.AF_UNIX
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, unread)
        self._counted = 0
        self._begun = self._total()

    def count(self) -> int:
        """Return how many bytes have come; of a Unix socket, what was there to be read whenever this was asked."""
        return self._total() - self._begun

    def close(self) -> None:
        """Look no longer; the connection stays open."""
        self._socket.close()

    def _total(self) -> int:
        if self._is_tcp:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED.stop)
            return int.from_bytes(told[BYTES_RECEIVED], sys.byteorder)
        self._counted += struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, bytes(4)))[0]
        return self._counted
