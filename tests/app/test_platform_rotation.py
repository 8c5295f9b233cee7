"""The platform's own secrets are rotated while requests go on: none fails, and the old ones end."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from app import manager
from catalog import names, secrets
from catalog.ids import new_project_id
from infra.backup import keys as backup_keys
from infra.backup import sets
from infra.errors import Refused
from infra.secrets import master_keys, secretfiles, tokens
from infra.secrets.vault import Vault
from jobs.engine.crash import EXIT_STATUS
from jobs.kinds.backup.backup_platform import BackupPlatform
from jobs.projects import project_secrets
from jobs.requests import platform_restore
from tests.app.server import served
from tests.app.test_bad_input import problem
from tests.crash.attempts import attempt_in_a_process
from tests.crash.carrying import pass_on
from tests.crash.test_platform_secrets import end_of_grace
from tests.fixtures.smtp import smtp
from tests.jobs.conftest import Engine

__all__ = ["smtp"]
PROJECTS, PER_SECOND = 1000, 100


@pytest.fixture
def engine(infra):
    made = Engine(infra)
    yield made
    made.close()


class Load:
    """Requests at a steady rate from a few threads; `ask` makes one and says whether it was answered as it should."""

    def __init__(self, ask, *, threads=4) -> None:
        self.answered, self.wrong = 0, []
        self._ask, self._stop = ask, threading.Event()
        self._pause = threads / PER_SECOND
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(threads)]

    def _go(self):
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                answer = self._ask()
                if answer.status_code != 200:
                    self.wrong.append((answer.status_code, answer.text[:200]))
            except Exception as error:
                self.wrong.append(repr(error))
            self.answered += 1
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))

    def reached(self, count):
        deadline = time.monotonic() + 60
        while self.answered < count:
            assert time.monotonic() < deadline, "the load does not come about"
            time.sleep(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.reached(20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def many(town, infra):
    """An owner with a thousand projects, each with secrets of its own."""
    owner = town.owner(operator=True)
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
        made = [new_project_id() for _ in range(PROJECTS)]
        for project in made:
            tx.execute(
                "INSERT INTO projects (id, owner_id, name, status) VALUES (%s, %s, %s, 'active')",
                (project, owner.id, project),
            )
            makers = project_secrets.secret_makers(project, 1_700_000_000)
            secrets.store_once(tx, infra.vault, project, makers)
    return owner, made


@contextmanager
def api(settings):
    with served(settings, API_RATE_PER_MINUTE="1000000") as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def rotated(client, headers, secret, **more):
    answer = client.post("/api/admin/rotate", json={"secret": secret, **more}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["job"]["id"]


def test_the_master_key_changes_under_load_and_the_old_one_opens_nothing(many, settings, infra, engine):
    owner, projects = many
    headers, chance = dict(owner.headers), random.Random(5)
    old = secretfiles.current(settings.secrets_folder, master_keys.NAME)
    with api(settings) as client:
        known = {
            project: client.get(f"/api/projects/{project}/connection", headers=headers).json()
            for project in projects[:20]
        }

        def ask():
            project = chance.choice(projects)
            answer = client.get(f"/api/projects/{project}/connection", headers=headers)
            assert answer.json()["anonKey"] == known.get(project, answer.json())["anonKey"]
            return answer

        with Load(ask) as load:
            job = rotated(client, headers, "masterKey", graceSeconds=0)
            # The first worker dies in the middle of the re-wrapping.
            codes = [attempt_in_a_process(settings)]
            codes.append(attempt_in_a_process(settings, crash="platform.rewrap_secrets:rewrap_data_keys:after_act"))
            assert codes == [0, EXIT_STATUS]
            pass_on(infra)
            engine.runner.drain()
            assert engine.job(job).status == "succeeded"
            load.reached(load.answered + 50)
            end_of_grace(infra)
            engine.runner.drain()
            load.reached(load.answered + 50)
        assert load.wrong == []
        assert load.answered > 200
        new = secretfiles.read(settings.secrets_folder, master_keys.NAME)
        assert (len(new), old in new) == (1, False)
        for project, connection in known.items():
            answer = client.get(f"/api/projects/{project}/connection", headers=headers)
            assert answer.json() == connection, "nothing but the wrapping has changed"
    before = Vault(lambda: [old])
    with infra.database.autocommit() as tx:
        for project in projects[:50]:
            with pytest.raises(Refused):
                secrets.read(tx, before, project, names.ANON_KEY)
        assert tx.value("SELECT count(DISTINCT master_key_id) FROM data_keys") == 1


def test_a_worker_killed_between_two_batches_goes_on_with_what_is_left(many, settings, infra, engine):
    owner, _ = many
    with api(settings) as client:
        job = rotated(client, dict(owner.headers), "masterKey")
        attempt_in_a_process(settings)
        with infra.database.transaction() as tx:
            infra.vault.reseal_canary(tx)
            assert secrets.rewrap_some(tx, infra.vault, limit=300) == 300
        engine.runner.drain()
    assert engine.job(job).status == "succeeded"
    with infra.database.autocommit() as tx:
        told = tx.value("SELECT result FROM jobs WHERE kind = 'platform.rewrap_secrets'")
        assert secrets.wrapped_by_others(tx, infra.vault) == 0
    assert PROJECTS - 300 <= told["rewrapped"] <= PROJECTS - 299


def test_the_internal_key_changes_under_load(town, settings, infra, engine):
    operator = town.owner(operator=True)
    inside = manager.create(settings, infra)
    transport = httpx.WSGITransport(app=inside)
    first = secretfiles.current(settings.secrets_folder, "INTERNAL_API_KEY")

    def ask():
        """What the services among themselves do: they read the key for each call."""
        key = secretfiles.current(settings.secrets_folder, "INTERNAL_API_KEY")
        with httpx.Client(transport=transport, base_url="http://inside") as client:
            return client.get("/internal/postgrest", headers={"X-Internal-API-Key": key})

    def holds(key):
        with httpx.Client(transport=transport, base_url="http://inside") as client:
            return client.get("/internal/postgrest", headers={"X-Internal-API-Key": key}).status_code == 200

    with Load(ask) as load:
        for _ in range(5):
            load.reached(load.answered + 20)
            rotated(operator, {}, "internalApiKey")
            engine.runner.drain()
        assert holds(first), "a day long it is good besides"
        for _ in range(5):
            end_of_grace(infra)
            engine.runner.drain()
        load.reached(load.answered + 20)
    assert load.wrong == []
    assert not holds(first)
    assert len(secretfiles.read(settings.secrets_folder, "INTERNAL_API_KEY")) == 1


def test_the_platform_s_jwt_secret_changes_under_load(town, settings, infra, engine):
    operator = town.owner(operator=True)
    headers = dict(operator.headers)
    with api(settings) as client:

        def fresh():
            key = secretfiles.current(settings.secrets_folder, "PLATFORM_JWT_SECRET")
            return {
                "Authorization": f"Bearer {tokens.access_token(operator.id, key, now=int(time.time()), seconds=60)}"
            }

        def ask():
            return client.get("/api/projects", headers=random.choice([headers, fresh()]))

        with Load(ask) as load:
            for _ in range(3):
                load.reached(load.answered + 30)
                rotated(client, headers, "platformJwtSecret")
                engine.runner.drain()
            load.reached(load.answered + 30)
        assert load.wrong == []
        rotated(client, headers, "platformJwtSecret", graceSeconds=0)
        engine.runner.drain()
        # Without a grace time all that were before are dead at once.
        assert client.get("/api/projects", headers=fresh()).status_code == 200
        assert client.get("/api/projects", headers=headers).status_code == 401
        assert len(secretfiles.read(settings.secrets_folder, "PLATFORM_JWT_SECRET")) == 1
        for _ in range(3):
            end_of_grace(infra)
            engine.runner.drain()
        assert client.get("/api/projects", headers=fresh()).status_code == 200


@pytest.mark.gpg
def test_backups_of_before_open_after_the_backup_key_has_changed(town, settings, infra, engine):
    operator = town.owner(operator=True)
    folder = settings.backups_folder
    engine.enqueue(BackupPlatform())
    engine.runner.drain()
    rotated(operator, {}, "backupEncryptionKey")
    engine.runner.drain()
    time.sleep(1.1)  # sets are named by the second
    engine.enqueue(BackupPlatform())
    engine.runner.drain()
    keys = backup_keys.backup_keys(settings.secrets_folder)
    manifests = [sets.read_manifest(folder, stem, keys) for stem in sets.stems(folder)]
    assert len({manifest.key_id for manifest in manifests}) == 2


@pytest.mark.gpg
def test_a_platform_backup_from_before_a_new_master_key_comes_back(many, settings, infra, engine):
    owner, projects = many
    engine.enqueue(BackupPlatform())
    engine.runner.drain()
    rotated(owner, {}, "masterKey", graceSeconds=0)
    engine.runner.drain()
    end_of_grace(infra)
    engine.runner.drain()
    try:
        platform_restore.restore_platform(infra, platform_restore.newest(infra), lambda _line: None)
        with infra.database.autocommit() as tx:
            infra.vault.check_master_key(tx)
            for project in projects[:20]:
                assert secrets.read(tx, infra.vault, project, names.ANON_KEY)
            assert secrets.wrapped_by_others(tx, infra.vault) == 0
    finally:
        live = conninfo_to_dict(settings.database_url)["dbname"]
        with infra.databases.cluster.session("test") as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{live}_before" WITH (FORCE)')


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"secret": "databasePassword"},
        {"secret": "INTERNAL_API_KEY"},
        {"secret": "internalApiKey", "graceSeconds": -1},
        {"secret": "internalApiKey", "graceSeconds": "3"},
        {"secret": "internalApiKey", "password": "chosen by people"},
        {"secret": "internalApiKey", "to": "a@example.org"},
        {"secret": "backupEncryptionKey", "graceSeconds": 5},
        {"secret": "smtpPassword"},
        {"secret": "smtpPassword", "password": ""},
        {"secret": "smtpPassword", "password": "two\nlines"},
        {"secret": "smtpPassword", "password": " spaced "},
        {"secret": "smtpPassword", "password": "fine", "to": "nobody"},
        {"secret": "smtpPassword", "password": "fine", "graceSeconds": 3},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(town, settings, body):
    operator = town.owner(operator=True)
    before = {path.name: path.read_text() for path in settings.secrets_folder.iterdir()}
    problem(operator.post("/api/admin/rotate", json=body), 422)
    assert {path.name: path.read_text() for path in settings.secrets_folder.iterdir()} == before
    assert town.rows("SELECT 1 FROM jobs") == []


def test_only_operators_rotate_and_the_audit_says_who_did(town):
    assert town.owner().post("/api/admin/rotate", json={"secret": "internalApiKey"}).status_code == 404
    operator = town.owner(operator=True)
    assert operator.post("/api/admin/rotate", json={"secret": "internalApiKey"}).status_code == 202
    (line,) = town.rows("SELECT actor, detail FROM audit WHERE action = 'platform.rotate' AND outcome = 'accepted'")
    assert line["actor"] == operator.id
    assert line["detail"]["secret"] == "internalApiKey"


def test_a_mail_password_without_a_mail_server_is_refused(town):
    operator = town.owner(operator=True)
    body = {"secret": "smtpPassword", "password": "the mail password"}
    problem(operator.post("/api/admin/rotate", json=body), 409)
    assert town.rows("SELECT 1 FROM secrets WHERE name LIKE 'job %%'") == []


def test_a_mail_password_is_proven_by_a_mail_and_stands_nowhere_in_the_clear(settings, town, infra, smtp):
    server = smtp.start(auth_required=True)
    operator = town.owner(operator=True)
    environment = {**server.environment, "SMTP_USER": "launchdb"}
    with served(settings, **environment) as url:
        body = {"secret": "smtpPassword", "password": "the mail password", "to": "ops@example.org"}
        answer = httpx.post(f"{url}/api/admin/rotate", json=body, headers=dict(operator.headers))
        assert answer.status_code == 202, answer.text
        with infra.database.autocommit() as tx:
            rows = str(tx.rows("SELECT to_jsonb(j) AS j FROM jobs j")) + str(tx.rows("SELECT detail FROM audit"))
        assert "the mail password" not in rows
        assert attempt_in_a_process(settings, **environment) == 0
        log = (settings.home / "api.log").read_text()
    assert [envelope[1] for envelope in server.sink.envelopes] == [["ops@example.org"]]
    assert secretfiles.current(settings.secrets_folder, "SMTP_PASSWORD") == "the mail password"
    assert "the mail password" not in log
