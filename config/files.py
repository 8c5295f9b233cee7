"""Where projects' files are, and what Storage is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, SecretStr, model_validator

from config.deployment import env

if TYPE_CHECKING:
    from pathlib import Path


class FilesFolders(BaseModel):
    """Folders below the home, which Settings has, or a bucket of an object store."""

    files_s3_endpoint: str = env(
        "FILES_S3_ENDPOINT",
        "",
        "URL of the S3-compatible store that keeps the bytes of files, for more than one machine; empty: a folder does",
    )
    files_s3_bucket: str = env("FILES_S3_BUCKET", "", "the bucket there, which nobody else writes to")
    files_s3_region: str = env("FILES_S3_REGION", "us-east-1", "the region that is signed for there")
    files_s3_access_key: str = env("FILES_S3_ACCESS_KEY", "", "the id of our access key there")
    files_s3_secret_key: SecretStr = env("FILES_S3_SECRET_KEY", SecretStr(""), "its secret")

    @model_validator(mode="after")
    def _names_all_of_a_store(self) -> Self:
        wanted = (self.files_s3_bucket, self.files_s3_access_key, self.files_s3_secret_key.get_secret_value())
        if self.files_s3_endpoint and not all(wanted):
            raise ValueError("FILES_S3_ENDPOINT needs FILES_S3_BUCKET, FILES_S3_ACCESS_KEY and FILES_S3_SECRET_KEY")
        return self

    @property
    def storage_specs_folder(self) -> Path:
        """One file per project, holding what Storage has to know of it."""
        return self._home / "storage-projects"

    @property
    def files_folder(self) -> Path:
        """One folder per project, holding the bytes of its files."""
        return self._home / "storage"

    @property
    def _home(self) -> Path:
        home: Path = getattr(self, "home")  # noqa: B009 - of the model that this one is a part of
        return home
