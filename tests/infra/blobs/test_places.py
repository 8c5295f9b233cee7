"""Which place files have, by the settings: what names a store by half, or leaves containers no way to it, is refused."""

from __future__ import annotations

import pytest

from config.settings import SettingsError, load

WHOLE = {
    "FILES_S3_ENDPOINT": "http://127.0.0.1:9", "FILES_S3_BUCKET": "files", "FILES_S3_ACCESS_KEY": "id",
    "FILES_S3_SECRET_KEY": "secret of tests",
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["FILES_S3_ENDPOINT"], "needs FILES_S3_BUCKET and FILES_S3_ACCESS_KEY and FILES_S3_SECRET_KEY"),
        (["FILES_S3_ENDPOINT", "FILES_S3_BUCKET", "FILES_S3_ACCESS_KEY"], "needs FILES_S3_SECRET_KEY"),
        (["FILES_S3_BUCKET"], "FILES_S3_BUCKET without FILES_S3_ENDPOINT: no store is named"),
        (["FILES_S3_ACCESS_KEY", "FILES_S3_SECRET_KEY"], "without FILES_S3_ENDPOINT: no store is named"),
    ],
)
def test_a_store_that_is_named_by_half_is_refused(tmp_path, given, said):
    with pytest.raises(SettingsError, match=said):
        load({"LAUNCHDB_HOME": str(tmp_path), **{name: WHOLE[name] for name in given}}, recall=False)


@pytest.mark.parametrize("url", ["s3.example.org", "ftp://s3.example.org", "https://a:b@s3.example.org", "https://"])
def test_what_is_no_url_of_a_store_is_refused(tmp_path, url):
    with pytest.raises(SettingsError, match="must be a URL") as refused:
        load({"LAUNCHDB_HOME": str(tmp_path), **WHOLE, "FILES_S3_ENDPOINT": url}, recall=False)
    assert "a:b" not in str(refused.value)


def test_in_containers_storage_needs_a_way_to_the_store(tmp_path):
    told = {"LAUNCHDB_ENV": "production", "LAUNCHDB_RUNTIME": "broker", "DOMAIN": "db.launchdb.test", **WHOLE}
    told |= {"ACME_EMAIL": "a@launchdb.test", "HOST_SCRIPT_DIR": "/s", "HOST_CONFIG_DIR": "/c"}
    told |= {"LAUNCHDB_HOME": str(tmp_path)}
    with pytest.raises(SettingsError, match="FILES_S3_NETWORK is not outward"):
        load(told, recall=False)
    assert load({**told, "FILES_S3_NETWORK": "outward"}, recall=False).files_s3_network == "outward"
