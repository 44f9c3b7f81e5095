"""A wrong call is one line that names argument, value and expectation, and status 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from decouple.cli import main
from decouple.cli.main import INTERRUPTED, READER_GONE

ROOT = Path(__file__).resolve().parents[2]
STEMS = "ep_plateau, long_run, routing_collapse, sequential_cycles"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder that is no repository, with a file and a broken report in it."""
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "torn.json").write_text('{"format": 1, "records": [')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "odd.json").write_text('{"format": 1, "records": [[["a", 1]]]}')
    (tmp_path / "bytes.json").write_bytes(b"\xff\x00")
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = "run routing_collapse --preset smoke"
WRONG = [
    ("", "required: COMMAND"),
    ("bogus", "argument COMMAND: invalid choice: 'bogus'"),
    ("list", "--claims must be a folder with claims files, got claims; run in the repository"),
    ("list --claims file.txt", "--claims must be a folder with claims files, got file.txt"),
    ("list --tier dream", "--tier: must be one of published, smoke, gpu, got 'dream'"),
    ("list --verdict MAYBE", "--verdict: must be one of SUPPORTED, REFUTED, INCONCLUSIVE"),
    ("list --ledger nowhere", "--ledger: must be a folder, got 'nowhere': there is none"),
    ("list --ledger file.txt", "--ledger: must be a folder, got 'file.txt': it is a file"),
    ("show", "required: claim"),
    ("report", "there is no report reports/claims.json; pytest -m smoke claims/ makes one"),
    ("report .", "is no report"),
    ("report torn.json", "torn.json is no report"),
    ("report list.json", "list.json is no report"),
    ("report odd.json", "odd.json is no report"),
    ("report bytes.json", "bytes.json is no report"),
    ("ledger", "there is no report reports/claims.json"),
    ("ledger --ledger file.txt", "--ledger: must be a folder, got 'file.txt'"),
    ("store", "required: ACTION"),
    ("store show", "there is no store reports/store: nothing was run with it yet"),
    ("store verify", "there is no store reports/store"),
    ("store prune --yes", "there is no store reports/store"),
    ("store --store file.txt/in verify", "got 'file.txt/in': file.txt is none"),
    ("run nothing --preset smoke", f"STEM: must be one of {STEMS}, got 'nothing'"),
    ("run routing_collapse", "required: --preset"),
    ("run routing_collapse --preset huge", "preset must be one of published, short, smoke, got"),
    (f"{RUN} --arm melted", "arm must be one of published, iid"),
    (f"{RUN} --seeds 0", "--seeds: must be a whole number from 1, got '0'"),
    (f"{RUN} --seeds=-3", "--seeds: must be a whole number from 1, got '-3'"),
    (f"{RUN} --seeds many", "--seeds: must be a whole number from 1, got 'many'"),
    (f"{RUN} --corpus nowhere", "--corpus: must be a file, got 'nowhere': there is none"),
    (f"{RUN} --corpus .", "--corpus: must be a file, got '.': it is a folder"),
    (f"{RUN} --tokenizer file.txt", "--tokenizer: must be a folder, got 'file.txt'"),
    (f"{RUN} --store file.txt", "--store: must be a folder, got 'file.txt': file.txt is none"),
    ("rehearse nothing", f"STEM: must be one of {STEMS}, got 'nothing'"),
    ("rehearse long_run", "--claims must be a folder with claims files, got claims"),
    ("rehearse long_run --size 0", "--size: must be a whole number from 1, got '0'"),
    ("rehearse long_run --tier published", "--tier: must be one of smoke, gpu, got 'published'"),
    ("pretrain medium", "NAME: must be one of smoke, gpt2-small, got 'medium'"),
    ("pretrain smoke --into file.txt --force", "--into: must be a folder, got 'file.txt'"),
    ("pretrain smoke --into .", ". is there already; --force replaces it"),
    ("data bogus", "argument ACTION: invalid choice: 'bogus'"),
    ("data fetch", "required: NAME"),
    ("compare torn.json torn.json", "torn.json is no report"),
    ("compare torn.json torn.json --tier dream", "--tier"),
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[call or "nothing" for call, _ in WRONG])
def test_a_wrong_call_is_one_line_and_changes_nothing(elsewhere, capsys, call, words):
    before = sorted(elsewhere.rglob("*"))
    assert main(call.split()) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("decouple")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ("routing_collapse/deepest-top-shar", "one of routing_collapse/deepest-top-share"),
        ("long_run/", "long_run/"),
        ("🦜", "claim must be one of those that `decouple list` prints, got '🦜'"),
    ],
)
def test_a_claim_that_is_none_gets_a_few_that_are_like_it(capsys, claim, words):
    assert main(["show", claim, "--claims", str(ROOT / "claims")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said) < 400


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("decouple.cli.data._show", lambda _: interrupt())
    assert main(["data"]) == INTERRUPTED == 130
    assert capsys.readouterr().err == "decouple: interrupted\n"


def test_a_reader_who_goes_away_gets_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from decouple.cli import main; sys.exit(main())",
             "list"],
            cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (READER_GONE, b"")


COMMANDS = [
    "list", "show", "ledger", "store", "store show", "store verify", "store prune", "report",
    "rehearse", "pretrain", "data", "data fetch", "run",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_for_how_and_how_it_exits(capsys, command):
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    usage, description, rest = said.split("\n\n", 2)
    assert usage.startswith(f"usage: decouple {command.split()[0]}")
    assert description.rstrip().endswith((".", "?"))
    assert f"examples:\n  decouple {command.split()[0]}" in rest
    assert "exit status:\n  0  " in rest
    assert max(map(len, said.splitlines())) <= 100


def test_the_help_of_all_names_every_command_and_status(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for word in ("list", "compare", "  0 ", "  1 ", "  2 ", "  130 ", "  141 ", "pytest -m smoke"):
        assert word in said


def test_a_damaged_entry_is_a_line_of_its_own(tmp_path, capsys):
    for name, text in (("a", "{"), ("b", "[]"), ("c", json.dumps({"identity": {"document": 3}}))):
        entry = tmp_path / "long_run" / "smoke" / "published" / f"seed-0000-{name}"
        entry.mkdir(parents=True)
        (entry / "manifest.json").write_text(text)
        (entry / "evidence.csv").write_text("")
    for action, status in (("show", 0), ("verify", 1), ("prune", 0)):
        assert main(["store", "--store", str(tmp_path), action]) == status
        said = capsys.readouterr()
        assert said.err == ""
        assert said.out.count("published/seed-0000-") == 3
