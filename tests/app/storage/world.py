"""A project's Storage in the test's own process, on a database made of the template, as clients meet it."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import replace
from pathlib import Path

from flask import Flask

from app.served.mount import make_blueprint
from app.served.projects import ServedProjects
from app.storage.errors import StorageError
from app.storage.images.pictures import Pictures
from app.storage.routes import ROUTES
from app.storage.serve.project import StorageProject
from app.storage.serve.services import StorageServices
from app.storage.serve.views import StorageViews
from app.storage.service import S3, s3_dialect
from catalog import settings as project_settings
from catalog.settings_model import ProjectSettings
from infra.blobs.local_folder import LocalFolder
from infra.blobs.results import ResultFolder
from infra.instances.spec_files import SpecFiles
from infra.instances.storage_files import StorageSpec
from infra.secrets import tokens

BASE = "http://api.test"
ACCESS_KEY = "0123456789abcdef0123456789abcdef"


class StorageWorld:
    """A project's Storage: requests to it, its database, and where its bytes are."""

    def __init__(self, tenant, folder) -> None:
        self._take(tenant, folder, secrets.token_urlsafe(32))
        roles = tenant.roles
        self.spec = StorageSpec(
            project_id=self.id,
            url=f"{BASE}/project/{self.id}",
            db_uri=tenant.uri(roles.storage),
            jwt_secret=self.secret,
            url_keys=[secrets.token_urlsafe(32)],
            access_keys={ACCESS_KEY: secrets.token_hex(32)},
            session_keys=[secrets.token_urlsafe(32)],
            roles={"anon": roles.anon, "authenticated": roles.authenticated, "service_role": roles.service},
        )
        self.configure()
        self._serve()

    @classmethod
    def reopened(cls, place, tenant):
        """Return the world of another process's, as `place` says it."""
        self = cls.__new__(cls)
        self._take(tenant, Path(place["folder"]), place["secret"])
        self.spec = self.files.read(self.id)
        self._serve()
        return self

    def told(self) -> dict[str, str]:
        """Return what another process needs to serve the same."""
        return {"id": self.id, "folder": str(self.folder.parent), "secret": self.secret}

    def _take(self, tenant, folder, secret) -> None:
        self.tenant, self.id, self.secret = tenant, tenant.id, secret
        self.folder = folder / "storage"
        self.files = SpecFiles(folder / "specs", StorageSpec)
        # A test that needs another place puts it here, or moves the folder.
        self.blobs_of = lambda project_id: LocalFolder(self.folder, project_id)
        self.now = time.time  # a test that needs another time puts it here

    def _serve(self) -> None:
        self.projects = ServedProjects(self.files, "storage", StorageProject.of, connections_max=20)
        self.pictures = Pictures(lambda project_id: ResultFolder(self.folder, project_id))
        self.services = StorageServices(lambda project_id: self.blobs_of(project_id), self.pictures, lambda: self.now())
        app = Flask("storage-test")
        views = StorageViews(ROUTES, self.projects, self.services, self._absent, dialects={S3: s3_dialect})
        app.register_blueprint(make_blueprint("storage", views.answer))
        self.app, self.client = app, app.test_client()

    @property
    def place(self):
        return self.blobs_of(self.id)

    @property
    def project(self):
        return self.projects.find(self.id)

    def _absent(self, project_id, _path):
        raise StorageError(404, "not_found", "NoSuchProject", f"There is no project {project_id}")

    def configure(self, *, spec=None, **changes):
        """Serve the project with these settings (names as ProjectSettings has them) from now on."""
        chosen = ProjectSettings().model_copy(update=changes)
        self.spec = replace(self.spec, settings=project_settings.as_json(chosen), **(spec or {}))
        self.files.ensure(self.spec)

    def key(self, role="anon", **more) -> str:
        now = int(time.time())
        return tokens.sign_token({"iss": "launchdb", "role": role, "iat": now, "exp": now + 600, **more}, self.secret)

    def person(self) -> tuple[str, str]:
        """Return a user's id and token."""
        subject = str(uuid.uuid4())
        return subject, self.key("authenticated", sub=subject, aud="authenticated")

    def call(self, method, path, body=None, *, bearer="service_role", headers=None, **named):
        """Ask as a client does. bearer: a role whose key it is, a token, or None for nobody; body: JSON, or bytes."""
        token = self.key(bearer) if bearer in ("anon", "authenticated", "service_role") else bearer
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None and not isinstance(body, bytes):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        sent |= headers or {}
        named.setdefault("buffered", True)  # the file that is sent is closed
        return self.client.open(f"/storage/{self.id}{path}", method=method, headers=sent, data=body, **named)

    def bucket(self, **fields) -> str:
        """Make a bucket of any name."""
        name = f"b-{secrets.token_hex(5)}"
        answer = self.call("POST", "/bucket", {"name": name, **fields})
        assert answer.status_code == 200, answer.json
        return name

    def put(self, bucket, key, content=b"hello", **headers):
        """Store an object as the service."""
        sent = {"Content-Type": "text/plain", **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.call("POST", f"/object/{bucket}/{key}", content, headers=sent)
        assert answer.status_code == 200, answer.json
        return answer.json

    def get(self, bucket, key, **named):
        return self.call("GET", f"/object/{bucket}/{key}", **named)

    def policy(self, text) -> None:
        """Run an owner's SQL."""
        with self.tenant.connect(self.tenant.roles.owner) as connection:
            connection.execute(text)

    def rows(self, query, params=None):
        with self.tenant.connect(self.tenant.roles.storage) as connection:
            return connection.execute(query, params).fetchall()

    def blobs(self) -> set[str]:
        """Return the names of all bytes that are there."""
        return {entry.name for entry in self.place.blobs()}

    def named_blobs(self) -> set[str]:
        """Return the names of the bytes that rows name."""
        return {f"{row[0]}.{row[1]}" for row in self.rows("SELECT id, version FROM storage.objects")}

    def close(self) -> None:
        self.pictures.close()
        self.projects.close()
