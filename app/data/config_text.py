"""The configuration of a data API as a file: an example of one, and what is in force."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.data.config import DataConfig

SECRETS = frozenset({"db-uri", "jwt-secret", "launchdb-db-uri-before", "launchdb-api-keys"})
HIDDEN = "(hidden)"
# What stands in a secret for bytes that are no UTF-8.
UNWRITABLE = frozenset(map(chr, range(0xDC80, 0xDD00)))
EXAMPLE = """\
## The options that most need; docs/data-api.md names all of them.

## The database, by a login that may become the roles below. "@/path" reads it from a file.
db-uri = "postgresql://authenticator@localhost:5432/postgres"

## The schemas that are served, and the role of a request without a token.
db-schemas = "public"
# db-anon-role = "web_anon"

## What tokens are signed with: at least 32 characters, a key set, or "@/path" of a file with either.
# jwt-secret = "@/run/secrets/jwt"
# jwt-role-claim-key = ".role"

## Most rows of an answer, connections, and whether clients may choose how a transaction ends.
# db-max-rows = 1000
# db-pool = 10
# db-tx-end = "commit"

## Where it listens. /live, /ready, /metrics, /schema_cache and /config are at the port of the administration.
server-host = "127.0.0.1"
server-port = 3000
# admin-server-port = 3001

## crit, error, warn, info or debug: answers of 500 and above are lines from error on, of 400 from warn, all from info.
log-level = "error"
"""


def dumped(config: DataConfig, *, with_secrets: bool) -> str:
    """Return a configuration in the syntax of its file, sorted; secrets are hidden unless they are asked for."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in config.app_settings]
    for each in fields(config):
        name, value = each.name.replace("_", "-"), getattr(config, each.name)
        if each.name != "app_settings":
            hides = name in SECRETS and value and not with_secrets
            lines.append(f"{name} = {json.dumps(HIDDEN) if hides else _written(value)}")
    return "\n".join([*sorted(lines), ""])


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return json.dumps(",".join(value), ensure_ascii=False)
    text = "" if value is None else str(value)
    return json.dumps(text, ensure_ascii=any(letter in UNWRITABLE for letter in text))
