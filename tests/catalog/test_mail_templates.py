"""Letters in words: values escaped by where they stand, a text for readers without HTML, and no way for code."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.mail_templates.builtin import BUILT_IN
from catalog.mail_templates.placeholders import BadTemplate, check_html, fill_html, placeholders
from catalog.mail_templates.rendering import render
from catalog.settings_model import MailTemplate, MailTemplates

LINK = "https://api.example/project/p/auth/v1/verify?token=abc&type=signup&redirect_to=https://app.example/a?b=c"
VALUES = {
    "ConfirmationURL": LINK, "Token": "123456", "TokenHash": "abc", "SiteURL": "https://app.example",
    "RedirectTo": "myapp://cb", "Email": "ann@example.org", "NewEmail": "new@example.org",
    "Data": {"name": "Ann", "address": {"city": "Köln"}, "age": 7, "is_new": True, "list": [1], "evil": "<b>\"'"},
}  # fmt: skip


class Attributes(HTMLParser):
    """What a reader of HTML takes for the tags of a text, with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{{ .Email }} {{.NewEmail}} {{  .Token  }}", "ann@example.org new@example.org 123456"),
        ("<p>{{ .Data.name }} {{ .Data.age }} {{ .Data.is_new }}</p>", "<p>Ann 7 true</p>"),
        ("{{ .Data.address.city }}", "Köln"),
        ("{{ .Data.address }}{{ .Data.list }}{{ .Data.nothing }}{{ .Data.name.first }}", ""),
        ("<p>{{ .Data.evil }}</p>", "<p>&lt;b&gt;&quot;&#x27;</p>"),
    ],
)
def test_placeholders_are_filled_in(template, filled):
    assert fill_html(template, VALUES) == filled


@pytest.mark.parametrize(
    ("template", "name", "value"),
    [
        ('<a href="{{ .ConfirmationURL }}">x</a>', "href", LINK),
        ("<a href='{{ .ConfirmationURL }}'>x</a>", "href", LINK),
        ("<a href={{ .ConfirmationURL }}>x</a>", "href", LINK),
        ('<a href="{{ .RedirectTo }}">x</a>', "href", "myapp://cb"),
        (
            '<a href="{{ .SiteURL }}/confirm?token_hash={{ .TokenHash }}&amp;next={{ .RedirectTo }}">x</a>',
            "href",
            "https://app.example/confirm?token_hash=abc&next=myapp%3A%2F%2Fcb",
        ),
        ('<a href="mailto:{{ .Email }}">x</a>', "href", "mailto:ann@example.org"),
        ('<p title="{{ .Data.evil }}">x</p>', "title", "<b>\"'"),
        ("<p title={{ .Data.evil }}>x</p>", "title", "<b>\"'"),
    ],
)
def test_a_reader_of_the_html_gets_the_value_back(template, name, value):
    [(_, attributes)] = Attributes(fill_html(template, VALUES)).tags
    assert attributes == {name: value}


@pytest.mark.parametrize(
    ("before", "value"),
    [
        ("", "javascript:alert(1)"),
        ("", " JaVaScRiPt:alert(1)"),
        ("", "data:text/html,x"),
        ("", "//evil.example"),
        ("java", "script:alert(1)"),
        ("j&#97;va", "script:alert(1)"),
        (" ", "vbscript:x"),
    ],
)
def test_no_address_that_runs_code_is_made_of_what_somebody_wrote_of_themselves(before, value):
    html = fill_html(f'<a href="{before}{{{{ .Data.site }}}}">x</a>', {"Data": {"site": value}})
    [(_, attributes)] = Attributes(html).tags
    assert ":" not in attributes["href"], "What somebody wrote of themselves runs no code in a letter"
    assert "//" not in attributes["href"]


@pytest.mark.parametrize(
    "template",
    [
        "<script>var a = '{{ .Email }}'</script>{{ .Token }}",
        "<style>p { color: {{ .Data.color }} }</style>{{ .Token }}",
        "<!-- {{ .Email }} -->{{ .Token }}",
        "<p onclick=\"go('{{ .Email }}')\">{{ .Token }}</p>",
        '<p style="color: {{ .Data.color }}">{{ .Token }}</p>',
        '<iframe srcdoc="{{ .Data.html }}"></iframe>{{ .Token }}',
        "<{{ .Data.tag }}>{{ .Token }}",
        "<p {{ .Data.attribute }}>{{ .Token }}</p>",
        "<p {{ .Data.attribute }}=1>{{ .Token }}</p>",
    ],
)
def test_where_no_text_can_stand_no_placeholder_can(template):
    with pytest.raises(BadTemplate, match="where no text can stand"):
        check_html(template)
    with pytest.raises(ValueError, match="where no text can stand"):
        MailTemplate(subject="x", body=template)
    assert "EVIL" not in fill_html(template, dict.fromkeys(VALUES, "EVIL") | {"Token": "", "Data": {}})


