"""`decouple run`: refuses before it trains, and keeps what it trained."""

from dataclasses import replace

import pytest

from decouple.claim.store import Store
from decouple.cli import main
from decouple.experiments import routing_collapse


@pytest.fixture
def tiny(monkeypatch):
    """The smoke preset with next to nothing to train."""
    smoke = routing_collapse.PRESETS["smoke"]()
    config = replace(smoke, cycles=1, steps_per_cycle=1, recovery_steps=(1,), group=2)
    monkeypatch.setitem(routing_collapse.PRESETS, "smoke", lambda: config)


def _run(folder, *options):
    return main(["run", "routing_collapse", "--store", str(folder), *options])


def test_the_arms_named_are_trained_and_stored(tiny, tmp_path, capsys):
    options = ("--preset", "smoke", "--arm", "iid", "--arm", "one_layer", "--seeds", "2")
    assert _run(tmp_path, *options) == 0
    assert "iid: 2 seed(s), finished" in capsys.readouterr().out
    arms = [path.parent.name for path in Store(tmp_path).entries()]
    assert arms == ["iid", "iid", "one_layer", "one_layer"]


def test_a_call_after_one_that_failed_tries_again(tiny, tmp_path, capsys, monkeypatch):
    options = ("--preset", "smoke", "--arm", "iid", "--seeds", "2")

    def full(*arguments, **settings):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(routing_collapse, "run", full)
        assert _run(tmp_path, *options) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert _run(tmp_path, *options) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "smoke", "--arm", "iid", "--arm", "melted"), "arm must be one of published"),
        (("--preset", "huge"), "preset must be one of published, short, smoke, got 'huge'"),
        (("--preset", "published"), "needs a CUDA GPU"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_trained(
    tmp_path, capsys, monkeypatch, options, words
):
    monkeypatch.setattr("decouple.claim.runner.device_class", {"cpu": "cpu"}.get)
    assert _run(tmp_path, *options) == 2
    assert words in capsys.readouterr().err
    assert not list(Store(tmp_path).entries())
