import itertools
import json
import sys

import numpy as np
import pytest

from decouple.claim.fingerprint import (
    code_fingerprint,
    code_text,
    dependencies,
    digest,
    library_versions,
)

_numbers = itertools.count()

MODULES = {
    "__init__": '__version__ = "1"',
    "unrelated": "X = 1",
    "models/__init__": '"""Models."""',
    "models/network": "from {top}.models.layers import Layer",
    "models/layers": "class Layer: ...",
    "models/unused": "X = 1",
    "metrics/__init__": "",
    "metrics/shares": "def share(): return 1",
    "experiments/__init__": "",
    "experiments/other": "X = 1",
    "experiments/toy/__init__": "from .config import Config\nimport math, json",
    "experiments/toy/config": "class Config: ...",
    "experiments/toy/run": """
def run():
    # Imported late: it is slow to load.
    from {top}.models import network
    from ...metrics.shares import share
    import {top}.late as late
    return '# no comment'
""",
    "late": "X = 1",
}


class Package:
    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        for module, text in MODULES.items():
            self.write(module, text.replace("{top}", name))

    def write(self, module, text):
        path = self.folder / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def append(self, module, text):
        path = self.folder / f"{module}.py"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    def fingerprint(self, module="experiments.toy"):
        code_fingerprint.cache_clear()
        return code_fingerprint(f"{self.name}.{module}")


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path, f"fingerprinted_{next(_numbers)}")


def test_all_that_is_imported_counts_and_nothing_else(package):
    found = dependencies(f"{package.name}.experiments.toy")
    assert [name.removeprefix(f"{package.name}.") for name in found] == [
        "experiments",
        "experiments.toy",
        "experiments.toy.config",
        "experiments.toy.run",
        "late",
        "metrics",
        "metrics.shares",
        "models",
        "models.layers",
        "models.network",
    ]
    assert not any(name.startswith(package.name) for name in sys.modules), "nothing is imported"


@pytest.mark.parametrize(
    "module",
    [
        "experiments/toy/__init__",
        "experiments/toy/config",  # a relative import
        "experiments/toy/run",  # a part of the package, imported by nobody
        "models/network",  # imported inside a function
        "models/layers",  # imported by what is imported
        "models/__init__",  # runs when a module of it is imported
        "metrics/shares",  # a relative import over two packages
        "late",  # import … as …
    ],
)
def test_a_change_in_what_the_experiment_uses_changes_the_fingerprint(package, module):
    before = package.fingerprint()
    package.append(module, "\nNEW = 1\n")
    assert package.fingerprint() != before


@pytest.mark.parametrize("module", ["unrelated", "models/unused", "experiments/other", "__init__"])
def test_a_change_elsewhere_does_not(package, module):
    before = package.fingerprint()
    package.append(module, "\nNEW = 1\n")
    package.write("report/page", "X = 1")
    assert package.fingerprint() == before


def test_a_new_import_brings_its_module_in(package):
    package.append("late", f"\nfrom {package.name} import unrelated\n")
    before = package.fingerprint()
    package.append("unrelated", "\nNEW = 1\n")
    assert package.fingerprint() != before


def test_comments_and_blank_lines_do_not_count(package):
    before = package.fingerprint()
    package.append("models/layers", "\n\n# A remark.\n    \n")
    package.write("models/layers", "# First.\n\nclass Layer: ...  # in the line")
    assert package.fingerprint() == before
    package.write("models/layers", "class Layer:\n    ...")
    assert package.fingerprint() != before


def test_text_that_looks_like_a_comment_counts(package):
    before = package.fingerprint()
    path = package.folder / "experiments" / "toy" / "run.py"
    path.write_text(path.read_text().replace("'# no comment'", "'# no remark'"))
    assert package.fingerprint() != before


def test_separators_that_end_no_line_of_python_move_no_comment(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("A = 'one\x0ctwo\u2028three'\nB = 1  # remark\nC = 2\n", encoding="utf-8")
    assert code_text(path) == "A = 'one\x0ctwo\u2028three'\nB = 1\nC = 2"


@pytest.mark.parametrize(
    "text",
    [
        '"""One.  \n\n   \n# Two.\n"""',
        'X = f"""{1}  \n\n{{}}  \n{f"{2}"}  \n"""',
        "X = 'one  \\\n\\\n  two'",
    ],
    ids=["triple", "f-string", "continued"],
)
def test_inside_a_string_nothing_is_left_out(tmp_path, text):
    path = tmp_path / "module.py"
    path.write_text(f"A = 1  # remark\n\n{text}  # remark\n\nB = 2\n", encoding="utf-8")
    assert code_text(path) == f"A = 1\n{text}\nB = 2"


def test_a_single_module_is_its_own_start(package):
    before = package.fingerprint("models.layers")
    package.append("models/network", "\nNEW = 1\n")
    assert package.fingerprint("models.layers") == before


def test_what_is_not_there_is_said(package):
    with pytest.raises(ModuleNotFoundError, match="no module named 'no_such_package_anywhere'"):
        dependencies("no_such_package_anywhere.toy")
    with pytest.raises(ModuleNotFoundError, match=rf"no module named '{package.name}\.nothing'"):
        dependencies(f"{package.name}.nothing")


def test_a_digest_is_of_the_value_not_of_its_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])
    assert digest({"a": (1, 2)}) == digest(json.loads(json.dumps({"a": (1, 2)})))
    assert len(digest("x")) == 16
    assert len(digest("x", 8)) == 8


def test_versions_are_those_installed():
    assert library_versions(("numpy", "no-such-distribution")) == {
        "no-such-distribution": "absent",
        "numpy": np.__version__,
    }


def test_the_judge_and_its_report_do_not_retrain_the_real_experiment():
    found = dependencies("decouple.experiments.routing_collapse")
    areas = {name.split(".")[1] for name in found}
    assert areas == {"data", "experiments", "metrics", "models", "training"}