@pytest.mark.parametrize(
    "template", ["{{ .X }}", "{{ Token }}", "{{ if .Data.x }}", "{{ .Data }}", "{{ .Token", "{{ .Data.a b }}"]
)
def test_there_is_no_logic_and_no_other_name(template):
    with pytest.raises(BadTemplate, match="placeholder that is not one of"):
        placeholders(template)


TEMPLATE = (
    "<h1>{{ .Data.a }}</h1><p title='{{ .Data.a }}' class={{ .Data.a }}>{{ .Data.a }}<a href='{{ .Data.a }}'>x</a>"
    '<a href="https://x.example/{{ .Data.a }}?b={{ .Data.a }}">y</a><textarea>{{ .Data.a }}</textarea></p>'
)
SHAPE = Attributes(fill_html(TEMPLATE, {"Data": {"a": "word"}})).tags


@given(st.text(max_size=60) | st.text(alphabet="<>\"'`=/&;# \n\tax:?{}.", max_size=40))
def test_no_value_changes_which_tags_and_attributes_a_letter_has(value):
    found = Attributes(fill_html(TEMPLATE, {"Data": {"a": value}})).tags
    assert [(tag, set(attributes)) for tag, attributes in found] == [(tag, set(named)) for tag, named in SHAPE]


def test_a_long_value_of_the_users_is_cut():
    assert len(fill_html("{{ .Data.a }}", {"Data": {"a": "x" * 5000}})) == 200


@pytest.mark.parametrize("kind", BUILT_IN)
def test_the_built_in_letters_hold_a_way_in_and_a_text(kind):
    letter = render(kind, None, VALUES)
    way_in = "123456" if kind == "reauthentication" else LINK
    assert way_in in letter.text
    assert "123456" in letter.html
    assert "{{" not in letter.subject + letter.html + letter.text
    links = [attributes["href"] for tag, attributes in Attributes(letter.html).tags if tag == "a"]
    assert links == ([] if kind == "reauthentication" else [LINK])


def test_every_kind_of_letter_has_a_setting_and_a_built_in_one():
    assert set(MailTemplates.model_fields) == set(BUILT_IN)


def test_the_text_is_made_of_the_html_where_there_is_none():
    body = (
        "<html><head><title>no</title><style>p {}</style></head><body><h1>Hello <b>{{ .Data.name }}</b></h1>"
        '<p>Follow\nthis: <a href="{{ .ConfirmationURL }}">Go on</a><br>or type <code>{{ .Token }}</code>.</p>'
        "<ul><li>one_two *three*</li><li>4 &lt; 5</li></ul><img src='https://x.example/a.png' alt='Logo'></body></html>"
    )
    letter = render("recovery", MailTemplate(subject="Hi {{ .Email }}", body=body), VALUES)
    assert letter.subject == "Hi ann@example.org"
    assert letter.text == (
        f"Hello Ann\n\nFollow\nthis: Go on: {LINK}\nor type 123456.\n\n* one_two *three*\n* 4 < 5\n\nLogo\n"
    )


def test_a_text_of_ones_own_is_taken_as_it_is():
    own = MailTemplate(subject="x", body="<p>{{ .Token }}</p>", text="Your code\n\n{{ .Token }} & {{ .Data.evil }}\n")
    assert render("recovery", own, VALUES).text == "Your code\n\n123456 & <b>\"'\n"


def test_html_that_is_nested_without_end_still_gives_a_letter():
    own = MailTemplate(subject="x", body="<b>" * 6000 + "{{ .Token }}")
    assert "123456" in render("recovery", own, VALUES).text


def test_no_value_makes_another_line_of_the_subject():
    own = MailTemplate(subject="Hi {{ .Data.a }}", body="{{ .Token }}")
    letter = render("recovery", own, {**VALUES, "Data": {"a": "x\r\nBcc: b@x.org\u2028y" + "z" * 300}})
    assert letter.subject.startswith("Hi x Bcc: b@x.org y")
    assert letter.subject.isprintable()
    assert len(letter.subject) <= 200
