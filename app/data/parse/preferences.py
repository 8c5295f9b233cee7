"""The Prefer header: what is asked for, and which of it was applied."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.data.errors import PgrstError

CHOICES = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "missing": ("default", "null"),
    "handling": ("strict", "lenient"),
}
_FORMS = {"timezone": re.compile(r"[A-Za-z0-9_+:/-]{1,64}"), "max-affected": re.compile(r"[0-9]{1,15}")}


@dataclass(frozen=True)
class Preferences:
    """What a request prefers; None where it says nothing."""

    resolution: str | None = None
    returning: str | None = None
    count: str | None = None
    end: str | None = None
    missing: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    invalid: tuple[str, ...] = ()

    @property
    def strict(self) -> bool:
        """Return whether a preference that cannot be met is an error."""
        return self.handling == "strict"

    def check(self) -> None:
        """Raise PgrstError (PGRST122) when an unknown preference was to be an error."""
        if self.strict and self.invalid:
            names = ", ".join(self.invalid)
            raise PgrstError(
                "PGRST122", "Invalid preferences given with handling=strict", f"Invalid preferences: {names}"
            )

    def applied(self, names: tuple[str, ...]) -> str | None:
        """Return the Preference-Applied header for those of `names` that were given."""
        values = {
            "resolution": self.resolution, "missing": self.missing, "return": self.returning, "count": self.count,
            "tx": self.end, "handling": self.handling, "timezone": self.timezone,
            "max-affected": self.max_affected if self.strict else None,
        }  # fmt: skip
        given = [f"{name}={value}" for name, value in values.items() if name in names and value is not None]
        return ", ".join(given) or None


def read(header: str | None, *, may_override_end: bool) -> Preferences:
    """Read a Prefer header. Of two that exclude each other the first counts."""
    if not header:
        return Preferences()
    found: dict[str, str] = {}
    invalid = []
    for part in (part.strip() for part in header.split(",")):
        name, _, value = part.partition("=")
        if value in CHOICES.get(name, ()) or (name in _FORMS and _FORMS[name].fullmatch(value)):
            found.setdefault(name, value)
        elif part and name != "max-affected":
            invalid.append(part)
    return Preferences(
        resolution=found.get("resolution"),
        returning=found.get("return"),
        count=found.get("count"),
        end=found.get("tx") if may_override_end else None,
        missing=found.get("missing"),
        handling=found.get("handling"),
        timezone=found.get("timezone"),
        max_affected=int(found["max-affected"]) if "max-affected" in found else None,
        invalid=tuple(invalid),
    )
