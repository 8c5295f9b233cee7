"""The house rules: imports go one way, each foreign library has one home, files, functions and folders stay small."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from catalog.project_states import STATES
from infra.postgres import repeatables

CHECKOUT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "config": set(),
    "infra": {"config"},
    "catalog": {"config", "infra"},
    "jobs": {"config", "infra", "catalog"},
    "workers": {"config", "infra", "catalog", "jobs"},
    "app": {"config", "infra", "catalog", "jobs"},
    "scripts": {"config", "infra", "catalog", "jobs", "workers", "app"},
}
# The wings of a layer, and which of the same layer each may import at run time, in an order in which that can be done.
# What is in no wing of its own is on the ground floor of the folder that it is in, like `infra.errors`.
MAY_IMPORT_WING = {
    "infra": set(),
    "infra.postgres": {"infra"},
    "infra.secrets": {"infra", "infra.postgres"},
    "infra.signals": {"infra"},
    "infra.edge": {"infra"},
    "infra.instances": {"infra"},
    "infra.outbound": {"infra"},
    "infra.blobs": {"infra"},
    "infra.mail": {"infra", "infra.secrets"},
    "infra.pooler": {"infra", "infra.postgres", "infra.secrets"},
    "infra.composition": {
        *("infra", "infra.postgres", "infra.secrets", "infra.signals"),
        *("infra.edge", "infra.instances", "infra.mail", "infra.pooler"),
    },
    "infra.embedded": {"infra", "infra.postgres", "infra.secrets", "infra.composition"},
    "infra.backup": {"infra", "infra.postgres", "infra.secrets", "infra.embedded", "infra.blobs"},
    "infra.host": {"infra", "infra.secrets", "infra.edge"},
    "infra.doctor": {"infra", "infra.secrets", "infra.pooler", "infra.host"},
    "jobs": set(),
    "jobs.engine": set(),
    "jobs.projects": {"jobs.engine"},
    "jobs.backup": {"jobs.engine", "jobs.projects"},
    "jobs.kinds.project": {"jobs.engine", "jobs.projects", "jobs.backup"},
    "jobs.kinds.backup": {"jobs.engine", "jobs.projects", "jobs.backup", "jobs.kinds.project"},
    "jobs.kinds.platform": {"jobs.engine", "jobs.projects", "jobs.kinds.project"},
    "jobs.kinds": {"jobs.engine", "jobs.kinds.project", "jobs.kinds.backup", "jobs.kinds.platform"},
    "jobs.requests": {
        *("jobs.engine", "jobs.projects", "jobs.backup"),
        *("jobs.kinds", "jobs.kinds.project", "jobs.kinds.backup", "jobs.kinds.platform"),
    },
    "jobs.loops": {
        *("jobs.engine", "jobs.projects", "jobs.requests"),
        *("jobs.kinds", "jobs.kinds.project", "jobs.kinds.backup", "jobs.kinds.platform"),
    },
    "app": set(),
    "app.data": set(),
    "app.data.parse": {"app.data"},
    "app.data.plan": {"app.data", "app.data.parse"},
    "app.data.sql": {"app.data", "app.data.parse", "app.data.plan"},
    "app.data.run": {"app.data", "app.data.parse", "app.data.plan", "app.data.sql"},
    "app.server": {"app.data"},
    "app.data.serve": {"app.data", "app.data.parse", "app.data.run", "app.server"},
    "app.http": {"app.data", "app.data.serve", "app.server"},
    "app.edge": {"app.data", "app.data.run", "app.data.serve", "app.server", "app.http"},
    "app.platform.projects": {"app.http"},
    "app.platform.operations": {"app.http", "app.server", "app.platform.projects"},
    "app.platform.owners": {"app.http", "app.platform.operations"},
    "app.platform.backups": {"app.http", "app.platform.projects", "app.platform.operations"},
    "app.auth": {"app.data.serve", "app.http", "app.server", "app.data", "app.data.run", "app.served"},
    "app.served": {"app.http", "app.data", "app.data.run", "app.data.serve"},
    "app.storage": {"app.http", "app.server", "app.data", "app.data.run", "app.data.serve", "app.served"},
    "app.broker": {"app.http", "app.server"},
    "app.manager": {"app.http", "app.server", "app.platform.operations"},
    "app.migrations": {"app.http", "app.platform.operations"},
    "app.factory": {
        *("app.http", "app.edge", "app.auth", "app.data.serve", "app.storage", "app.platform.projects"),
        *("app.platform.operations", "app.platform.owners", "app.platform.backups"),
    },
}
# A wing that others enter by its doors alone: what is done behind them, they neither know nor put together themselves.
DOORS = {
    "infra.backup": {
        *("infra.backup.store", "infra.backup.offsite", "infra.backup.keys", "infra.backup.trial_api"),
        # What is handed in and comes out.
        *("infra.backup.set_plan", "infra.backup.set_names", "infra.backup.monitor", "infra.backup.differences"),
        *("infra.backup.objects.hold", "infra.backup.objects.part", "infra.backup.offsite_names"),
    },
}
# The bench does by hand what we do, to compare.
AROUND_DOORS = ("scripts.bench",)
HOMES = {
    "jwt": ("infra.secrets.tokens", "infra.secrets.signing_keys"),
    "bcrypt": ("infra.secrets.foreign_hashes",),
    "cryptography": (
        *("infra.secrets.vault", "infra.secrets.signing_keys", "infra.secrets.foreign_hashes"),
        *("infra.edge.certificates", "infra.openpgp"),
    ),
    "pyvips": ("app.storage.images.picture",),
    "pyotp": ("app.auth.mfa.totp",),
    "segno": ("app.auth.mfa.totp",),
    "webauthn": ("app.auth.mfa.ceremonies",),
    "argon2": ("infra.secrets.passwords",),
    "isal": ("infra.backup.archive",),
    "zstandard": ("infra.backup.archive",),
    "jinja2": ("infra.render",),
    "markdownify": ("catalog.mail_templates.plain_text",),
    "postgast": ("infra.postgres.split",),
    "subprocess": ("infra",),
    "redis": ("infra.signals", "workers.broker"),
    "limits": ("infra.signals.limiter",),
    "smtplib": ("infra.mail.mail",),
    "dramatiq": ("workers", "scripts.bench.peers"),
    # A project's container serves its data API without it.
    "flask": (
        *("app.factory", "app.http", "app.platform", "app.edge", "scripts.bench"),
        *("app.auth", "app.storage", "app.served", "app.broker", "app.manager", "app.migrations"),
    ),
    "werkzeug": ("app", "scripts.bench"),
    "docker": ("infra.instances.containers",),
    "requests": ("infra.instances.containers", "infra.outbound"),
    "urllib3": ("infra.instances.containers", "infra.outbound"),
    "authlib": ("app.auth.oauth",),
    "awscrt": ("app.storage.s3.sigv4.checksums",),
    "botocore": ("app.storage.s3.sigv4.expected", "infra.blobs"),
    "boto3": ("infra.blobs",),
    "defusedxml": ("app.storage.s3.xml",),
    "joserfc": ("app.auth.oauth",),
    "gunicorn": ("app", "scripts.cli.services.serve"),
    "click": ("scripts",),
    "rich": ("scripts",),
}
LONGEST_FILE, LONGEST_FUNCTION, FULLEST_FOLDER = 300, 40, 25
READS_ENVIRONMENT = ("config",)
# Who begins sessions on Postgres. Whatever runs as a project's login does so in a session of `tenant_session`, but for
# the data API, which is one itself, and a pooler that only looks whether it is let in.
CONNECTS = {
    *("infra.postgres.database", "infra.postgres.tenant_session", "infra.embedded.prepare"),
    *("infra.pooler.console", "infra.pooler.pgbouncer", "app.data.run.connections", "app.data.run.listener"),
    "app.data.run.database_options",
}
# What the database itself runs.
FUNCTIONS = {path for files in repeatables.FILES.values() for path in files.values()}

TREES = {
    ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
    for package in MAY_IMPORT
    for path in sorted((CHECKOUT / package).rglob("*.py"))
}


def path_of(module: str) -> Path:
    plain = CHECKOUT.joinpath(*module.split(".")).with_suffix(".py")
    return plain if plain.exists() else plain.with_suffix("") / "__init__.py"


def lives_in(module: str, homes: tuple[str, ...]) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in homes)


def imports(tree: ast.AST) -> set[str]:
    """Every module that the tree names in an import, submodules told from members."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            named = {f"{base}.{alias.name}" for alias in node.names}
            found |= (named & set(TREES)) or {base}
    return found


