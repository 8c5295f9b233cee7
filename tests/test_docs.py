"""What can be set, called, run or met as an error is in the documents, and what they name exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

import jobs.kinds
from config.client import ClientSettings
from config.settings import Settings
from infra.postgres import repeatables
from jobs.engine import kind
from scripts import kinds_table
from scripts.cli import __main__ as entry
from tests.test_environment_example import BY_COMPOSE

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / "docs"
PAGES = [*sorted(CHECKOUT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
OURS = ("project.", "fleet.", "platform.")


def first_cells(page: Path) -> list[str]:
    """What stands in code quotes at the beginning of the page's table rows."""
    return re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.MULTILINE)


def commands(group: click.Group, *path: str) -> dict[str, click.Command]:
    """Every command that does something, by its words."""
    found = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        more = (
            commands(command, *path, name) if isinstance(command, click.Group) else {" ".join((*path, name)): command}
        )
        found.update(more)
    return found


COMMANDS = commands(entry.cli, "launchdb")


def declared_kinds() -> list[kind.Kind]:
    assert jobs.kinds
    return [declared for declared in kind.kinds().values() if declared.name.startswith(OURS)]


def api_pages() -> str:
    return "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.md")))


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links() -> list[tuple[Path, str]]:
    found = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        found += [(page, link) for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    return found


def resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.fixture
def platform_app(settings, infra):
    """The platform API of this checkout."""
    from app.factory import create_app

    return create_app(settings, infra, services=("platform",))


def test_every_setting_is_documented_and_every_documented_one_exists():
    declared = [*Settings.model_fields.values(), *ClientSettings.model_fields.values()]
    names = {str(field.validation_alias) for field in declared} | BY_COMPOSE
    assert sorted(first_cells(DOCS / "settings.md")) == sorted(names)


def test_every_command_is_documented_and_every_documented_one_exists():
    documented = [cell for cell in first_cells(DOCS / "operating.md") if cell.startswith("launchdb ")]
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_that_its_row_names(name):
    row = re.search(rf"^\| `{name}` \|(.*)$", (DOCS / "operating.md").read_text(), re.MULTILINE)
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert row
    assert set(re.findall(r"`(--[\w-]+)", row[1])) <= options


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"launchdb serve", "launchdb worker", "launchdb scheduler"}))
def test_a_command_can_print_json(name):
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_the_commands_that_a_page_tells_to_run_exist(page):
    text = page.read_text()
    runs = re.findall(r"(?:\.venv/bin/|`|^)launchdb ([a-z]+(?: [a-z][a-z-]*)?)", text, re.MULTILINE)
    groups = {name.removeprefix("launchdb ") for name in COMMANDS}
    # A group within a noun is named by two words, its commands by three.
    groups |= {" ".join(name.split()[:2]) for name in groups if len(name.split()) > 2}
    unknown = [run for run in runs if run not in groups and run.split()[0] not in groups]
    nouns = {name.split()[0] for name in groups}
    assert [run for run in unknown if " " in run or run not in nouns] == []
    assert [
        word for word in re.findall(r"\bscripts/(run|test)\b", text) if not (CHECKOUT / "scripts" / word).exists()
    ] == []


def test_every_route_is_documented_with_its_methods(platform_app):
    text = plain(api_pages())
    missing = [
        f"{method} {rule.rule}"
        for rule in platform_app.url_map.iter_rules()
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
        if rule.rule.startswith("/api/") and plain(f"{method} {rule.rule}") not in text
    ]
    assert missing == []


def plain(text: str) -> str:
    """Parameters of paths are called differently by a router and for people."""
    return re.sub(r"<[^<>\s]*>|\{\w+\}", "<>", text)


def test_every_problem_type_is_documented():
    from app.http.problems import PROBLEMS

    raised = [
        node.args[1].value
        for path in (CHECKOUT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem"
        if len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
    ]
    types = {*raised, *(kind for _, kind in PROBLEMS.values())}
    assert {name for name in types if f"`{name}`" not in api_pages()} == set()


@pytest.mark.parametrize("declared", declared_kinds(), ids=lambda declared: declared.name)
def test_a_kind_has_its_section_with_its_steps_in_order(declared):
    section = (DOCS / "jobs.md").read_text().split(f"### `{declared.name}`\n")[1].split("\n## ")[0].split("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [step.name for step in declared.steps]


def test_the_first_page_shows_the_steps_of_a_provision_as_they_are():
    shown = re.findall(r"^\[\d+/(\d+)\] (.+): done", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    [provision] = [one for one in declared_kinds() if one.name == "project.provision"]
    titles = [step.label() for step in provision.steps]
    assert shown == [(str(len(titles)), title) for title in titles]


def test_the_table_of_kinds_is_what_the_code_declares():
    assert kinds_table.table() in (DOCS / "jobs.md").read_text(), "make it anew: python -m scripts.kinds_table"


def test_every_kind_with_a_section_exists():
    sections = re.findall(r"^### `([\w.]+)`$", (DOCS / "jobs.md").read_text(), re.MULTILINE)
    assert set(sections) == {declared.name for declared in declared_kinds()}


def test_every_reason_for_waiting_is_documented():
    reasons = set(re.findall(r"'reason', '(\w+)'", repeatables.FILES["platform"]["engine"].read_text()))
    assert reasons
    assert reasons <= set(first_cells(DOCS / "jobs.md"))


@pytest.mark.parametrize(("page", "link"), links(), ids=lambda value: Path(value).name)
def test_a_link_leads_somewhere(page, link):
    assert resolves(page, link)


def test_a_page_that_code_names_exists():
    for folder in ("app", "catalog", "compose", "config", "infra", "jobs", "scripts", "tests", "workers", ".ci"):
        for path in (CHECKOUT / folder).rglob("*"):
            if path.suffix in (".py", ".sql", ".sh", ".yaml", ".toml", "") and path.is_file():
                for named in re.findall(r"\bdocs/[\w/.-]+\.md\b", path.read_text(errors="replace")):
                    assert (CHECKOUT / named).exists(), (path, named)


def test_the_first_pages_stay_short():
    lengths = {name: len((CHECKOUT / name).read_text().splitlines()) for name in ("README.md", "ARCHITECTURE.md")}
    assert lengths["README.md"] <= 150
    assert lengths["ARCHITECTURE.md"] <= 200
