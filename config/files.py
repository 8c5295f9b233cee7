"""Where projects' files are, and what Storage is told of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, field_validator, model_validator

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
    files_s3_secret_key: SecretStr = env(
        "FILES_S3_SECRET_KEY", SecretStr(""), "its secret; the file of that name among the secrets goes before it"
    )
    files_s3_network: Literal["files", "outward"] = env(
        "FILES_S3_NETWORK",
        "files",
        "in containers, how far Storage reaches: files, a network of its own that leads nowhere; outward, as far as "
        "the machine does, which a store needs",
    )

    @field_validator("files_s3_endpoint")
    @classmethod
    def _is_a_url(cls, text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query):
            raise ValueError("must be a URL, such as https://s3.example.org, without a name or a password in it")
        return text

    @model_validator(mode="after")
    def _names_all_of_a_store(self) -> Self:
        wanted = {
            "FILES_S3_BUCKET": self.files_s3_bucket,
            "FILES_S3_ACCESS_KEY": self.files_s3_access_key,
            "FILES_S3_SECRET_KEY": self.files_s3_secret_key.get_secret_value(),
        }
        given = [name for name, value in wanted.items() if value]
        if not self.files_s3_endpoint and given:
            # Files would go into a folder, unseen.
            raise ValueError(f"{' and '.join(given)} without FILES_S3_ENDPOINT: no store is named")
        # A service in a container is given the secret as a file.
        if os.path.exists(self._home / "secrets" / "FILES_S3_SECRET_KEY"):  # noqa: PTH110 - it raises for nobody's folder
            del wanted["FILES_S3_SECRET_KEY"]
        if self.files_s3_endpoint and (lacking := [name for name in wanted if name not in given]):
            raise ValueError(f"FILES_S3_ENDPOINT needs {' and '.join(lacking)}")
        return self

    def lacks_a_way(self) -> list[str]:
        """Return what containers lack besides to reach the store that is named."""
        if not self.files_s3_endpoint or self.files_s3_network == "outward":
            return []
        return ["FILES_S3_NETWORK is not outward, so Storage cannot reach FILES_S3_ENDPOINT"]

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