def used(tree: ast.Module) -> ast.Module:
    """The tree without what only the type checker reads: naming a foreign type uses nothing of it."""
    kept = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))]
    return ast.Module(body=kept, type_ignores=[])


def wing_of(module: str) -> str | None:
    """The wing that a module is in, or the folder on whose ground floor it is; None in a layer that has no wings."""
    parents = [module.rsplit(".", count)[0] for count in range(module.count(".") + 1)]
    return next((name for name in parents if name in MAY_IMPORT_WING), None)


def holds_only_constants(text: ast.expr) -> bool:
    inside = [node.id for node in ast.walk(text) if isinstance(node, ast.Name)]
    return isinstance(text, ast.JoinedStr) and all(name.isupper() for name in inside)


def test_imports_go_one_way():
    wrong = [
        f"{module} imports {target}"
        for module, tree in TREES.items()
        for target in imports(tree)
        if (package := target.split(".")[0]) in MAY_IMPORT
        and package != (own := module.split(".")[0])
        and package not in MAY_IMPORT[own]
    ]
    assert wrong == []


def test_no_module_imports_itself_through_others():
    """Every import counts: what only the type checker reads has to be understood as well, and a function runs too."""
    graph = {module: imports(tree) & set(TREES) - {module} for module, tree in TREES.items()}
    TopologicalSorter(graph).prepare()


