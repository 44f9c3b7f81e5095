"""Prose that can be checked: generated parts, paths, options and commands of the README."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from decouple.claim.ledger import read_ledger
from decouple.report.prose import main, of_the_tier, pages, render_blocks

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEDGER = read_ledger(ROOT / "fixtures" / "ledger")


def test_the_generated_parts_are_those_of_the_ledger():
    records = of_the_tier(LEDGER)
    for page in pages(ROOT):
        text = page.read_text(encoding="utf-8")
        assert render_blocks(text, records) == text, page.name


def test_only_the_tiers_own_preset_and_corpus_stand_for_it():
    record = next(record for record in LEDGER if record.tier == "smoke")
    novel = replace(record, setting=replace(record.setting, corpus="a novel"))
    short = replace(record, tier="gpu", setting=replace(record.setting, preset="short"))
    assert of_the_tier([record, novel, short]) == [record]


def test_a_stale_part_is_noticed_and_written_again(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- generated: levels -->\nold\n<!-- end -->\n", encoding="utf-8")
    (tmp_path / "fixtures" / "ledger").mkdir(parents=True)
    options = ["--root", str(tmp_path)]
    assert main([*options, "--check"]) == 1
    assert main(options) == 0
    assert "old" not in readme.read_text(encoding="utf-8")
    assert main([*options, "--check"]) == 0


def test_a_part_about_one_document_holds_its_claims_alone():
    text = "<!-- generated: findings routing_collapse -->\n<!-- end -->\n"
    other = replace(LEDGER[0], claim="other/claim-of-another-document")
    rendered = render_blocks(text, [*LEDGER, other])
    assert "| deepest-top-share |" in rendered
    assert "claim-of-another-document" not in rendered


def test_an_unknown_generated_part_is_refused():
    text = "<!-- generated: nonsense -->\n<!-- end -->\n"
    with pytest.raises(
        ValueError, match="must be one of counts, findings, levels, simulation, got 'nonsense'"
    ):
        render_blocks(text, [])


def test_every_path_that_is_named_is_there():
    tree = README.split("## What is where")[1].split("```")[1]
    folders, missing = [], []
    for line in tree.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        folders[depth:] = [line.split()[0]]
        path = ROOT.joinpath(*folders)
        missing += [] if path.is_dir() else [path]
    assert folders
    assert not missing
    named = re.findall(r"`((?:decouple|tests|fixtures|claims)/[\w/.]+)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "page",
    [*pages(ROOT), ROOT / "claims" / "README.md", ROOT / "reports" / "README.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_every_option_that_is_named_is_one(pytester):
    pytester.makeconftest('pytest_plugins = ["decouple.claim.plugin"]')
    known = set(re.findall(r"--decouple-[a-z-]+", pytester.runpytest("--help").stdout.str()))
    named = set(re.findall(r"--decouple-[a-z-]+", README))
    assert named == known


def test_every_make_target_that_is_named_is_one():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|[`(])make ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= targets


def test_the_worked_example_is_the_claim_as_it_stands():
    example = README.split("## What a claim is")[1].split("```python\n")[1].split("```")[0]
    claims = (ROOT / "claims" / "test_routing_collapse.py").read_text(encoding="utf-8")
    head = example.split("def test_")[0]

    def words(text):
        return re.sub(r"[\s,]+", " ", text)

    assert words(head) in words(claims)
