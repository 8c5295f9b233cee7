"""Which place the bytes of projects' files have, by the settings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from infra.blobs.local_folder import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from infra.blobs.store import BlobStore

CONNECTIONS, CONNECT_SECONDS, READ_SECONDS, TRIES = 32, 5, 60, 4


def blob_places(settings: Settings) -> Callable[[str], BlobStore]:
    """Return what opens the place of a project's bytes: a bucket where settings name one, or a folder."""
    if not settings.files_s3_endpoint:
        return functools.partial(LocalFolder, settings.files_folder)
    from infra.blobs.object_store import ObjectPlace, ObjectStore  # noqa: PLC0415 - who has a folder loads no client

    client = object_client(
        settings.files_s3_endpoint,
        settings.files_s3_region,
        settings.files_s3_access_key,
        settings.files_s3_secret_key.get_secret_value(),
    )
    place = ObjectPlace(client, settings.files_s3_bucket, settings.files_folder / "spool")
    return functools.partial(ObjectStore, place)


def object_client(endpoint: str, region: str, access_key: str, secret_key: str) -> Any:
    """Make a client of an object store, safe to use from many threads; nothing else of this machine says who it is."""
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
