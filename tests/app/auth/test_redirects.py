"""Where people may be sent: to the site and to what is listed, by globs that no look-alike of a host gets past."""

from __future__ import annotations

import pytest

from app.auth import redirects
from catalog.settings_model import ProjectSettings


def allowed(url, *globs, site="https://site.example.com"):
    return redirects.is_allowed(ProjectSettings().model_copy(update={"site_url": site, "redirect_urls": globs}), url)


@pytest.mark.parametrize(
    ("glob", "url"),
    [
        ("http://test.dev:3000/*/*", "http://test.dev:3000/bar/foo"),
        ("http://test.dev:3000/*", "http://test.dev:3000/bar"),
        ("http://test.dev:3000/**", "http://test.dev:3000/bar/foo.html?x=1"),
        ("http://test.dev:3000/*", "http://test.dev:3000/bar?x=1#there"),
        ("https://*.example.org/**", "https://shop.example.org/welcome/you"),
        ("https://app.example.org/welcome", "https://app.example.org/welcome"),
        ("myapp://callback", "myapp://callback"),
        ("myapp://**", "myapp://sign/in?x=1"),
        ("com.example.app://*", "com.example.app://callback"),
        ("http://127.0.0.1:3000/**", "http://127.0.0.1:3000/x"),
    ],
)
def test_what_is_listed_is_taken(glob, url):
    assert allowed(url, glob)


@pytest.mark.parametrize(
    ("glob", "url"),
    [
        ("http://test.dev:3000/*", "http://test.dev:3000/bar/foo"),
        ("http://test.dev:3000/*", "http://test.dev:3000/bar.html"),
        ("http://test.dev:3000/*/*", "http://test.dev:3000/bar"),
        ("http://*.example.com/*", "http://something#.example.com/abc"),
        ("http://*.example.com/*", "http://japanese。.example.com/abc"),
        ("http://*.example.com/*", "http://evil?.example.com/abc"),
        ("http://*.example.com/*", "http://evil:80@x.example.com/abc"),
        ("http://*.example.com/*", "http://evil\\.example.com/abc"),
        ("http://*.example.com/*", "http://a.b.example.com/abc"),
        ("http://*.example.com/*", "http://a.example.com:8080/abc"),
        ("https://app.example.org/**", "http://app.example.org/x"),
        ("https://app.example.org/**", "https://app.example.org.evil.example/x"),
        ("https://app.example.org/**", "https://app.example.org@evil.example/x"),
        ("https://app.example.org/**", "//app.example.org/x"),
        ("https://app.example.org/**", "https:app.example.org/x"),
        ("https://app.example.org/**", "https://app.example.org/\r\nSet-Cookie: a=b"),
        ("https://app.example.org/**", "https://app.example.org/\tx"),
        ("https://app.example.org/**", ""),
        ("myapp://callback", "myapp://callback/x"),
        ("myapp://**", "javascript://x/%0aalert(1)"),
        ("http://2130706433/**", "http://2130706433/x"),
        ("http://192.0.2.7/**", "http://192.0.2.7/x"),
        ("https://app.example.org/**", "https://[::1"),
        ("https://app.example.org/**", "https://app.example.org:99999/x"),
    ],
)
def test_what_only_looks_like_it_is_refused(glob, url):
    assert not allowed(url, glob), "A redirect leads to a listed host, not to one that only looks like it"


@pytest.mark.parametrize(
    "url", ["https://site.example.com", "https://site.example.com/any/where?x=1", "https://SITE.example.com/"]
)
def test_the_site_itself_needs_no_listing(url):
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://site.example.com/",
        "https://site.example.com:8443/",
        "https://www.site.example.com/",
        "http://127.0.0.1/",
    ],
)
def test_another_scheme_port_or_host_is_another_site(url):
    assert not allowed(url)


def test_a_program_on_ones_own_machine_may_listen_on_any_port():
    assert allowed("http://localhost:51234/cb", site="http://localhost:3000")
    assert not allowed("http://localhost:51234/cb", site="")


def test_members_go_into_fragment_and_query_and_keep_what_was_there():
    url = "https://app.example.org/x?first=an%26other#old"
    assert redirects.with_fragment(url, [("a", "1 &")]) == "https://app.example.org/x?first=an%26other#a=1+%26&sb="
    assert redirects.with_query(url, [("code", "é")]) == "https://app.example.org/x?first=an%26other&code=%C3%A9#old"
    assert redirects.with_query("myapp:///cb", [("code", "1")]) == "myapp:///cb?code=1"
    assert redirects.with_query("https://x.example/?code=old", [("code", "1")]) == "https://x.example/?code=1"
    assert redirects.header_of("https://x.example/ü?a=%20#b") == "https://x.example/%C3%BC?a=%20#b"
