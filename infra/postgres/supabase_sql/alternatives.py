"""What is there instead of what usual starter SQL asks for and cannot have here, in one line each."""

from __future__ import annotations

import re

_OWN_TRIGGER = "write a trigger function: BEGIN NEW.updated_at = now(); RETURN NEW; END"
_TIMER = "let a timer of yours call a function at the project's address, POST …/rest/v1/rpc/<function>"
_REQUESTS = "no request leaves the database; let an application of yours read a table and make them"
# By the name of the extension.
ALTERNATIVES = {
    "uuid-ossp": "gen_random_uuid() is built in and takes the place of uuid_generate_v4()",
    "moddatetime": _OWN_TRIGGER,
    "vector": "the server's operator has to add pgvector to it",
    "pg_cron": _TIMER,
    "pg_net": _REQUESTS,
    "http": _REQUESTS,
    "pg_graphql": "tables, views and functions are served as REST at the project's address",
    "pgjwt": "pgcrypto has hmac() to sign tokens with",
    "pgsodium": "pgcrypto encrypts; keys belong to the application",
    "supabase_vault": "pgcrypto encrypts; keys belong to the application",
    "plv8": "write functions in SQL or PL/pgSQL",
    "wrappers": "no foreign server is reached from the database; let an application of yours copy the rows",
    "postgis": "the server's operator has to add it; earthdistance and cube measure distances between points",
}
# What those extensions bring: schemas, types and functions.
_BROUGHT = {
    "cron": "pg_cron", "net": "pg_net", "graphql": "pg_graphql", "graphql_public": "pg_graphql",
    "vault": "supabase_vault", "pgsodium": "pgsodium", "vector": "vector", "halfvec": "vector",
    "geometry": "postgis", "geography": "postgis", "moddatetime": "moddatetime",
    "uuid_generate_v4": "uuid-ossp", "uuid_generate_v1": "uuid-ossp",
}  # fmt: skip
_ROLES = (
    "roles of requests are anon, authenticated and service_role; the data API logs in by itself and needs no rights "
    "of its own"
)
_SETTINGS = (
    "settings of requests: ALTER ROLE anon | authenticated | service_role | authenticator SET …, or "
    "call launchdb.set_role_setting('anon', 'statement_timeout', '5s'); those of a login belong into its connection "
    "string"
)
_EXTENSION = re.compile(r'extension "([^"]+)"|library "[^"]*/([^"/]+?)(?:\.so)?"')
_THING = re.compile(r'(?:schema|type) "?(?:\w+\.)?(\w+)"? does not exist|function (?:\w+\.)?(\w+)\(.*\) does not exist')
_SERVICE_ROLES = (
    "what Auth and Storage are to use stays yours: GRANT it to supabase_auth_admin or supabase_storage_admin, which "
    "stand there, and in policies, for the project's own logins"
)
_SERVICE_ROLE = re.compile(r'role "supabase_(?:auth|storage)_admin" does not exist')
_ROLE = re.compile(r'role "(?:authenticator|postgres|dashboard_user|pgbouncer|supabase_\w+)" does not exist')
_ALTERED = re.compile(r"permission denied to alter role|must be owner of database")
_PUBLICATION = re.compile(r'publication "supabase_realtime" does not exist')


def alternative_to(message: str) -> str | None:
    """Return in one line what is there instead of what the server's refusal is about; None when nothing is known."""
    if found := _EXTENSION.search(message):
        name = found[1] or found[2]
        known = ALTERNATIVES.get(name)
        return known and f"{name} cannot be had here: {known}"
    if found := _THING.search(message):
        brought = _BROUGHT.get(found[1] or found[2] or "")
        return brought and f"{brought} cannot be had here: {ALTERNATIVES[brought]}"
    if _SERVICE_ROLE.search(message):
        return _SERVICE_ROLES
    if _ROLE.search(message):
        return _ROLES
    if _ALTERED.search(message):
        return _SETTINGS
    return "CREATE PUBLICATION supabase_realtime; makes an empty one" if _PUBLICATION.search(message) else None
