"""What the rows of a statement become: JSON, CSV, GeoJSON, or what a handler of the database makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from app.data.parse import media
from app.data.sql.fragments import Parameters, compose, join_sql, qualified

if TYPE_CHECKING:
    from app.data.config import DataConfig
    from app.data.parse.media import Media
    from app.data.plan.negotiation import Handler
    from app.data.plan.schema import Routine, Table

SETTINGS = sql.SQL(
    # No more of them than it takes to see that they are too long.
    "pg_catalog.left(nullif(current_setting('response.headers', true), ''), 65536) AS response_headers, "
    "pg_catalog.left(nullif(current_setting('response.status', true), ''), 16) AS response_status, "
)
INSERTED = sql.SQL("nullif(current_setting('pgrst.inserted', true), '') AS response_inserted")
NOT_INSERTED = sql.SQL("NULL AS response_inserted")
COUNTED, ONE, ALL_ROWS = sql.SQL("pg_catalog.count(_postgrest_t)"), sql.SQL("1"), sql.SQL("SELECT * FROM pgrst_source")
CSV = sql.SQL(
    "(SELECT coalesce(string_agg(a.k, ','), '') FROM (SELECT json_object_keys(r)::text AS k FROM "
    "(SELECT row_to_json(hh) AS r FROM pgrst_source AS hh LIMIT 1) s) a) || E'\\n' || "
    "coalesce(string_agg(substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2), E'\\n'), '')"
)
EMPTY = sql.SQL("''::text")
TOO_LARGE = "launchdb answer of bytes: "
GEOJSON = sql.SQL(
    "json_build_object('type', 'FeatureCollection', 'features', "
    "coalesce(json_agg(ST_AsGeoJSON(_postgrest_t)::json), '[]'))"
)
EXPLAIN_OPTIONS = {
    "analyze": "ANALYZE", "verbose": "VERBOSE", "settings": "SETTINGS", "buffers": "BUFFERS", "wal": "WAL",
}  # fmt: skip


def bounded_sql(answer: sql.Composable, body: sql.Composable, wanted: Media, config: DataConfig) -> sql.Composable:
    """Write the select of an answer that fails when its body is larger than allowed, before any of it is sent.

    No text of ours is read as a boolean: what fails so takes everything back, and needs no function of the database's.
    """
    most = config.launchdb_answer_bytes_max
    if body is EMPTY or wanted.is_plan or not most:
        return compose(" ", answer)
    return compose(
        " SELECT * FROM (", answer, ") answer WHERE CASE WHEN pg_catalog.pg_column_size(body) <= ", str(int(most)),
        f" THEN true ELSE ('{TOO_LARGE}' || pg_catalog.pg_column_size(body))::pg_catalog.bool END",
    )  # fmt: skip


def row_sql(
    total: sql.Composable,
    page: sql.Composable,
    body: sql.Composable,
    rows: sql.Composable,
    handler: Handler | None,
    *,
    inserted: sql.Composable = NOT_INSERTED,
) -> sql.Composable:
    """Write the one row that an answer is made of: how many rows there are in all and on the page, body, settings."""
    if handler is not None and handler.is_binary:
        total, page = compose("(", total, ")::pg_catalog.text"), compose("(", page, ")::pg_catalog.text")
    return compose(
        "SELECT ", total, " AS total_result_set, ", page, " AS page_total, ", body, " AS body, ", SETTINGS, inserted,
        " FROM (", rows, ") _postgrest_t",
    )  # fmt: skip


def explain_prefix(wanted: Media) -> bytes:
    """Return what makes a statement tell its execution plan, or nothing where none is asked for."""
    if not wanted.is_plan:
        return b""
    told = ", ".join([f"FORMAT {wanted.form.upper()}", *(EXPLAIN_OPTIONS[each] for each in wanted.options)])
    return f"EXPLAIN ({told}) ".encode()


def body_sql(wanted: Media, handler: Handler | None, routine: Routine | None) -> sql.Composable:
    """Write the body of an answer."""
    wanted = wanted.inner or wanted
    if handler is not None:
        return _handled(handler, routine)
    if wanted.kind == media.CSV:
        return CSV
    if wanted.kind == media.GEOJSON:
        return GEOJSON
    scalar = routine is not None and not routine.composite
    rows = sql.SQL("json_agg(_postgrest_t.pgrst_scalar)" if scalar else "json_agg(_postgrest_t)")
    one = wanted.single or (routine is not None and not routine.returns_set)
    written: sql.Composable = compose(rows, "->0") if one else rows
    if wanted.stripped:
        written = compose("json_strip_nulls(", written, ")")
    return compose("coalesce(", written, sql.SQL(", 'null')" if one else ", '[]')"))


def _handled(handler: Handler, routine: Routine | None) -> sql.Composable:
    if routine is not None and routine.is_scalar:
        rows: sql.Composable = sql.SQL("_postgrest_t.pgrst_scalar")
    elif handler.target is not None:
        rows = compose("_postgrest_t::", qualified(handler.target))
    else:
        rows = sql.SQL("_postgrest_t")
    return compose(qualified(handler.function), "(", rows, ")")


def location_sql(table: Table, values: Parameters) -> sql.Composable:
    """Write the keys of the row that was inserted, or nothing when it was not one."""
    if not table.key:
        return sql.SQL("NULL")
    names = join_sql(", ", [compose(values.add(name), "::text") for name in table.key])
    return compose(
        "CASE WHEN pg_catalog.count(_postgrest_t) = 1 THEN (WITH data AS (SELECT row_to_json(_) AS row FROM "
        "pgrst_source AS _ LIMIT 1) SELECT json_agg(json_build_array(json_data.key, "
        "coalesce('eq.' || json_data.value, 'is.null'))) FROM data CROSS JOIN json_each_text(data.row) AS json_data "
        "WHERE json_data.key IN (", names, ")) END",
    )  # fmt: skip
