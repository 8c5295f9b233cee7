"""Pictures as clients want them: what comes of which request, and what nobody gets out of a picture that is a trap."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.storage.images import pictures as module
from app.storage.images.geometry import plan_of
from app.storage.images.transformation import Transformation
from infra.secrets import tokens
from tests.app.storage.pictures import bomb, colour, noise, picture, seen

TYPE = {"jpegload": "image/jpeg", "pngload": "image/png", "gifload": "image/gif", "webpload": "image/webp"} | {
    "heifload": "image/avif",
    "tiffload": "image/tiff",
}


@pytest.fixture(scope="module")
def bucket(world):
    return world.bucket(public=True)


@pytest.fixture
def private(storage):
    return storage.bucket()


def render(storage, bucket, key, query="", accept=None, **named):
    named.setdefault("bearer", None)
    headers = {**({"Accept": accept} if accept else {}), **named.pop("headers", {})}
    return storage.call("GET", f"/render/image/public/{bucket}/{key}?{query}", headers=headers, **named)


def stored(storage, bucket, key, content, mime="image/jpeg"):
    storage.put(bucket, key, content, Content_Type=mime, x_upsert="true")


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("", (60, 40)),
        ("width=30&height=20", (30, 20)),
        ("width=20&height=20", (20, 20)),
        ("width=20&height=20&resize=cover", (20, 20)),
        ("width=20&height=20&resize=contain", (20, 13)),
        ("width=20&height=20&resize=fill", (20, 20)),
        ("width=30", (30, 20)),
        ("height=20", (30, 20)),
        ("width=30&resize=contain", (30, 20)),
        ("width=30&resize=fill", (30, 40)),
        ("width=0&height=0", (60, 40)),
        ("width=0&height=10", (15, 10)),
        # It is never made larger than it is.
        ("width=600&height=400", (60, 40)),
        ("width=600&height=20", (60, 20)),
        ("width=600&height=400&resize=contain", (60, 40)),
        ("width=120&height=20&resize=fill", (60, 10)),
        ("width=99999999&height=20&resize=cover", (60, 20)),
        ("width=1&height=1", (1, 1)),
    ],
)
def test_a_picture_has_the_size_that_is_asked_for(storage, bucket, query, size):
    stored(storage, bucket, "sizes.jpg", picture())
    answer = render(storage, bucket, "sizes.jpg", query)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert seen(answer.data)[1:] == size
    assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.parametrize(
    ("width", "height", "members", "plan"),
    [
        (4000, 3000, {}, (3000, 2250, 3000, 2250)),
        (4000, 3000, {"width": 100}, (100, 75, 100, 75)),
        (4000, 3000, {"width": 1000, "height": 1000}, (1333, 1000, 1000, 1000)),
        (4000, 3000, {"width": 1000, "height": 1000, "resize": "contain"}, (1000, 750, 1000, 750)),
        (4000, 3000, {"width": 9999}, (2500, 1875, 2500, 1875)),
        (10_000, 1, {"width": 10}, (10, 1, 10, 1)),
    ],
)
def test_large_pictures_are_scaled_to_whole_pixels(width, height, members, plan):
    assert tuple(vars(plan_of(Transformation.of(members, "body"), width, height)).values()) == plan


@pytest.mark.parametrize(
    ("gravity", "red"),
    [("", None), ("gravity=we", True), ("gravity=ea", False), ("gravity=noea", False), ("gravity=soea&x_offset=40", True),
     ("gravity=fp&x_offset=0&y_offset=0.5", True), ("gravity=fp&x_offset=1&y_offset=1", False), ("gravity=we&x_offset=0.6", False)],
)  # fmt: skip
def test_what_is_kept_of_a_picture_that_is_cut_is_what_was_asked_for(storage, bucket, gravity, red):
    stored(storage, bucket, "gravity.png", picture("png"), "image/png")
    found = render(storage, bucket, "gravity.png", f"width=16&height=40&{gravity}").data
    assert seen(found) == ("pngload", 16, 40)
    left, right = colour(found, 1, 20), colour(found, 14, 20)
    assert (left, right) == {None: ((1, 0, 0), (0, 0, 1)), True: ((1, 0, 0),) * 2, False: ((0, 0, 1),) * 2}[red]


def test_what_catches_the_eye_is_kept(storage, bucket):
    stored(storage, bucket, "smart.png", picture("png"), "image/png")
    assert seen(render(storage, bucket, "smart.png", "width=10&height=10&gravity=sm").data) == ("pngload", 10, 10)


def test_a_picture_that_lies_on_its_side_is_shown_upright_and_tells_nothing_of_where_it_was_taken(storage, bucket):
    import pyvips

    image = pyvips.Image.new_from_buffer(picture("jpeg"), "").copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd2-UserComment", "at home")
    raw = image.write_to_buffer(".jpg")
    assert b"at home" in raw or b"a\0t" in raw or b"exif-ifd2-UserComment" not in raw
    stored(storage, bucket, "side.jpg", raw)
    found = render(storage, bucket, "side.jpg", "width=20").data
    assert seen(found) == ("jpegload", 20, 30)
    assert b"Exif" not in found


# ---- formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "avif", "tiff"])
def test_a_picture_stays_what_it_is_unless_somebody_wants_another(storage, bucket, kind):
    raw = picture(kind)
    stored(storage, bucket, f"kind.{kind}", raw, "application/octet-stream")
    answer = render(storage, bucket, f"kind.{kind}", "width=10&format=origin", accept="image/avif,image/webp")
    assert (answer.headers["Content-Type"], seen(answer.data)[0]) == (f"image/{kind}", seen(raw)[0])
    assert "Vary" not in answer.headers
    for wanted in ("webp", "avif"):
        answer = render(storage, bucket, f"kind.{kind}", f"width=10&format={wanted}")
        assert (TYPE[seen(answer.data)[0]], answer.headers["Content-Type"]) == (f"image/{wanted}",) * 2


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/webp,*/*", "image/webp"),
        ("image/avif,image/webp,image/apng,*/*;q=0.8", "image/avif"),
        ("image/avif;q=0, image/webp;q=0.1", "image/webp"),
        ("text/html", "image/png"),
        ("image/avif" * 5000, "image/png"),
    ],
)
def test_a_client_that_names_a_better_format_gets_it(storage, bucket, accept, media_type):
    stored(storage, bucket, "accept.png", picture("png"), "image/png")
    answer = render(storage, bucket, "accept.png", "width=10", accept=accept)
    assert (answer.headers["Content-Type"], TYPE[seen(answer.data)[0]]) == (media_type,) * 2
    assert answer.headers["Vary"] == "Accept"


def test_less_quality_means_fewer_bytes(storage, bucket):
    stored(storage, bucket, "noise.png", noise(), "image/png")
    for kind in ("webp", "avif"):
        sizes = [len(render(storage, bucket, "noise.png", f"format={kind}&quality={q}").data) for q in (20, 80)]
        assert sizes[0] < sizes[1]


# ---- what is asked wrongly ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("width=-1", "querystring/width must be >= 0"),
        ("width=1.5", "querystring/width must be integer"),
        ("width=abc", "querystring/width must be integer"),
        ("width=", "querystring/width must be integer"),
        ("height=1e999", "querystring/height must be integer"),
        ("height=%00", "querystring/height must be integer"),
        ("width=1&width=2", "querystring/width must be integer"),
        ("quality=19", "querystring/quality must be >= 20"),
        ("quality=101", "querystring/quality must be <= 100"),
        ("resize=crop", "querystring/resize must be equal to one of the allowed values"),
        ("resize=cover%0A", "querystring/resize must be equal to one of the allowed values"),
        ("format=png", "querystring/format must be equal to one of the allowed values"),
        ("format=avif%0Amalicious", "querystring/format must be equal to one of the allowed values"),
        ("gravity=obj", "querystring/gravity must be equal to one of the allowed values"),
        ("gravity=fp", "querystring must have required property 'x_offset'"),
        ("gravity=fp&x_offset=1.1&y_offset=0.5", "querystring/x_offset must be between 0 and 1"),
        ("x_offset=nan", "querystring/x_offset must be number"),
    ],
)
def test_a_wrong_parameter_is_refused_wherever_pictures_are_asked_for(storage, bucket, query, message):
    stored(storage, bucket, "wrong.jpg", picture())
    for path in ("render/image/public", "object/info/public"):
        answer = storage.call("GET", f"/{path}/{bucket}/wrong.jpg?{query}", bearer=None)
        assert (answer.status_code, answer.json["error"], answer.json["message"]) == (400, "InvalidRequest", message)
    assert storage.call("HEAD", f"/object/public/{bucket}/wrong.jpg?{query}", bearer=None).status_code == 400
    assert storage.call("HEAD", f"/object/public/{bucket}/wrong.jpg?width=5", bearer=None).status_code == 200
    assert storage.get(bucket, "wrong.jpg").data == picture()


UNSUPPORTED = "The source image is invalid or unsupported for rendering"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", UNSUPPORTED),
        (b"hello", UNSUPPORTED),
        (b"%PDF-1.4\n%%EOF", UNSUPPORTED),
        (b"1,2,3\n4,5,6\n", UNSUPPORTED),
        (b"P6 1 1 255 abc", UNSUPPORTED),
        (b"\x08\xf2\xa6\xb6" + b"\0" * 200, UNSUPPORTED),
        (bytes.fromhex("00000010667479706d69663100000000"), UNSUPPORTED),
        (picture("png")[:40], UNSUPPORTED),
        (picture("webp")[:40], UNSUPPORTED),
        (b"\xff\xd8\xff" + b"\0" * 1000, UNSUPPORTED),
        (b"GIF89a" + b"\xff" * 1000, UNSUPPORTED),
        (b"<html><script>alert(1)</script></html>", UNSUPPORTED),
        (bomb(), "The source image resolution is too large to process"),
        (bomb(2_000_000, 2_000_000), None),
    ],
)  # fmt: skip
def test_what_is_no_picture_or_too_large_a_one_is_refused_in_the_reference_s_words(storage, bucket, content, message):
    stored(storage, bucket, "bad", content, "image/png")
    for query in ("", "width=10", "format=webp"):
        answer = render(storage, bucket, "bad", query)
        assert (answer.status_code, answer.json["statusCode"], answer.json["error"]) == (400, "400", "InvalidRequest")
        assert message is None or answer.json["message"] == message


def test_a_file_that_is_too_large_is_refused_before_it_is_read(storage, bucket, monkeypatch):
    monkeypatch.setattr(module, "SOURCE_BYTES_MAX", 100)
    stored(storage, bucket, "big.jpg", picture())
    answer = render(storage, bucket, "big.jpg", "width=10")
    assert answer.json["message"] == "The source image file is too large to process"


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_of_a_picture_that_breaks_off_what_has_come_is_shown(storage, bucket, kind):
    raw = noise(kind)
    stored(storage, bucket, "cut", raw[: len(raw) // 2], f"image/{kind}")
    assert seen(render(storage, bucket, "cut", "width=40").data)[1:] == (40, 30)


def test_nothing_of_a_file_behind_a_picture_comes_with_it(storage, bucket):
    for kind in ("jpeg", "png", "gif"):
        stored(storage, bucket, "polyglot", picture(kind) + b"<script>alert(1)</script>PK\x03\x04", "text/html")
        answer = render(storage, bucket, "polyglot", "width=10")
        assert answer.headers["Content-Type"] == f"image/{kind}"
        assert b"script" not in answer.data
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# ---- drawings -------------------------------------------------------------------------------------------------------

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="60" height="40">{}</svg>'
)


def test_a_drawing_stays_one_fenced_in_unless_pixels_are_asked_for(storage, bucket):
    raw = SVG.format('<rect width="60" height="40" fill="#c80000"/><script>alert(1)</script>').encode()
    stored(storage, bucket, "drawing.svg", raw, "image/svg+xml")
    answer = render(storage, bucket, "drawing.svg", "width=10", accept="image/webp")
    assert (answer.data, answer.headers["Content-Type"]) == (raw, "image/svg+xml")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    answer = render(storage, bucket, "drawing.svg", "width=30&format=webp")
    assert seen(answer.data) == ("webpload", 30, 20)
    assert colour(answer.data, 5, 5) == (1, 0, 0)


def test_a_drawing_shows_no_file_of_the_machine_and_asks_nobody(storage, bucket, tmp_path):
    (tmp_path / "secret.png").write_bytes(picture("png", left=(0, 200, 0), right=(0, 200, 0)))
    links = "".join(
        f'<image {attribute}="{scheme}{tmp_path}/secret.png" width="60" height="40"/>'
        for attribute in ("href", "xlink:href")
        for scheme in ("file://", "", "http://127.0.0.1:9")
    )
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{tmp_path}/secret.png">]>'
    for number, text in enumerate((SVG.format(links), entity + SVG.format("<text>&x;</text>"))):
        stored(storage, bucket, f"links{number}.svg", text.encode(), "image/svg+xml")
        answer = render(storage, bucket, f"links{number}.svg", "format=webp")
        assert answer.status_code == 400 or colour(answer.data, 30, 20) == (0, 0, 0)


@pytest.mark.parametrize(
    "inside",
    [
        "<g>" * 200_000,
        '<rect width="1e30" height="1e30"/><text font-size="1e9">x</text>',
        "".join(f'<g id="a{n}"><use href="#a{n - 1}"/><use href="#a{n - 1}"/></g>' for n in range(1, 40)),
    ],
)
def test_a_drawing_that_is_a_trap_ends_nobody_but_itself(storage, bucket, inside, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 3.0)
    stored(storage, bucket, "trap.svg", SVG.format(inside).encode(), "image/svg+xml")
    answer = render(storage, bucket, "trap.svg", "width=50&format=webp")
    assert answer.status_code in (200, 400), answer.text
    monkeypatch.undo()
    stored(storage, bucket, "after.png", picture("png"), "image/png")
    assert render(storage, bucket, "after.png", "width=11").status_code == 200


def test_a_drawing_that_says_it_is_enormous_is_refused(storage, bucket):
    text = '<svg xmlns="http://www.w3.org/2000/svg" width="100000" height="100000"/>'
    stored(storage, bucket, "huge.svg", text.encode(), "image/svg+xml")
    assert render(storage, bucket, "huge.svg", "width=50&format=webp").status_code == 400


# ---- whose pictures -------------------------------------------------------------------------------------------------


def test_a_private_picture_is_rendered_for_whoever_may_see_it(storage, private):
    stored(storage, private, "a/mine.jpg", picture())
    _subject, token = storage.person()
    path = f"/render/image/authenticated/{private}/a/mine.jpg?width=10"
    assert storage.call("GET", path, bearer=token).json["error"] == "not_found"
    assert storage.call("GET", path, bearer=None).status_code == 400
    assert render(storage, private, "a/mine.jpg", "width=10").json["error"] == "Bucket not found"
    name = f"see_{private.replace('-', '_')}"
    storage.policy(
        f"CREATE POLICY {name} ON storage.objects FOR SELECT TO authenticated USING (bucket_id = '{private}')"
    )
    assert seen(storage.call("GET", path, bearer=token).data) == ("jpegload", 10, 7)
    storage.policy(f"DROP POLICY {name} ON storage.objects")
    # What was made of it is there; that makes it nobody's.
    assert storage.call("GET", path, bearer=token).json["error"] == "not_found"
    assert storage.call("GET", path).status_code == 200


def signed(storage, bucket, key, **body):
    answer = storage.call("POST", f"/object/sign/{bucket}/{key}", {"expiresIn": 60, **body})
    assert answer.status_code == 200, answer.json
    return answer.json["signedURL"]


def test_a_signed_url_binds_what_is_made_of_a_picture(storage, private):
    stored(storage, private, "deal.jpg", picture())
    url = signed(storage, private, "deal.jpg", transform={"width": 20, "height": 20, "quality": "60"})
    assert url.startswith(f"/render/image/sign/{private}/deal.jpg?token=")
    for more in ("", "&width=60&height=40&resize=fill", "&format=png"):
        answer = storage.call("GET", url + more, bearer=None)
        assert seen(answer.data) == ("jpegload", 20, 20)
        assert answer.headers["X-Transformations"] == "height:20,width:20,resizing_type:fill,quality:60"
    original = url.replace("/render/image/sign/", "/object/sign/")
    assert storage.call("GET", original, bearer=None).json["error"] == "InvalidSignature"


def test_a_signed_url_without_a_transformation_renders_the_picture_as_it_is(storage, private):
    stored(storage, private, "plain.jpg", picture())
    for transform in ({}, {"width": 0}):
        url = signed(storage, private, "plain.jpg", transform=transform)
        assert url.startswith("/object/sign/")
        assert storage.call("GET", url, bearer=None).data == picture()
        answer = storage.call("GET", url.replace("/object/sign/", "/render/image/sign/") + "&width=10", bearer=None)
        assert seen(answer.data) == ("jpegload", 60, 40)
        assert "X-Transformations" not in answer.headers


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"width": -1}, "body/transform/width must be >= 0"),
        ({"width": True}, "body/transform/width must be integer"),
        ({"height": [1]}, "body/transform/height must be integer"),
        ({"quality": 1}, "body/transform/quality must be >= 20"),
        ({"resize": {"a": 1}}, "body/transform/resize must be equal to one of the allowed values"),
        ({"gravity": "fp"}, "body/transform must have required property 'x_offset'"),
        ([], "body/transform must be object"),
        ("width", "body/transform must be object"),
    ],
)
def test_a_wrong_transformation_is_not_signed(storage, bucket, transform, message):
    stored(storage, bucket, "sign.jpg", picture())
    answer = storage.call("POST", f"/object/sign/{bucket}/sign.jpg", {"expiresIn": 60, "transform": transform})
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_a_token_for_something_else_opens_no_picture(storage, private):
    stored(storage, private, "a.jpg", picture())
    stored(storage, private, "b.jpg", picture())
    token = signed(storage, private, "a.jpg", transform={"width": 10}).partition("token=")[2]
    upload = storage.call("POST", f"/object/upload/sign/{private}/new.jpg", {}).json["token"]
    now = int(time.time())
    forged = tokens.sign_token({"url": f"{private}/a.jpg", "scope": "download", "exp": now + 60}, "x" * 40)
    for path, given in (("b.jpg", token), ("a.jpg", upload), ("a.jpg", forged), ("a.jpg", "junk"), ("a.jpg", "")):
        answer = storage.call("GET", f"/render/image/sign/{private}/{path}?token={given}", bearer=None)
        assert answer.status_code == 400
        assert answer.json["error"] in ("InvalidSignature", "InvalidJWT")
    storage.now = lambda: time.time() + 61
    answer = storage.call("GET", f"/render/image/sign/{private}/a.jpg?token={token}", bearer=None)
    assert answer.json["error"] == "ExpiredToken"


# ---- what is kept of it ---------------------------------------------------------------------------------------------


def results(storage):
    return sorted(path for path in (storage.folder / storage.id / "results").rglob("*") if path.is_file())


def test_what_was_made_once_is_not_made_again(storage, private, monkeypatch):
    stored(storage, private, "kept.jpg", picture())
    path = f"/render/image/authenticated/{private}/kept.jpg?width=12"
    first = storage.call("GET", path)
    before = results(storage)

    def nobody(*_what, **_more):
        raise AssertionError("a helper was asked")

    monkeypatch.setattr(module.Pictures, "_made", nobody)
    again = storage.call("GET", path)
    assert (again.data, dict(again.headers)) == (first.data, dict(first.headers))
    assert results(storage) == before
    known = storage.call("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", first.headers["ETag"])
    part = storage.call("GET", path, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.data) == (206, first.data[:10])
    head = storage.call("HEAD", path)
    assert (head.data, head.headers["Content-Length"]) == (b"", first.headers["Content-Length"])


def test_another_transformation_has_another_tag_and_the_original_s_is_its_own(storage, bucket):
    stored(storage, bucket, "tags.jpg", picture())
    tags = {
        render(storage, bucket, "tags.jpg", query, accept=accept).headers["ETag"]
        for query, accept in (("", None), ("width=10", None), ("width=10", "image/webp"), ("width=11", None))
    }
    assert len(tags | {storage.get(bucket, "tags.jpg").headers["ETag"]}) == 5


def test_a_picture_that_is_replaced_or_removed_leaves_nothing_that_was_made_of_it(storage, private):
    before = results(storage)
    path = f"/render/image/authenticated/{private}/gone.png?width=10"
    stored(storage, private, "gone.png", picture("png"), "image/png")
    assert colour(storage.call("GET", path).data, 0, 0) == (1, 0, 0)
    stored(storage, private, "gone.png", picture("png", left=(0, 200, 0)), "image/png")
    assert colour(storage.call("GET", path).data, 0, 0) == (0, 1, 0)
    assert len(results(storage)) == len(before) + 1
    storage.call("DELETE", f"/object/{private}", {"prefixes": ["gone.png"]})
    assert results(storage) == before


def test_results_have_a_bound_and_the_least_used_go(storage, private):
    folder = storage.pictures.results_of(storage.id)
    stored(storage, private, "many.png", noise("png", 50, 40), "image/png")
    path = f"/render/image/authenticated/{private}/many.png?width="
    sizes = [len(storage.call("GET", f"{path}{width}").data) for width in range(20, 26)]
    (oldest, *_others) = sorted(results(storage), key=lambda each: each.stat().st_mtime)
    os.utime(oldest, (1, 1))
    folder._bytes_max = folder.size()
    folder.trim()
    assert oldest not in results(storage)
    folder._bytes_max = sum(sizes)
    for width in range(30, 40):
        storage.call("GET", f"{path}{width}")
        assert folder.size() <= sum(sizes) * 1.3
    assert folder.size() > 0


def test_a_result_that_somebody_has_put_there_as_a_link_is_not_followed(storage, private, tmp_path):
    stored(storage, private, "link.png", picture("png"), "image/png")
    path = f"/render/image/authenticated/{private}/link.png?width=10"
    before = set(results(storage))
    first = storage.call("GET", path).data
    (made,) = set(results(storage)) - before
    (tmp_path / "secret").write_bytes(b"secret")
    made.unlink()
    made.symlink_to(tmp_path / "secret")
    assert storage.call("GET", path).data == first


# ---- where it is done -----------------------------------------------------------------------------------------------


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_made(storage, bucket, monkeypatch):
    stored(storage, bucket, "slow.png", noise(), "image/png")
    monkeypatch.setattr(module, "SECONDS", 0.0)
    answer = render(storage, bucket, "slow.png", "width=91")
    assert (answer.json["statusCode"], answer.json["message"]) == ("408", "Image request timed out")
    monkeypatch.undo()
    assert render(storage, bucket, "slow.png", "width=91").status_code == 200


def test_a_helper_that_is_killed_is_replaced(storage, bucket):
    stored(storage, bucket, "killed.png", picture("png"), "image/png")
    assert render(storage, bucket, "killed.png", "width=21").status_code == 200
    for process in storage.pictures._helpers.idle():
        process.kill()
        process.wait(10)
    assert render(storage, bucket, "killed.png", "width=22").status_code == 200


def at_once(storage, paths):
    """Ask for all of these at the same time; return status and content of each."""
    key = {"Authorization": f"Bearer {storage.key('service_role')}"}

    def ask(path):
        answer = storage.app.test_client().get(f"/storage/{storage.id}{path}", headers=key, buffered=True)
        return answer.status_code, answer.data

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(ask, paths))


def test_a_project_whose_pictures_are_many_waits_for_itself_and_is_told_when_there_are_too_many(
    storage, bucket, monkeypatch
):
    stored(storage, bucket, "crowd.png", noise(), "image/png")
    monkeypatch.setattr(storage.pictures._helpers, "_waiting_max", 2)
    storage.pictures.close()
    asked = at_once(storage, [f"/render/image/public/{bucket}/crowd.png?width={width}" for width in range(40, 52)])
    assert {status for status, _content in asked} == {200, 429}
    assert len(storage.pictures._helpers.idle()) == 1


def test_the_same_picture_asked_for_by_many_at_once_is_made_once(storage, private, monkeypatch):
    stored(storage, private, "once.png", noise(), "image/png")
    made, real = [], module.Pictures._made
    monkeypatch.setattr(module.Pictures, "_made", lambda *what: made.append(1) or real(*what))
    answers = at_once(storage, [f"/render/image/authenticated/{private}/once.png?width=33"] * 6)
    assert (len(set(answers)), len(made)) == (1, 1)
    assert answers[0][0] == 200


def test_the_info_of_a_picture_is_the_original_s(storage, bucket):
    stored(storage, bucket, "info.jpg", picture())
    info = storage.call("GET", f"/object/info/public/{bucket}/info.jpg?width=100&height=200", bearer=None).json
    assert info["size"] == len(picture())
    assert json.dumps(info)
