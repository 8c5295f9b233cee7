"""A fresh project's files by the clients that people have, configured as docs/storage.md says: boto3, rclone, s3cmd."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

MB = 1024 * 1024


class Shop:
    """A project with an access key. Both addresses of its S3 are one. folder: the home of a user of clients."""

    def __init__(self, project, folder) -> None:
        self.project, self.place, self.folder = project, project.place, folder
        self.endpoint, self.plain = f"{project.url}/storage/v1/s3", f"{project.place.url}/storage/{project.id}/s3"
        made = project.change("storage/keys", {"name": "clients"})
        self.key, self.secret = made["key"]["accessKeyId"], made["secretAccessKey"]

    def run(self, *command):
        """Run a client as a user does, with a home folder of its own."""
        return self.place.run(*command, env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})

    def boto3(self, endpoint=None):
        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            verify=self.place.authority or None,
        )


@pytest.fixture
def shop(place, tmp_path):
    """A project that nothing is in yet."""
    with place.project("objects") as project:
        yield Shop(project, tmp_path)


def filled(folder: Path, sizes) -> dict[str, bytes]:
    """Write files into a folder; return what is in each."""
    made = {name: os.urandom(size) for name, size in sizes.items()}
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return made


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {"a.txt": 5, "empty": 0, "deep/er/b c+d&e.bin": 300_000, "large.bin": 18 * MB}


def test_boto3_stores_lists_and_reads_at_both_addresses(shop, tmp_path):
    client, content = shop.boto3(), filled(tmp_path / "in", FILES)
    client.create_bucket(Bucket="files")
    for name in FILES:
        client.upload_file(str(tmp_path / "in" / name), "files", name)
    plain = shop.boto3(shop.plain)
    assert sorted(entry["Key"] for entry in plain.list_objects_v2(Bucket="files")["Contents"]) == sorted(FILES)
    for name, wanted in content.items():
        plain.download_file("files", name, str(tmp_path / "found"))
        assert (tmp_path / "found").read_bytes() == wanted, name
        signed = client.generate_presigned_url("get_object", {"Bucket": "files", "Key": name})
        assert shop.project.http.get(signed).content == wanted
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket="files", Key="none")


@pytest.mark.rclone
def test_rclone_syncs_a_folder_there_and_back(shop, tmp_path):
    content = filled(tmp_path / "in", FILES)
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[files]\ntype = s3\nprovider = Other\naccess_key_id = {shop.key}\nsecret_access_key = {shop.secret}\n"
        f"endpoint = {shop.endpoint}\nregion = us-east-1\n"
    )
    rclone = (shutil.which("rclone"), "--config", str(config), "--s3-upload-cutoff", "8M", "--s3-chunk-size", "8M")
    if shop.place.authority:
        rclone += ("--ca-cert", shop.place.authority)
    shop.run(*rclone, "mkdir", "files:files")
    shop.run(*rclone, "sync", str(tmp_path / "in"), "files:files/kept")
    shop.run(*rclone, "check", str(tmp_path / "in"), "files:files/kept", "--download")
    assert sorted(shop.run(*rclone, "lsf", "-R", "--files-only", "files:files/kept").split("\n")[:-1]) == sorted(FILES)
    os.utime(tmp_path / "in" / "a.txt", (1, 1))
    (tmp_path / "in" / "empty").unlink()
    shop.run(*rclone, "sync", str(tmp_path / "in"), "files:files/kept")
    shop.run(*rclone, "moveto", "files:files/kept/a.txt", "files:files/kept/moved.txt")
    shop.run(*rclone, "copy", "files:files/kept", str(tmp_path / "out"))
    del content["empty"]
    content["moved.txt"] = content.pop("a.txt")
    assert read(tmp_path / "out") == content
    shop.run(*rclone, "purge", "files:files/kept")
    assert shop.run(*rclone, "ls", "files:files") == ""


@pytest.mark.s3cmd
def test_s3cmd_puts_gets_syncs_and_deletes(shop, tmp_path):
    content = filled(tmp_path / "in", FILES)
    scheme, _, address = shop.endpoint.partition("://")
    over_tls = (
        f"use_https = True\nca_certs_file = {shop.place.authority}\n" if scheme == "https" else "use_https = False\n"
    )
    (tmp_path / "s3cfg").write_text(
        f"[default]\naccess_key = {shop.key}\nsecret_key = {shop.secret}\nhost_base = {address}\n"
        f"host_bucket = {address}\n{over_tls}bucket_location = us-east-1\nmultipart_chunk_size_mb = 8\n"
    )
    s3cmd = (shutil.which("s3cmd"), "--config", str(tmp_path / "s3cfg"))
    shop.run(*s3cmd, "mb", "s3://files")
    shop.run(*s3cmd, "sync", f"{tmp_path}/in/", "s3://files/kept/")
    assert "s3://files/kept/a.txt" in shop.run(*s3cmd, "ls", "-r", "s3://files")
    shop.run(*s3cmd, "sync", "s3://files/kept/", f"{tmp_path}/out/")
    assert read(tmp_path / "out") == content
    shop.run(*s3cmd, "cp", "s3://files/kept/a.txt", "s3://files/b.txt")
    shop.run(*s3cmd, "get", "s3://files/b.txt", f"{tmp_path}/b.txt")
    assert (tmp_path / "b.txt").read_bytes() == content["a.txt"]
    shop.run(*s3cmd, "del", "-r", "-f", "s3://files")
    shop.run(*s3cmd, "rb", "s3://files")
    assert "s3://files" not in shop.run(*s3cmd, "ls")
