"""`decouple pretrain`."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from decouple.cli import main
from decouple.cli import pretrain as command
from decouple.experiments import stand_in
from decouple.experiments.stand_in import STAND_INS
from decouple.models.gpt2_config import BaseShape

SMOKE = STAND_INS["smoke"]


def tiny():
    """The smoke stand-in with less of everything."""
    config = SMOKE()
    training = replace(
        config.training,
        shape=BaseShape(layers=1, width=16, heads=2, context=16, vocab_size=300),
        block=16, steps=10, warmup=2, check_every=5, checkpoint_every=5,
    )  # fmt: skip
    return replace(
        config,
        corpus=replace(config.corpus, words=2000),
        tokenizer=replace(config.tokenizer, vocab_size=300),
        training=training,
        held_out_windows=4,
    )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(command.STAND_INS, "smoke", tiny)


def test_it_says_where_and_how_good(tmp_path, capsys):
    into = tmp_path / "mine"
    assert main(["pretrain", "smoke", "--into", str(into)]) == 0
    said, shown = capsys.readouterr()
    assert said.startswith(f"stand-in 'smoke' is in {into}: 8,368 parameters, held-out loss ")
    assert "by token frequencies alone" in said
    assert "10/10" in shown
    assert (into / "model.safetensors").is_file()


def test_by_default_it_goes_to_the_cache_of_this_user(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DECOUPLE_CACHE", str(tmp_path))
    assert main(["pretrain", "smoke"]) == 0
    assert (tmp_path / "stand_in" / "smoke" / "manifest.json").is_file()


def test_a_folder_that_is_there_is_replaced_only_by_force(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert main(["pretrain", "smoke", "--into", str(tmp_path / "mine")]) == 2
    assert "mine is there already; --force replaces it" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []
    assert main(["pretrain", "smoke", "--into", str(tmp_path / "mine"), "--force"]) == 0
    assert (tmp_path / "mine" / "config.json").is_file()


def test_a_tokenizer_folder_is_for_the_vocabulary_of_gpt2(tmp_path, capsys):
    assert main(["pretrain", "smoke", "--tokenizer", str(tmp_path)]) == 2
    assert "--tokenizer is for stand-ins with GPT-2's vocabulary" in capsys.readouterr().err


def test_files_that_are_not_gpt2s_vocabulary_are_refused(tmp_path, capsys):
    into = tmp_path / "into"
    call = ["pretrain", "gpt2-small", "--into", str(into), "--tokenizer", str(tmp_path)]
    assert main(call) == 2
    assert "holds no GPT-2 vocabulary: put vocab.bpe" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_large_one_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stand_in, "missing_tokenizer", lambda config: None)
    assert main(["pretrain", "gpt2-small", "--into", str(tmp_path / "into")]) == 2
    assert "torch finds no CUDA device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_stand_in_is_refused_with_the_choices(capsys):
    assert main(["pretrain", "medium"]) == 2
    assert "gpt2-small" in capsys.readouterr().err


def test_help_has_an_example_and_loads_no_torch():
    program = (
        "import sys\n"
        "from decouple.cli import main\n"
        "assert main(['pretrain', '--help']) == 0\n"
        "assert not {'torch', 'transformers', 'safetensors'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "  decouple pretrain smoke" in done.stdout
