"""Answers of a project where the platform's own pages live as well: they cannot act there.

A project is served below a path of the platform's address, so to a browser whatever its functions send comes from the
dashboard's origin. It gets data from there, and neither pages that run, nor cookies, nor orders to the browser.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.data.run.respond import DataResponse

PLAIN = "text/plain; charset=utf-8"
NOSNIFF = ("X-Content-Type-Options", "nosniff")
ISOLATED = (
    NOSNIFF,
    ("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'"),
)
# What browsers run, or take as a part of another page: HTML, XML of all kinds, scripts, style sheets, parts of such.
_ACTIVE = re.compile(r"(?:html|xml|css|script[0-9.]*|xsl|xslt)(?![\w.+-])|multipart/", re.IGNORECASE)
# What a browser keeps for the whole address, or does to it.
_ORDERS = frozenset(
    {
        "set-cookie", "set-cookie2", "clear-site-data", "service-worker-allowed", "strict-transport-security",
        "alt-svc", "nel", "report-to", "reporting-endpoints", "refresh", "expect-ct", "public-key-pins",
        "x-content-type-options", "content-security-policy", "content-security-policy-report-only",
    }
)  # fmt: skip


def isolated(answer: DataResponse) -> DataResponse:
    """Return an answer that no browser runs, and that sets nothing for the address it comes from."""
    headers: dict[str, list[tuple[str, str]]] = {}
    for name, value in answer.headers:
        headers.setdefault(name.lower(), []).append((name, value))
    # Of two the browser takes the last, and a proxy may join them.
    types = headers.pop("content-type", [])
    kept = [entry for name, entries in headers.items() if name not in _ORDERS for entry in entries if _is_ours(*entry)]
    if types:
        active = any(_ACTIVE.search(value) for _, value in types)
        kept.append(("Content-Type", PLAIN if active else types[-1][1]))
    return replace(answer, headers=[*kept, *ISOLATED])


def _is_ours(name: str, value: str) -> bool:
    """Return whether a header asks for no password: one that is typed there would be the platform's."""
    return name.lower() != "www-authenticate" or value.lower().startswith("bearer")