DRAWN = re.compile(r"^(infra|jobs|app) +([a-z/]+): ((?:[\w.]+ → )+[\w.]+)$", re.MULTILINE)


def chains_within(layer: str) -> dict[str, tuple[str, ...]]:
    """Return the longest chain of imports that begins with each module of a layer and does not leave its wing."""
    graph = {
        module: {target for target in imports(tree) & set(TREES) - {module} if wing_of(target) == wing_of(module)}
        for module, tree in TREES.items()
        if module.partition(".")[0] == layer
    }
    found: dict[str, tuple[str, ...]] = {}
    for module in TopologicalSorter(graph).static_order():
        found[module] = (module, *max((found[target] for target in sorted(graph[module])), key=len, default=()))
    return found


@pytest.mark.parametrize("layer", ["infra", "jobs", "app"])
def test_the_longest_chain_of_imports_within_a_wing_is_the_one_that_is_drawn(layer):
    longest = max(chains_within(layer).values(), key=len)
    drawn = [found for found in DRAWN.findall((CHECKOUT / "ARCHITECTURE.md").read_text()) if found[0] == layer]
    assert len(drawn) == 1
    wing = f"{layer}.{drawn[0][1].replace('/', '.')}"
    modules = [f"{wing}.{name}" for name in drawn[0][2].split(" → ")]
    broken = [
        f"{one} → {other}"
        for one, other in pairwise(modules)
        if wing_of(other) != wing_of(one) or other not in imports(TREES[one])
    ]
    assert broken == []
    assert len(modules) == len(longest), f"the longest is {' → '.join(longest)}"


@pytest.mark.parametrize("wing", MAY_IMPORT_WING)
def test_a_wing_imports_only_the_wings_it_may(wing):
    wrong = [
        f"{module} imports {target}"
        for module, tree in TREES.items()
        if wing_of(module) == wing
        for target in imports(used(tree)) & set(TREES)
        if (other := wing_of(target)) is not None
        and other.split(".")[0] == wing.split(".")[0]
        and other != wing
        and other not in MAY_IMPORT_WING[wing]
    ]
    assert wrong == []


@pytest.mark.parametrize("wing", DOORS)
def test_a_wing_with_doors_is_entered_by_them_alone(wing):
    wrong = [
        f"{module} imports {target}"
        for module, tree in TREES.items()
        if wing_of(module) != wing and not lives_in(module, AROUND_DOORS)
        for target in imports(used(tree)) & set(TREES)
        if wing_of(target) == wing and target not in DOORS[wing]
    ]
    assert wrong == []
    assert set(TREES) >= DOORS[wing]


def test_the_rules_of_the_wings_go_round_in_no_circle():
    TopologicalSorter(MAY_IMPORT_WING).prepare()


def test_every_folder_of_a_layer_with_wings_has_its_rule():
    folders = {module for module in TREES if path_of(module).name == "__init__.py" and wing_of(module) is not None}
    # A folder within a wing keeps the wing's rule; one that only holds wings has none to keep.
    inside = {folder for folder in folders if wing_of(folder) not in ("infra", "jobs", "app", "app.data")}
    assert folders - inside == {"infra", "jobs", "app", "app.data", "app.platform"}


def test_folders_stay_small():
    full = {
        str(folder.relative_to(CHECKOUT)): count
        for package in MAY_IMPORT
        for folder in {path.parent for path in (CHECKOUT / package).rglob("*.py")}
        if (count := len([path for path in folder.glob("*.py") if path.stem != "__init__"])) > FULLEST_FOLDER
    }
    assert full == {}


