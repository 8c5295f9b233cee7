"""How large the head of a request may be, for every front and for the edge before it; and what is said beyond that."""

from __future__ import annotations

# What is promised: path and query below the address of a data API.
URL_BYTES_MAX = 16_384
URL_TOO_LONG = "The URL is too long"
URL_TOO_LONG_CODE = "PGRST125"
URL_TOO_LONG_HINT = (
    "A URL has at most 16 KiB: ask for less at a time, or send a long list as the body of a function's call"
)
# A front counts the whole target, with the prefix that its data API stands behind: what is little more is left to that.
TARGET_BYTES_MAX = URL_BYTES_MAX + 128
# One field. The edge asks for a sleeping project with the target of the request in one.
FIELD_BYTES_MAX = TARGET_BYTES_MAX + 1024
# All of it: a target and 32 KiB of fields.
HEAD_BYTES_MAX = 49_152
# What the edge reads of a head before it is refused without our words: far beyond what we refuse in them.
EDGE_HEAD_BYTES_MAX = 1024 * 1024
