from pathlib import Path

import pytest

from decouple.cli import main

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["--claims", str(ROOT / "claims"), "--ledger", str(ROOT / "fixtures" / "ledger")]


def said(capsys, *arguments):
    assert main([*arguments, *FOLDERS]) == 0
    return capsys.readouterr().out.splitlines()


def test_claims_are_listed_with_their_verdicts_of_record(capsys):
    lines = said(capsys, "list", "routing_collapse", "--tier", "smoke")
    assert "SUPPORTED    smoke     routing_collapse/deepest-top-share" in lines
    refuted = said(capsys, "list", "routing_collapse", "--tier", "smoke", "--verdict", "REFUTED")
    assert refuted == [line for line in lines if line.startswith("REFUTED")]
    assert refuted


def test_a_claim_without_a_record_is_listed_too(capsys):
    lines = said(capsys, "list", "routing_collapse", "--tier", "gpu")
    assert any(line.endswith("routing_collapse/deepest-top-share") for line in lines)


def test_a_claim_is_shown_with_bands_controls_and_records(capsys):
    text = "\n".join(said(capsys, "show", "routing_collapse/deepest-top-share"))
    for part in (
        "published: 93.5%",
        "control:   load_balanced_1.0",
        "smoke: ≥ 0.5925",
        "on record",
        "CONSISTENT 0.935 [0.9345, 0.9355], band ≥ 0.9 (",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "nothing"], "stem must be one of"),
        (["show", "routing_collapse/top-share"], "routing_collapse/deepest-top-share"),
        (["show", "nothing"], "claim must be one of"),
    ],
)
def test_unknown_names_list_those_there_are(capsys, arguments, words):
    assert main([*arguments, *FOLDERS]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_claims_is_an_error(tmp_path, capsys):
    assert main(["list", "--claims", str(tmp_path)]) == 2
    assert "--claims must be a folder with claims files" in capsys.readouterr().err


def test_the_data_command_says_what_is_here_and_what_can_be_fetched(capsys):
    assert main(["data"]) == 0
    out = capsys.readouterr().out
    for part in ("gpt2 ", "gpt2-vocabulary", "tinystories", "--decouple-corpus=FILE"):
        assert part in out
    assert main(["data", "fetch", "moon"]) == 2
    assert "NAME: must be one of gpt2, gpt2-vocabulary" in capsys.readouterr().err
