"""Which page of the users is asked for, and the links to those around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from app.auth.errors import validation_error
from app.auth.json_values import is_storable

if TYPE_CHECKING:
    from app.auth.serve.call import AuthCall

PER_PAGE, PER_PAGE_MAX, PAGE_MAX, FILTER_MAX = 50, 1000, 1_000_000_000, 255
SORTS = ("created_at", "updated_at", "last_sign_in_at", "email")


@dataclass(frozen=True)
class Page:
    """One page of a list: the number, from 1 on, of so many entries each, sorted by a column, the newest first or not.

    filter  what address or full name have to contain; "" for all
    """

    number: int
    size: int
    sort: str = "created_at"
    ascending: bool = False
    filter: str = ""

    def links(self, url: str, total: int) -> str:
        """Return the header Link: the next page, if there is one, and the last; `page` first, as clients read it."""
        last = max(1, -(-total // self.size))
        wanted = [("last", last)] if self.number >= last else [("next", self.number + 1), ("last", last)]
        more = f"&filter={quote(self.filter, safe='')}" if self.filter else ""
        return ", ".join(f'<{url}?page={page}&per_page={self.size}{more}>; rel="{name}"' for name, page in wanted)


def page_of(call: AuthCall) -> Page:
    """Return the page that the query asks for; parameters may be empty. Raises AuthError."""
    wanted = call.query.get("filter", "")
    if len(wanted) > FILTER_MAX or not is_storable(wanted):
        raise validation_error("Bad filter parameter")
    column, _, direction = (call.query.get("sort") or "created_at desc").strip().lower().partition(" ")
    direction = direction.strip() or "asc"
    if column not in SORTS or direction not in ("asc", "desc"):
        raise validation_error(f"Bad sort parameter: one of {', '.join(SORTS)}, then asc or desc")
    return Page(
        number=_number(call, "page", 1, PAGE_MAX),
        size=min(PER_PAGE_MAX, _number(call, "per_page", PER_PAGE, PAGE_MAX)),
        sort=column,
        ascending=direction == "asc",
        filter=wanted,
    )


def _number(call: AuthCall, name: str, default: int, most: int) -> int:
    given = call.query.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(most)) and 1 <= int(given) <= most):
        raise validation_error(f"Bad Pagination Parameters: {name} must be a number from 1 to {most}")
    return int(given)
