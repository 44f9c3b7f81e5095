"""The house keeps its shape: imports go one way, and judging never loads torch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "decouple"
STEMS = sorted(path.stem.removeprefix("test_") for path in (ROOT / "claims").glob("test_*.py"))

MAY_IMPORT = {
    "claim": {"claim"},
    "data": {"data"},
    "models": {"models"},
    "metrics": {"metrics"},
    "training": {"training", "models"},
    "experiments": {"experiments", "training", "models", "metrics", "data"},
    "report": {"report", "claim"},
    "cli": {"cli", "claim", "report", "experiments", "data"},
    "claims": {"claim", "experiments", "models", "metrics", "data"},
}
"""Area to the areas it may import; `claims` are the claim files themselves."""

WITHOUT_TORCH = {"claim", "data", "report", "cli", "claims"}


def area_of(path):
    if not path.is_relative_to(PACKAGE):
        return "claims"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources():
    return sorted([*PACKAGE.rglob("*.py"), *(ROOT / "claims").rglob("*.py")])


def imported(path):
    """Every module that a file imports anywhere in it, as a dotted name."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            if base == ["decouple"]:
                yield from (f"decouple.{alias.name}" for alias in node.names)
            else:
                yield ".".join(base)


def test_each_area_has_its_rule():
    # The package's own __init__ belongs to no area: it holds the version and imports nothing.
    init = PACKAGE / "__init__.py"
    assert list(imported(init)) == []
    assert {area_of(path) for path in sources() if path != init} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("area", MAY_IMPORT)
def test_imports_go_one_way(area):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if area_of(path) == area
        for name in imported(path)
        if name.split(".")[0] == "decouple" and name.split(".")[1] not in MAY_IMPORT[area]
    ]
    assert wrong == []


def test_the_rules_have_no_circle():
    def reaches(area, seen=()):
        assert area not in seen, f"{' → '.join(seen)} → {area}"
        for other in MAY_IMPORT.get(area, set()) - {area}:
            reaches(other, (*seen, area))

    for area in MAY_IMPORT:
        reaches(area)


@pytest.mark.parametrize("area", sorted(WITHOUT_TORCH))
def test_torch_is_named_only_where_models_are(area):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if area_of(path) == area
        for name in imported(path)
        if name.split(".")[0] == "torch"
    ]
    assert wrong == []


def test_only_the_plugin_knows_pytest():
    found = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in ("pytest", "_pytest")
    }
    assert found == {"decouple/claim/plugin.py"}


def torch_free(code, folder=ROOT):
    """Run code in a process of its own; fails if it imports torch. Returns what it printed."""
    guard = (
        "import sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers'):\n"
        "            raise AssertionError(f'{name} was imported')\n"
        "sys.meta_path.insert(0, Guard())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard + code],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guard_does_notice_torch():
    with pytest.raises(AssertionError, match="torch was imported"):
        torch_free("import torch")


def test_collecting_the_claims_imports_no_torch():
    out = torch_free(
        "import pytest\n"
        "code = pytest.main(['--co', '-q', '-p', 'no:cacheprovider', 'claims/'])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)"
    )
    for tier in ("published", "smoke", "gpu"):
        assert f"claims/test_routing_collapse.py::test_deepest_top_share[{tier}]" in out


@pytest.mark.parametrize("stem", STEMS)
def test_an_experiment_is_described_and_fingerprinted_without_torch(stem):
    out = torch_free(
        "import json\n"
        f"import decouple.experiments.{stem} as experiment\n"
        "from decouple.claim.fingerprint import code_fingerprint, library_versions\n"
        "config = experiment.PRESETS[experiment.TIERS['smoke']]()\n"
        "config = next(iter(experiment.ARMS.values()))(config)\n"
        "experiment.data_fingerprint(config), experiment.describe(config)\n"
        "experiment.device(config), experiment.group_size(config)\n"
        "experiment.missing(config), experiment.expected_cells(config)\n"
        "library_versions(experiment.LIBRARIES)\n"
        "print(json.dumps(code_fingerprint(experiment.__name__)))\n"
        "assert 'torch' not in sys.modules"
    )
    assert len(json.loads(out)) == 16


def test_a_report_is_rendered_without_torch(tmp_path):
    torch_free(
        "from pathlib import Path\n"
        "from decouple.claim.report import write_report\n"
        "from decouple.report.markdown import render_markdown\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "path = write_report(folder, [], root=folder, wall_seconds=1.0, arguments=[])\n"
        "print(render_markdown(path))\n"
        "assert 'torch' not in sys.modules"
    )
    assert (tmp_path / "claims.md").exists()
