import shutil
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from decouple.report.illustrate import Illustration
from decouple.report.page import render_page

sys.path.insert(0, str(Path(__file__).parent))
try:
    import synthetic
finally:
    sys.path.pop(0)

VOID = {"meta", "input", "br", "img", "link", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict
    text: str = ""
    inside: list = field(default_factory=list)
    "tags that it stands in, outermost first"

    def __getitem__(self, name):
        return self.attributes.get(name)


class Parsed(HTMLParser):
    """A page's elements in order, each with all the text in it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        inside = [other.tag for other in self.open]
        element = Element(tag, dict(attrs), inside=inside)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(element[name.replace("_", "-")] == value for name, value in attributes.items())
        ]

    def row(self, claim, tier):
        (found,) = [
            row for row in self.all("tr", role="row")
            if row["data-claim"] == claim and row["data-tier-name"] == tier
        ]  # fmt: skip
        return found

    @property
    def alerts(self):
        return [each.text for each in self.all("p", **{"class": "alert"})]

    @property
    def absent(self):
        return [each.text for each in self.all("p", **{"class": "absent"})]

    def by_id(self, identifier):
        (found,) = [element for element in self.elements if element["id"] == identifier]
        return found


@pytest.fixture
def parse():
    return Parsed


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The made-up project, its page rendered; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("made")
    report = synthetic.write_project(folder)
    render_page(report, strict=True)
    return folder


@pytest.fixture(scope="session")
def page(made):
    return Parsed((made / "reports" / "claims.html").read_text(encoding="utf-8"))


@pytest.fixture
def project(made, tmp_path):
    """A copy of the made-up project that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "project"))


@pytest.fixture
def rendered(project):
    """Renders the copy as it is now."""

    def render(*, strict=True):
        path = render_page(project / "reports" / "claims.json", strict=strict)
        return Parsed(path.read_text(encoding="utf-8"))

    return render


@pytest.fixture
def without_figures(monkeypatch):
    """Nothing is drawn, which is what takes the time."""
    monkeypatch.setattr(
        "decouple.report.illustrate._illustration",
        lambda panel, name, _: Illustration(name, panel, absent="left out"),
    )


@pytest.fixture
def made_up():
    """The module that makes the project up."""
    return synthetic
