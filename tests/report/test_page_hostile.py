"""Text that means harm, in every place where a report holds text."""

import json

import pytest

from decouple.report.markdown import render_markdown

UNSEEN = "\x00\x1b\u202e\u2066\r"


@pytest.fixture
def poisoned(project, made_up):
    path = project / "reports" / "claims.json"
    data = json.loads(path.read_text())
    made_up.poison(data)
    path.write_text(json.dumps(data))
    return path


def test_it_stays_text(poisoned, rendered, without_figures, made_up):
    page = rendered()
    assert len(page.all("script")) == len(page.all("style")) == len(page.all("title")) == 1
    for element in page.elements:
        assert not any(name.startswith("on") for name in element.attributes), element
        assert "autofocus" not in element.attributes
    text = poisoned.with_suffix(".html").read_bytes().decode()
    assert not any(character in text for character in UNSEEN)
    claim = page.by_id("claim-ep_plateau-finding-1").text
    assert "<script>document.body.dataset.hacked = 1</script>" in claim
    assert "⟨202E⟩ backwards" in claim
    assert "⟨D800⟩" in claim
    assert "שלום 🦜" in claim


def test_identifiers_stay_identifiers(poisoned, rendered, without_figures):
    identifiers = [each["id"] for each in rendered().elements if each["id"]]
    assert len(identifiers) == len(set(identifiers))
    assert not any(set(identifier) & set(" \t\n<>\"'&") for identifier in identifiers)


def test_it_stays_text_in_markdown(poisoned):
    text = render_markdown(poisoned).read_bytes().decode()
    assert not any(character in text for character in UNSEEN)
    assert "\n# heading" not in text
    plain = text.replace("\\<", "")
    code = [line for line in plain.splitlines() if line.startswith("  - again: ``")]
    assert len(code) == 28
    assert "<script" not in "".join(line for line in plain.splitlines() if line not in code)


def test_in_the_evidence_and_its_coordinates_too(project, rendered, made_up, monkeypatch):
    def forged(path):
        entry = read_entry(path)
        table = entry.table
        for name in ("condition", "point", "vectors", "prompt", "text"):
            if name in table:
                table[name] = table[name].astype(object)
                table.loc[table.index[-3:], name] = made_up.NASTY
        return entry

    from decouple.report.stored import read_entry  # noqa: PLC0415 - before it is replaced

    monkeypatch.setattr("decouple.report.stored.read_entry", forged)
    page = rendered(strict=False)
    assert len(page.all("svg", **{"class": "plot"})) > 15
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for each in page.elements for name in each.attributes)
