"""Strange texts in every place of every route: an answer of the contract, nothing of them in a header, nothing left."""

from __future__ import annotations

import json
import random
from urllib.parse import quote, urlencode

import pytest

from app.storage.routes import ROUTES

STRANGE = (
    "\0", "a\0b", "\r\nX-Evil: 1", "' OR 1=1 --", "../../etc/passwd", "%", "%ff%fe", "\\", "{}", "[]", "null", "-1", "0",
    "1e999", "9" * 400, "x" * 9000, "\u202e\u0663\U0001f937", "bytes=0-0,1-1,2-2", "bytes=9-1", 'W/"', "*", "e.e.e",
    "a b,c", "bucketName ====", "text/html; charset=utf-7", "/", "//", ".", "..", ".emptyFolderPlaceholder",
)  # fmt: skip
QUERY = (
    "token", "download", "width", "height", "resize", "quality", "format", "cacheNonce", "limit", "offset", "search",
    "sortColumn", "sortOrder", "upsert",
)  # fmt: skip
MEMBERS = (
    "id", "name", "public", "file_size_limit", "allowed_mime_types", "prefix", "prefixes", "limit", "offset", "sortBy",
    "search", "cursor", "with_delimiter", "bucketId", "sourceKey", "destinationKey", "destinationBucket", "expiresIn",
    "paths", "transform", "url", "metadata", "copyMetadata",
)  # fmt: skip
HEADERS = (
    "Range", "If-None-Match", "If-Modified-Since", "If-Match", "Cache-Control", "Content-Type", "x-metadata", "x-upsert",
    "Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Defer-Length", "Upload-Concat", "Tus-Resumable",
    "X-Signature", "Accept", "Origin", "Content-Encoding",
)  # fmt: skip
PER_ROUTE = 6


@pytest.fixture(scope="module")
def bucket(world):
    """A bucket with an object."""
    name = world.bucket()
    world.put(name, "a.txt")
    return name


def named(route):
    return f"{route.method} {route.path}"


def path_of(route, bucket, text):
    """The route with the text for all that it names but the bucket."""
    path = route.path
    while "<" in path:
        name = path[path.index("<") + 1 : path.index(">")]
        said = bucket if name.endswith("bucket") else quote(text, safe="")
        path = path[: path.index("<")] + said + path[path.index(">") + 1 :]
    return path


@pytest.mark.parametrize("where", ["path and query", "headers", "body"])
@pytest.mark.parametrize("route", [route for route in ROUTES if not route.path.endswith("/empty")], ids=named)
def test_no_text_in_any_place_is_a_failure_of_ours(storage, bucket, route, where):
    if named(route) == "DELETE /bucket/<bucket>":
        bucket = storage.bucket()
    for text in random.Random(named(route) + where).sample(STRANGE, PER_ROUTE):
        path, headers, body = path_of(route, bucket, text if where == "path and query" else "a.txt"), {}, b""
        if where == "path and query":
            path += f"?{urlencode(dict.fromkeys(QUERY, text))}"
        elif where == "headers":
            plain = text.encode("ascii", "ignore").decode().replace("\r\n", " ").replace("\0", "")
            headers = dict.fromkeys(HEADERS, plain)
        else:
            body = json.dumps(dict.fromkeys(MEMBERS, text)).encode()
        answer = storage.call(route.method, path, body, headers=headers)
        assert answer.status_code < 500, (text, answer.data)
        assert "X-Evil" not in answer.headers, text
    assert storage.blobs() == storage.named_blobs()
