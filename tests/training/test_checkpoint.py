import pytest
import torch

from decouple.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"cycle": 3, "rows": [[(1, None, "a", 0.5)]], "parameters": {"w": torch.arange(4.0)}}


def test_a_state_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "folder" / "run.pt"
    save_checkpoint(path, "me", STATE)
    found = load_checkpoint(path, "me", "cpu")
    assert found["rows"] == STATE["rows"]
    assert torch.equal(found["parameters"]["w"], STATE["parameters"]["w"])
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_no_file_is_no_state(tmp_path):
    assert load_checkpoint(tmp_path / "run.pt", "me", "cpu") is None


def test_another_runs_state_is_passed_over(tmp_path):
    save_checkpoint(tmp_path / "run.pt", "you", STATE)
    with pytest.warns(UserWarning, match="run.pt ignored, it is another run's"):
        assert load_checkpoint(tmp_path / "run.pt", "me", "cpu") is None


@pytest.mark.parametrize("keep", [0, 100, -50])
def test_a_damaged_file_is_passed_over(tmp_path, keep):
    path = tmp_path / "run.pt"
    save_checkpoint(path, "me", STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match="run.pt ignored, it is damaged"):
        assert load_checkpoint(path, "me", "cpu") is None


class Trap:
    def __reduce__(self):
        return (print, ("code ran on loading",))


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"identity": "me", "state": Trap()}, tmp_path / "run.pt")
    with pytest.warns(UserWarning, match="run.pt ignored, it is damaged"):
        assert load_checkpoint(tmp_path / "run.pt", "me", "cpu") is None
    assert "code ran" not in capsys.readouterr().out


def test_a_failed_write_leaves_the_earlier_state_and_no_litter(tmp_path):
    path = tmp_path / "run.pt"
    save_checkpoint(path, "me", STATE)
    with pytest.raises(AttributeError, match="Can't"):
        save_checkpoint(path, "me", {"cycle": lambda: None})
    assert load_checkpoint(path, "me", "cpu")["cycle"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
