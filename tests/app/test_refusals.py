"""What the platform's front refuses: of clients of projects in the data API's shape, of others as problem documents."""

from __future__ import annotations

import json

import httpx
from flask import Flask

from app.data.run.registry import Registry
from app.data.serve.projects import ProjectApis
from app.edge import edge
from app.http import problems
from app.http.data_frame import DataFrame
from app.http.metrics import Metrics
from config.limits import URL_BYTES_MAX
from infra.errors import Unavailable
from tests.app.data.test_refusals import ORIGIN, spoken
from tests.app.server import served
from tests.app.test_http import head, talk
from tests.fixtures.projects import add_project

PROJECT, BUSY = "proj_0123456789abcdef", "proj_fedcba9876543210"
ASKED = (ORIGIN, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization,apikey")
PLACES = (f"/project/{PROJECT}/rest/v1/things", f"/db/{PROJECT}/things", f"/project/{PROJECT}/no/such", "/db/x/y")


def open_to_nobody(settings, project, **options):
    """Write the configuration of a project whose database is not there."""
    folder = settings.instances_folder / project
    folder.mkdir(parents=True)
    told = {
        "db-uri": "postgresql://nobody@127.0.0.1:1/nowhere",
        "db-anon-role": f"{project}_anon",
        "jwt-secret": "a-secret-of-the-project-0123456789abcdef",
        **options,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    (folder / "data-api.conf").write_text("\n".join(["# test", *lines, ""]))


def refused_early(path):
    """What is sent below a path, and how it is refused before an application is asked."""
    chunked = (ORIGIN, "Content-Type: application/json", "Transfer-Encoding: chunked")
    return [
        (head("GET", f"{path}?id=in.({'1,' * URL_BYTES_MAX})", ORIGIN), 414),
        (head("GET", f"{path}?id=in.({'1,' * 200_000})", ORIGIN), 414),
        (head("GET", path, ORIGIN, "X-Long: " + "a" * 30_000), 431),
        (head("GET", path, ORIGIN, "X-Long: " + "a" * 300_000), 431),
        (head("GET", path, ORIGIN, "A b: c"), 400),
        (head("GET", path, ORIGIN).replace("HTTP/1.1", "HTTP/9.9"), 400),
        (head("POST", path, *chunked).replace("chunked", "strange"), 501),
    ]


def test_clients_of_projects_are_refused_in_a_shape_that_they_can_show(town, settings):
    open_to_nobody(settings, PROJECT)
    open_to_nobody(settings, BUSY, **{"launchdb-rate-per-minute": 1})
    paused = add_project(town.infra, status="paused")
    with served(settings, "all") as url:
        for path in PLACES:
            for sent, status in refused_early(path):
                spoken(talk(url, sent), status)
            for size in (10, URL_BYTES_MAX, 100_000):
                status, headers, _ = talk(url, head("OPTIONS", f"{path}?id=in.({'1,' * size})", *ASKED))
                assert (status, headers["access-control-allow-origin"]) == (200, "*")
                assert "apikey" in headers["access-control-allow-headers"]
        said = spoken(talk(url, head("GET", f"/db/{PROJECT}/things?id=in.({'1,' * 8100})", ORIGIN)), 503)
        assert said["code"].startswith("PGRST"), "a URL of 16 KiB got as far as to the database, which is away"
        body = "[" + " " * 11_000_000 + "]"
        for path in PLACES[:2]:
            large = (ORIGIN, "Content-Type: application/json", f"Content-Length: {len(body)}")
            spoken(talk(url, head("POST", path, *large) + body), 413)
        spoken(talk(url, head("GET", f"/project/{PROJECT}/no/such", ORIGIN)), 404)
        spoken(talk(url, head("GET", f"/project/{PROJECT}/rest/v1/things", ORIGIN)), 401)
        assert spoken(talk(url, head("PROPFIND", f"/db/{PROJECT}/things", ORIGIN)), 405)["code"] == "PGRST117"
        spoken(talk(url, head("GET", f"/db/{paused}/things", ORIGIN)), 503)
        spoken(talk(url, head("GET", "/db/proj_ffffffffffffffff/things", ORIGIN)), 404)
        for _ in range(3):  # one of these may be the first of another minute
            answer = talk(url, head("GET", f"/db/{BUSY}/things", ORIGIN))
            if answer[0] == 429:
                break
        spoken(answer, 429)
        assert 1 <= int(answer[1]["retry-after"]) <= 60
        for sent, status in refused_early("/api/projects"):
            answered, headers, body = talk(url, sent)
            assert (answered, headers["content-type"]) == (status, "application/problem+json")
            assert json.loads(body)["status"] == status
        for path, status, phrase in (
            ("/api/health", 200, "OK"),
            ("/api/nothing", 404, "Not Found"),
            ("/api/projects", 401, "Unauthorized"),
            ("/db/proj_ffffffffffffffff/things", 404, "Not Found"),
            (f"/db/{paused}/things", 503, "Service Unavailable"),
        ):
            answer = httpx.get(url + path)
            assert (answer.status_code, answer.reason_phrase) == (status, phrase)
    assert "Traceback" not in (settings.home / "api.log").read_text()


def test_without_its_database_the_platform_says_so_to_clients_of_projects_too(tmp_path):
    def away(_project_id):
        raise Unavailable("postgres is away")

    app = Flask("test")
    problems.register_error_handlers(app)
    app.wsgi_app = DataFrame(app.wsgi_app, ProjectApis(Registry(tmp_path / "instances"), away), Metrics(), "")
    app.register_blueprint(edge.make_blueprint(tmp_path, away, waking=None, greets=False))
    client = app.test_client()
    asked = {"X-Launchdb-Edge": "yes", "X-Forwarded-Uri": PLACES[0]}
    for path in (*PLACES[:2], "/api/edge/project"):
        answer = client.get(path, headers={"Origin": "https://some.example", **asked})
        lower = {name.lower(): value for name, value in answer.headers}
        spoken((answer.status_code, lower, answer.data), 503)
        assert lower["retry-after"] == "1"
