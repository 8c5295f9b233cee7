"""Which place the bytes of projects' files have, by the settings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from config.logging import hide_values
from infra import files
from infra.blobs.local_folder import LocalFolder
from infra.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.blobs.object_store import ObjectPlace
    from infra.blobs.store import BlobStore

CONNECTIONS, CONNECT_SECONDS, READ_SECONDS, TRIES = 32, 5, 60, 4
SECRET_FILE = "FILES_S3_SECRET_KEY"  # noqa: S105 - the name of a secret


def blob_places(settings: Settings) -> Callable[[str], BlobStore]:
    """Return what opens the place of a project's bytes: a bucket where settings name one, or a folder."""
    if not settings.files_s3_endpoint:
        return functools.partial(LocalFolder, settings.files_folder)
    return functools.partial(_in_bucket, settings)


def projects_with_bytes(settings: Settings) -> list[str]:
    """Return what is called like a project where bytes are, or what was made of them. Raises Unavailable."""
    folder = settings.files_folder
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if settings.files_s3_endpoint:
        found.update(_bucket(settings).owners())
    return sorted(found)


def remove_bytes(settings: Settings, project_id: str) -> None:
    """Ensure that nothing of a project's bytes is left, nor of what was made of them. Raises Unavailable."""
    blob_places(settings)(project_id).remove_all()
    # What was made of bytes in a bucket lies on this machine.
    LocalFolder(settings.files_folder, project_id).remove_all()


def _in_bucket(settings: Settings, project_id: str) -> BlobStore:
    from infra.blobs.object_store import ObjectStore  # noqa: PLC0415 - who has a folder loads no client

    return ObjectStore(_bucket(settings), project_id)


def _bucket(settings: Settings) -> ObjectPlace:
    from infra.blobs.object_store import ObjectPlace  # noqa: PLC0415

    # Its secret is read each time, so that another one is good from the next place on that is opened.
    client = object_client(
        settings.files_s3_endpoint, settings.files_s3_region, settings.files_s3_access_key, _secret(settings)
    )
    return ObjectPlace(client, settings.files_s3_bucket, settings.files_folder / "spool")


def _secret(settings: Settings) -> str:
    """Return the secret of our key: what its file among the secrets says, or else the setting. Raises Refused."""
    found = files.read(settings.secrets_folder / SECRET_FILE).strip() or settings.files_s3_secret_key.get_secret_value()
    if not found:
        raise Refused(f"the secret {SECRET_FILE} is missing from {settings.secrets_folder}")
    hide_values(found)
    return found


@functools.lru_cache(maxsize=4)
def object_client(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    """Make a client of an object store, or return it; safe to use from many threads.

    Nothing else of this machine says who it is.
    """
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.session.Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key).client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=CONNECTIONS,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            # Not every store knows the newer checksums; bytes are hashed by us, and signed whole.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