@pytest.mark.parametrize("library", HOMES)
def test_a_foreign_library_is_used_in_its_home_alone(library):
    users = {
        module
        for module, tree in TREES.items()
        if any(target.split(".")[0] == library for target in imports(used(tree)))
        and not lives_in(module, HOMES[library])
    }
    assert users == set()


def test_the_environment_is_read_in_config_alone():
    readers = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os" and not lives_in(module, READS_ENVIRONMENT)
    }
    assert readers == set()


def test_sessions_on_postgres_are_begun_in_few_places():
    beginners = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "connect" and not module.startswith("scripts.bench.")
        if ast.unparse(node.value).endswith(("psycopg", "Connection", "TenantSession"))
    }
    assert beginners == CONNECTS


def test_files_stay_short():
    lengths = {module: len(path_of(module).read_text().splitlines()) for module in TREES}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_functions_stay_short():
    long = {
        f"{module}.{node.name}": lines
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if (lines := node.end_lineno - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def test_one_way_leads_from_a_request_to_the_answer_of_a_data_api():
    ways = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("instance.answer")
        if not module.startswith("scripts.bench.")
    }
    assert ways == {"app.data.serve.exchange"}


def test_every_module_says_what_lives_in_it():
    assert [module for module, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_every_statement_file_stands_beside_the_module_that_runs_it():
    lonely = [
        str(path.relative_to(CHECKOUT))
        for package in MAY_IMPORT
        for path in (CHECKOUT / package).rglob("*.sql")
        if not path.with_suffix(".py").exists() and path not in FUNCTIONS
    ]
    assert lonely == []


def test_no_statement_is_put_together_from_strings():
    """Identifiers go through psycopg.sql and values are parameters; an f-string given to execute is neither."""
    verbs = {"execute", "executemany", "row", "rows", "value", "one", "all"}
    made = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in verbs and node.args
        if isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)) and not holds_only_constants(node.args[0])
    ]
    assert made == []


STATEMENTS = {
    str(path.relative_to(CHECKOUT)): path.read_text()
    for package in MAY_IMPORT
    for suffix in ("py", "sql")
    for path in sorted((CHECKOUT / package).rglob(f"*.{suffix}"))
}
STATE_HOME = "catalog/project_states"
# The status of a project, and what changes with it.
OF_A_STATE = "status|status_reason|status_before|deleted_at|template"


def test_a_projects_state_is_written_in_its_home_alone():
    update = re.compile(r"\bUPDATE\s+(?:ONLY\s+)?(?:public\.)?projects\b[^;]*", re.IGNORECASE)
    sets = re.compile(rf"(?:\bSET|,)\s*(?:\([^)]*)?\b(?:{OF_A_STATE})\b\s*(?:=|,|\))", re.IGNORECASE)
    writers = {name for name, text in STATEMENTS.items() if any(sets.search(found) for found in update.findall(text))}
    assert writers == {f"{STATE_HOME}.sql"}


def test_a_set_of_states_of_projects_has_its_name_in_their_home():
    """A literal list would be forgotten when a state comes; the index names its own, and so does who names the index."""
    lists = re.compile(r"\b(?:IN|ARRAY|ANY|ALL)\s*[(\[]\s*('[^()\[\]]*')\s*[)\]]")
    found = {
        f"{name}: {listed}"
        for name, text in STATEMENTS.items()
        for listed in lists.findall(re.sub(r"ON CONFLICT[^;]*?DO ", "", text))
        if name.endswith(".sql") and lists_states(set(re.findall(r"'([^']*)'", listed)))
    }
    found |= {
        f"{module}: {ast.unparse(node)}"
        for module, tree in TREES.items()
        if module != STATE_HOME.replace("/", ".")
        for node in literal_lists(tree)
        if lists_states({element.value for element in node.elts if isinstance(element, ast.Constant)})
    }
    assert found == set()


def lists_states(words: set[object]) -> bool:
    """Whether these are states of projects; a job can have failed, too."""
    return words <= set(STATES) and words != {"failed"}


def literal_lists(tree: ast.Module) -> list[ast.Tuple | ast.List | ast.Set]:
    """Every list of constants alone, but for those of a type."""
    types = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)) and id(node) not in types
        if node.elts and all(isinstance(element, ast.Constant) for element in node.elts)
    ]
