import subprocess
import sys

from decouple.report.plugin import pytest_decouple_report

GUARD = """
import sys, time
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Guard())
from pathlib import Path
from decouple.report.plugin import pytest_decouple_report
import pandas, scipy.stats
started = time.process_time()
pytest_decouple_report(path=Path(sys.argv[1]))
print(time.process_time() - started)
assert "matplotlib" in sys.modules
"""


def test_four_documents_are_rendered_without_torch_in_three_seconds_of_work(project):
    page = project / "reports" / "claims.html"
    before = page.read_bytes()
    page.unlink()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARD, str(project / "reports" / "claims.json")],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 3
    assert page.read_bytes() == before, "another process, the same page"
    assert (project / "reports" / "claims.md").exists()


def test_a_fault_of_the_page_does_not_take_the_session_down(project, monkeypatch):
    def fail(_):
        raise TypeError("no page")

    monkeypatch.setattr("decouple.report.plugin.render_page", fail)
    path = project / "reports" / "claims.json"
    pytest_decouple_report(path=path)
    text = path.with_suffix(".html").read_text()
    assert "The page could not be made" in text
    assert "TypeError: no page" in text
    assert "finding-0" in path.with_suffix(".md").read_text()
