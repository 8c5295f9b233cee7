"""The Storage service: its place is held, and every project's path says in Storage's words that it is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http import not_yet

if TYPE_CHECKING:
    from flask import Flask, Response

    from infra.postgres.database import Database


def create(database: Database) -> Flask:
    """Return the application; `database` is the platform's, where projects are known."""
    return not_yet.create_placeholder("storage-service", "Storage", _refusal, database)


def _refusal(status: int, word: str, sentence: str) -> Response:
    # Clients give up on an error that lacks one of the three, and read the status as text.
    return not_yet.json_response(status, {"statusCode": str(status), "error": word, "message": sentence})
