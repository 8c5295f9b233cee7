"""The kinds of requests that benches of the data API send."""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 1000
# Such as supabase-js sends: what a request costs hangs on how many there are.
HEADERS = (
    "Host: bench.test\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: node\r\nX-Client-Info: bench"
)


@dataclass(frozen=True)
class Case:
    """One kind of request. id: the path has a number in place of `{}`, another each time; aim: least ratio."""

    name: str
    method: str
    path: str
    aim: float
    body: str = ""
    status: int = 200

    def request(self, number: int, path: str = "") -> bytes:
        """Return the request as it is sent, with this number. path: of a view that answers the same."""
        more = f"\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}" if self.body else ""
        line = f"{self.method} {(path or self.path).format(number)} HTTP/1.1"
        return f"{line}\r\n{HEADERS}{more}\r\n\r\n{self.body}".encode()


CASES = (
    Case("a row by its key", "GET", "/items?id=eq.{}", 0.7),
    Case("100 rows", "GET", "/items?order=id&limit=100", 0.85),
    Case("a row with an embedded resource", "GET", "/authors?id=eq.{}&select=id,name,books(id,title)", 0.7),
    Case("insert", "POST", "/notes", 0.7, '{"name":"a note"}', 201),
    Case("rpc", "POST", "/rpc/add", 0.7, '{"a":1,"b":2}'),
)
