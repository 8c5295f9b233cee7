"""Between a connected socket and the library that reads it: what comes is let through a little at a time, and counted.

libpq reads a huge message for as long as there is more of it, in one call that nobody can end.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios

# So much is let through at a time; a pair of sockets holds more than that.
PORTION_BYTES = 32 * 1024


class Sluice:
    """Takes the place of a socket under its own descriptor, until that is restored. One thread's.

    count  bytes that were let through
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._server = socket.socket(fileno=os.dup(descriptor))
        self._near, far = socket.socketpair()
        far.setblocking(False)
        os.dup2(far.fileno(), descriptor, inheritable=False)
        far.close()
        self.count = 0

    def fileno(self) -> int:
        """Return the descriptor at which to wait for more."""
        return self._server.fileno()

    def let_through(self) -> None:
        """Pass on what is there, up to a portion, or the end."""
        try:
            portion = self._server.recv(PORTION_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            portion = b""
        if portion:
            self._near.sendall(portion)
            self.count += len(portion)
        else:
            self._near.shutdown(socket.SHUT_WR)

    def restore(self) -> bool:
        """Put the socket back into its place; return whether everything that was let through has been read."""
        is_read = self.unread == 0
        os.dup2(self._server.fileno(), self._descriptor, inheritable=False)
        self.close()
        return is_read

    def close(self) -> None:
        """Release what is ours, where the library has given its descriptor back: that may be somebody else's by now."""
        self._server.close()
        self._near.close()

    @property
    def unread(self) -> int:
        """Return how many bytes were let through and not read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))[0])
