"""Which services a changed line of `.env` makes anew: those that read it, as their code says, and no other."""

from __future__ import annotations

import re
from functools import cache

import pytest
import yaml

from config.settings import SettingsError, load
from scripts.cli import inside
from scripts.cli.__main__ import NOUNS
from tests.fixtures.reached_code import FIELDS, compared, read_here, settings_read
from tests.fixtures.source_code import CHECKOUT, Place, source

FILE = yaml.safe_load((CHECKOUT / "compose" / "compose.yaml").read_text())
PAGE = (CHECKOUT / "docs" / "settings.md").read_text()
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")
HOMES = {home.rpartition(".")[2]: f"scripts.cli.{home}" for home in NOUNS}
# What each process looks at before it serves, and the front that it serves by.
SECRETS: Place = ("scripts.cli.services.service", "opened_settings")
NO_SECRET: Place = ("scripts.cli.services.service", "reachable_settings")
FRONT = ("scripts.cli.services.serve", "GunicornServer")


def commands(*nouns: str) -> set[Place]:
    return {place for noun in nouns for place in ((HOMES[noun],), (HOMES[noun], noun))}


# Handed on by the host (scripts/cli/inside.py), which asks the API's container for these two as well.
IN_THE_API = commands("status", "doctor", *(noun for noun in HOMES if noun not in inside.ON_THE_HOST))
# Where each service begins, as compose.yaml starts it, and what people run in it.
BEGINS: dict[str, set[Place]] = {
    "migrations": {
        SECRETS, ("infra.embedded.prepare", "main"), ("jobs.projects.pooling", "main"), ("app.migrations", "create"),
    },
    "broker": {("app.broker.server", "BrokerServer")},
    "platform-api": {
        SECRETS, ("app.factory", "create_app"), ("app.platform.operations.internal", "serve_internal_app"), *IN_THE_API,
    },
    "postgrest-manager": {SECRETS, ("app.manager", "create")},
    "auth-service": {NO_SECRET, ("app.auth.standalone", "AuthProcess")},
    "storage-service": {NO_SECRET, ("app.storage.process", "StorageProcess")},
    "worker": {
        SECRETS, ("workers.process", "main"), ("jobs.loops.scheduler", "world_loops"), ("jobs.projects.pooling", "main"),
        *commands(*inside.WORKERS),
    },
    "worker-bulk": {SECRETS, ("workers.process", "main")},
    "scheduler": {SECRETS, ("jobs.loops.scheduler", "queue_loops")},
    "backup": commands("backups"),
}  # fmt: skip
BEHIND_GUNICORN = {"platform-api", "postgrest-manager", "migrations", "auth-service", "storage-service"}
QUEUES = {"worker": {"control"}, "worker-bulk": {"bulk"}}
# Code that could be called from more places than it runs in, and whose it is in containers.
ALONE: dict[Place, set[str]] = {
    # LAUNCHDB_RUNTIME is `broker` there: nobody else asks Docker itself.
    ("infra.composition", "docker"): {"broker"},
    # `serve all`, which is the embedded API, has these in itself.
    ("app.auth.service", "auth_blueprint"): {"auth-service"},
    ("app.storage.service", "StorageService"): {"storage-service"},
    ("app.data.serve.blueprint", "make_blueprint"): set(),
    # What a command does itself while there is no API takes the API's login.
    ("scripts.cli.target", "_in_process"): {"platform-api"},
    # Commands that are handed to a worker.
    ("scripts.cli.backups.offsite",): {"worker"},
    ("scripts.cli.backups.platform",): {"worker"},
}
# Where a process reads its settings: each is one that stands above, or runs on no container of ours.
LOADS = {
    "infra.embedded.prepare", "infra.embedded.__main__", "jobs.projects.pooling", "config.installation",
    "scripts.cli.services.service", "scripts.cli.services.serve", "scripts.cli.context",
    "scripts.cli.installation.down", "scripts.cli.installation.up",
}  # fmt: skip
# Of these the host's commands, Compose and the containers that are not our code make something.
ELSEWHERE = {
    "HOST_SCRIPT_DIR", "LAUNCHDB_EDGE_SUBNET", "LAUNCHDB_FRONT_SUBNET", "POSTGRES_MAX_CONNECTIONS", "POSTGRES_BACKEND_MB",
    "FILES_S3_NETWORK",
}  # fmt: skip
# What compose.yaml says itself, whatever an operator sets; and what they cannot mean in containers.
FIXED = {
    "LAUNCHDB_RUNTIME", "LAUNCHDB_ENV", "LAUNCHDB_HOME", "LAUNCHDB_HOST", "LAUNCHDB_INTERNAL_HOST", "LAUNCHDB_REDIS_URL",
    "LAUNCHDB_POOLER_URL", "LAUNCHDB_ALIVE_FILE", "LAUNCHDB_SERVICE", "LAUNCHDB_DATABASE_URL", "LAUNCHDB_ADMINISTRATOR_URL",
    "LAUNCHDB_VERSION",
}  # fmt: skip
NOT_MEANT = {
    "LAUNCHDB_CRASH", "LAUNCHDB_PROJECT_MIGRATIONS", "LAUNCHDB_POSTGRES_BIN", "LAUNCHDB_SERVICE_FOLDER", "LAUNCHDB_PROCFILE",
    "LAUNCHDB_FORMATION", "LAUNCHDB_PORT", "LAUNCHDB_DOCKER_SOCKET", "LAUNCHDB_HOST_ROOT", "SMTP_PASSWORD", "FILES_S3_SECRET_KEY",
    # Of an API that serves projects' data itself, as the embedded one does.
    "LAUNCHDB_API_PROCESSES",
}  # fmt: skip


