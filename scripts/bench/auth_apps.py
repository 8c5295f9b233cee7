"""What `auth_bench` compares: Auth, and a Flask view with one indexed SELECT or one Argon2 check and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import flask
from psycopg_pool import ConnectionPool

from app.auth.errors import AuthError
from app.auth.routes import ROUTES
from app.auth.serve.blueprint import AuthViews, make_blueprint
from app.auth.serve.project import AuthProject, AuthProjects
from app.auth.serve.services import AuthServices
from infra.postgres.database import Database
from infra.secrets.passwords import Passwords
from infra.signals.limiter import RateLimiter

if TYPE_CHECKING:
    from app.auth.letters import RenderedLetter

HASHES_AT_A_TIME = 2
CONNECTIONS = 8
SELECT = "SELECT id::text, email, raw_user_meta_data FROM auth.users WHERE id = %s"


class NoLetters:
    """Nobody is written to: the bench's users are made by the service key."""

    def send(self, project: AuthProject, letter: RenderedLetter) -> None:
        """Refuse to."""
        raise AuthError(500, "unexpected_failure", f"a bench writes no letters ({project.id}, {letter.about.kind})")


def auth(folder: str, platform: str, redis: str) -> flask.Flask:
    """Return Auth as a service serves it. folder: of the projects' files; platform: the platform's database."""

    def absent(*_given: object, **_named: object) -> AuthProject:
        raise AuthError(404, "not_found", "There is no such project")

    services = AuthServices(Database(platform), Passwords(HASHES_AT_A_TIME), RateLimiter(redis), NoLetters())
    projects = AuthProjects(Path(folder), connections_max=CONNECTIONS)
    app = flask.Flask(__name__)
    app.register_blueprint(make_blueprint(AuthViews(ROUTES, projects, services, absent)))
    return app


def bare(conninfo: str) -> flask.Flask:
    """Return the floor. conninfo: of the project's database, as its Auth login."""
    app = flask.Flask(__name__)
    pool = ConnectionPool(conninfo, min_size=1, max_size=CONNECTIONS, open=True)
    passwords = Passwords(HASHES_AT_A_TIME)
    known = passwords.hash("correct horse")

    @app.get("/row/<user_id>")
    def row(user_id: str) -> dict[str, object]:
        with pool.connection() as connection:
            found = connection.execute(SELECT, (user_id,)).fetchone()
        return {"row": found}

    @app.post("/check")
    def check() -> dict[str, bool]:
        return {"matches": passwords.matches(flask.request.get_json()["password"], known)}

    return app
