"""What is no planted fault is refused, and what is no catch is not taken for one."""

from __future__ import annotations

import ast

import pytest

from tests.sabotage import faults, trials
from tests.sabotage.faults import CHECKOUT, BadFault, Edit, Fault, StaleFault
from tests.sabotage.trials import Told

GOOD = """
promise = "It holds."
test = "tests/test_it.py::test_it_holds"
[[edit]]
path = "config/it.py"
old = "return True"
new = "return False"
"""


def written(tmp_path, text):
    path = tmp_path / "it.toml"
    path.write_text(text)
    return path


def test_a_fault_says_what_it_breaks_where_and_who_notices(tmp_path):
    fault = faults.load(written(tmp_path, GOOD))
    assert fault == Fault(
        "it",
        "It holds.",
        "tests/test_it.py::test_it_holds",
        (),
        (Edit("config/it.py", "return True", "return False"),),
    )


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        (("promise =", "promise"), "no TOML"),
        (('promise = "It holds."', 'promise = ""'), "promise has to be there"),
        (('promise = "It holds."', ""), "promise has to be there"),
        (("tests/test_it.py::test_it_holds", "tests/test_it.py"), "test has to be"),
        (("tests/test_it.py::test_it_holds", "test_it_holds"), "test has to be"),
        (('test = "', 'tests = "all"\ntest = "'), "nobody knows tests"),
        (("[[edit]]", "[[edits]]"), "edit has to be there"),
        (('new = "return False"', ""), "an edit has path, old and new"),
        (('new = "return False"', 'new = "return False"\nnumber = 1'), "an edit has path, old and new"),
        (('new = "return False"', "new = 1"), "are texts"),
        (('old = "return True"', 'old = " "'), "old is not empty"),
        (('new = "return False"', 'new = "return  True"'), "changes nothing"),
        (("config/it.py", "/etc/passwd"), "no file of the product"),
        (("config/it.py", "config/../../it.py"), "no file of the product"),
        (("config/it.py", "tests/test_it.py"), "no file of the product"),
    ],
)
def test_a_file_that_is_no_fault_is_refused_by_name(tmp_path, instead, says):
    assert instead[0] in GOOD
    with pytest.raises(BadFault, match=rf"it\.toml.*{says}"):
        faults.load(written(tmp_path, GOOD.replace(*instead)))


def test_what_is_replaced_may_be_broken_into_other_lines_but_stands_there_once(tmp_path):
    fault = Fault("it", "It holds.", "", (), (Edit("it.py", "if a and b:", "if a:"),))
    file = tmp_path / "it.py"
    file.write_text("x = 1\nif a\n    and   b:\n    pass\n")
    faults.plant(fault, tmp_path)
    assert file.read_text() == "x = 1\nif a:\n    pass\n"
    for text in ("", "if a:\n", "if a and b:\nif a and b:\n"):
        file.write_text(text)
        with pytest.raises(StaleFault, match=r"it: it\.py .* renew the fault"):
            faults.plant(fault, tmp_path)
    file.unlink()
    with pytest.raises(StaleFault, match=r"holds 0 times"):
        faults.plant(fault, tmp_path)


def test_what_a_catching_test_needs_is_what_its_markers_say():
    needs = {fault.name: fault.needs for fault in faults.every()}
    assert needs["secrets-in-an-argument"] == ("gpg",)
    assert needs["engine-attempts"] == ()


def test_every_fault_can_be_planted_and_names_a_test_that_is_there(tmp_path):
    every = faults.every()
    assert len(every) >= 40
    for fault in every:
        module, name = fault.test.split("::")
        tree = ast.parse((CHECKOUT / module).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, fault
        for edit in fault.edits:
            copy = tmp_path / fault.name / edit.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text((CHECKOUT / edit.path).read_text())
        faults.plant(fault, tmp_path / fault.name)


CAUGHT = {"test": "tests/t.py::test_t", "phase": "call", "outcome": "failed", "error": "AssertionError"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"error": "Failed"}, ""),
        ({"test": "tests/t.py::test_t[1]"}, ""),
        ({"outcome": "passed", "error": "", "message": ""}, "nobody notices"),
        ({"phase": "setup"}, "the fixtures of"),
        ({"outcome": "skipped", "error": "Skipped"}, "did not run"),
        ({"test": "tests/t.py::test_other"}, "did not run"),
        ({"error": "ImportError"}, "breaks (ImportError)"),
        ({"message": "the awaited state did not come"}, "does not name the promise"),
    ],
)
def test_only_an_assertion_that_names_the_promise_is_a_catch(tmp_path, change, says):
    fault = Fault("it", "It holds.", "tests/t.py::test_t", (), ())
    phase = {**CAUGHT, "message": "It\n   holds.\nassert not True", **change}
    told = Told("", [], [phase], {"config": str(tmp_path / "config" / "__init__.py")})
    verdict = trials.verdict(fault, told, tmp_path)
    assert says in verdict if says else verdict == ""


def test_a_run_that_was_not_the_copys_or_collected_nothing_is_no_catch(tmp_path):
    fault = Fault("it", "It holds.", "tests/t.py::test_t", (), ())
    phase = {**CAUGHT, "message": "It holds."}
    assert "not the copy" in trials.verdict(fault, Told("", [], [phase], {"config": "/elsewhere.py"}), tmp_path)
    assert "not the copy" in trials.verdict(fault, Told("", [], [phase], {}), tmp_path)
    assert "cannot be collected" in trials.verdict(fault, Told("", ["SyntaxError"], [], {}), tmp_path)