def told(service: str) -> dict[str, str]:
    """What the environment of a service says, before variables are filled in."""
    return dict(FILE["services"][service].get("environment") or {})


def touches() -> dict[str, set[str]]:
    """The services whose container is made anew when a variable changes: by whatever line of theirs, or their networks', names it."""
    found: dict[str, set[str]] = {}
    for service, said in FILE["services"].items():
        joined = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", name) for name in said.get("networks", ())]
        nets = [FILE["networks"][name] for name in joined]
        for variable in VARIABLE.findall(yaml.safe_dump([said, nets])):
            found.setdefault(variable, set()).add(service)
    return found


@cache
def read_by(service: str) -> frozenset[str]:
    """The variables that a service's code reads, with those that are checked together with one of them."""
    elsewhere = {place for place, whose in ALONE.items() if service not in whose}
    found = settings_read(BEGINS[service], queues=QUEUES.get(service, ()), elsewhere=elsewhere)
    if service in BEHIND_GUNICORN:
        found |= read_here([place for place in source().nodes if place[:2] == FRONT])
    return frozenset(found.union(*(one for one in compared() if one & found - FIXED)))


@pytest.mark.parametrize("service", sorted(BEGINS))
def test_a_service_is_told_what_its_code_reads_and_nothing_else(service):
    settings = set(FIELDS.values()) - FIXED - NOT_MEANT
    assert set(told(service)) & settings == read_by(service) & settings
    assert set(told(service)) <= set(FIELDS.values())
    assert not set(told(service)) & NOT_MEANT
    unset = read_by(service) & FIXED - set(told(service)) - {"LAUNCHDB_ADMINISTRATOR_URL"}
    assert unset == set(), "what compose.yaml has to say"


def test_every_setting_reaches_a_service_or_says_why_not():
    reached = {name for service in BEGINS for name in told(service)}
    assert set(FIELDS.values()) == reached | ELSEWHERE | NOT_MEANT
    assert not reached & (ELSEWHERE | NOT_MEANT)


def test_every_service_of_our_image_is_looked_at():
    ours = {name for name, said in FILE["services"].items() if re.match("launchdb/(app|backup):", said["image"])}
    assert ours == set(BEGINS)
    assert {name: told(name)["LAUNCHDB_SERVICE"] for name in ours} == {name: name for name in ours}


def test_settings_are_read_where_it_is_known():
    """A process that reads them elsewhere is one that nobody here looks at."""
    loads = {place[0] for place, seen in source().seen.items() if ("config.settings", "load") in seen.places}
    assert {module for module in loads if not module.startswith("scripts.bench.")} == LOADS


def test_what_is_asked_of_settings_is_called_so():
    """Reads are found by the names `settings`, `installation` and `infra`: nothing of these types is called otherwise."""
    for layer in ("app", "catalog", "infra", "jobs", "workers"):
        for path in (CHECKOUT / layer).rglob("*.py"):
            text = path.read_text()
            named = re.findall(r"(\w+): (?:Settings|Infra)\b(?! \|)", text)
            named += re.findall(r"(\w+) = (?:\w+\.)*(?<!project\.)_?(?:settings|infra)$", text, re.MULTILINE)
            assert {name.lstrip("_") for name in named} <= {"settings", "installation", "infra"}, path


@pytest.mark.parametrize(
    ("given", "service"),
    [
        ({"LAUNCHDB_BEAT_SECONDS": "10", "LAUNCHDB_LEASE_SECONDS": "40"}, "scheduler"),
        ({"SMTP_HOST": "mail.example.org", "SMTP_FROM": "a@example.org", "SMTP_PORT": "2525"}, "worker-bulk"),
        ({"ACME_EMAIL": "a@launchdb.test"}, "storage-service"),
    ],
)
def test_a_service_starts_with_its_part_of_what_is_right_as_a_whole(given, service):
    production = {"LAUNCHDB_ENV": "production", "LAUNCHDB_RUNTIME": "broker", "LAUNCHDB_SERVICE": service}
    part = {name: value for name, value in given.items() if name in told(service)}
    assert load({**production, **part}, recall=False).service == service
    with pytest.raises(SettingsError, match="production needs: DOMAIN is missing"):
        load({**production, "LAUNCHDB_SERVICE": ""}, recall=False)


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        ("MAX_PROJECTS_PER_OWNER", {"platform-api"}),
        ("SMTP_HOST", {"platform-api", "worker", "worker-bulk"}),
        ("BACKUP_VERIFY", {"worker-bulk"}),
        ("PROJECT_MEMORY_MB", {"broker"}),
        ("LAUNCHDB_LEAKED_PASSWORDS", {"auth-service"}),
        ("POSTGRES_SHARED_BUFFERS", {"postgres"}),
    ],
)
def test_a_setting_touches_who_goes_by_it(variable, services):
    assert touches()[variable] == services


def test_the_page_says_of_each_setting_whom_it_touches():
    part = PAGE.partition("## How a setting gets in force")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z, -]+) \| (`.*`) \|$", part, re.MULTILINE)
    said = {name: set(services.split(", ")) for services, names in rows for name in names.strip("`").split("` `")}
    everybody = {"LAUNCHDB_HOME", "LAUNCHDB_VERSION"}
    assert said == {name: services for name, services in touches().items() if name not in everybody}
