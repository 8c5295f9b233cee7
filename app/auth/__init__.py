"""The Auth service: its place is held, and every project's path says in Auth's own words that it is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from app.http import not_yet

if TYPE_CHECKING:
    from flask import Flask, Response

    from infra.postgres.database import Database

VERSION_HEADER, VERSION = "X-Supabase-Api-Version", "2024-01-01"


def create(database: Database) -> Flask:
    """Return the application; `database` is the platform's, where projects are known."""
    return not_yet.create_placeholder("auth-service", "Auth", _refusal, database)


def _refusal(status: int, word: str, sentence: str) -> Response:
    """Answer as clients of either age read it: those that name the version find the word under `code`."""
    named = VERSION_HEADER in request.headers
    body = {"code": word, "message": sentence} if named else {"code": status, "error_code": word, "msg": sentence}
    answer = not_yet.json_response(status, body)
    answer.headers["X-Sb-Error-Code"] = word
    if named:
        answer.headers[VERSION_HEADER] = VERSION
    return answer
