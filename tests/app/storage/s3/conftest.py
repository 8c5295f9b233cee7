"""A project's Storage as S3 clients meet it: a server of its own, and the official client of Python."""

from __future__ import annotations

import threading

import boto3
import pytest
from botocore.config import Config
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.app.storage.conftest import world  # noqa: F401 - a fixture
from tests.app.storage.world import ACCESS_KEY


class Handler(WSGIRequestHandler):
    """As gunicorn does: connections stay open, and nothing is said of them."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_given) -> None:
        pass


class Shop:
    """The project, and clients of it. url: where its S3 is."""

    def __init__(self, storage, url) -> None:
        self.storage, self.url = storage, url

    def client(self, key=ACCESS_KEY, secret=None, token=None, **config):
        """Make a client, by default one with the project's access key."""
        secret = secret or (self.storage.spec.access_keys[key] if token is None else self.storage.spec.session_keys[0])
        wanted = {"signature_version": "s3v4", "s3": {"addressing_style": "path"}, "retries": {"max_attempts": 1}}
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(**wanted | config),
        )

    def user(self, token, **config):
        """Make a client of a user's."""
        return self.client(self.storage.id, token=token, **config)


@pytest.fixture(scope="module")
def server(world):  # noqa: F811 - a fixture
    """The project's Storage, served."""
    served = make_server("127.0.0.1", 0, world.app, threaded=True, request_handler=Handler)
    served.daemon_threads, served.block_on_close = True, False  # clients keep their connections
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/storage/{world.id}/s3"
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def shop(storage, server):
    """The project and its clients, with the settings that each test begins with."""
    return Shop(storage, server)


@pytest.fixture
def s3(shop):
    """The official client, with the project's access key."""
    return shop.client()


@pytest.fixture
def bucket(shop):
    """A private bucket."""
    return shop.storage.bucket()
