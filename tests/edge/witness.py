"""A service behind Caddy that says what reached it, with the headers of its answer that it was told to send."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from contextlib import contextmanager


class _Witness(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {
            "who": self.server.who,
            "method": self.command,
            "uri": self.path,
            "headers": headers,
            "bytes": len(body),
        }
        out = b"" if self.command == "HEAD" else json.dumps(told).encode()
        self.send_response(200)
        said = {"Content-Type": "application/json", **json.loads(self.headers.get("X-Say", "{}"))}
        for name, value in said.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def version_string(self):
        return "witness/1"

    def log_message(self, *_):
        pass


for _verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(_Witness, f"do_{_verb}", _Witness.answer)


class _OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)

    def handle_error(self, *_):
        pass


class _OnPort(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass


@contextmanager
def witness(place, who):
    """Serve at a Unix socket's path, or at a loopback port; what is told says who this is."""
    if isinstance(place, int):
        server = _OnPort(("127.0.0.1", place), _Witness)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        server = _OnSocket(str(place), _Witness)
    server.who = who
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
