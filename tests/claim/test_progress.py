"""The progress bar: on the terminal while something runs, gone afterwards."""

import contextlib
import io
import sys

from decouple.claim.progress import progress_bar


def test_a_bar_shows_title_steps_and_note_and_clears_itself(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    entered = []

    @contextlib.contextmanager
    def uncaptured():
        entered.append(True)
        yield

    show = progress_bar("toy small published seeds 0-4", uncaptured, 0)
    assert terminal.getvalue() == "", "nothing runs yet"
    show(0, 10, "cycle 1/2")
    assert "toy small published seeds 0-4" in terminal.getvalue()
    assert "0/10" in terminal.getvalue()
    show(10, 10, "cycle 2/2")
    assert terminal.getvalue().rpartition("\r")[0].endswith(" "), "the line was blanked"
    assert len(entered) == 2
