"""Seeds in groups: which, on how many threads, and how far along."""

from dataclasses import dataclass

import pytest
import torch

from decouple.experiments.groups import check_seeds, run_in_groups


@dataclass(frozen=True)
class Config:
    group: int = 2
    threads: int = 1
    device: str = "cpu"


def test_groups_share_one_preparation_and_report_as_one():
    prepared, seen = [], []

    def prepare():
        prepared.append(torch.get_num_threads())

        def run_group(seeds, progress):
            progress(1, 2, "half")
            return [[(seed, "metric", 0.5)] for seed in seeds], ["finished"] * len(seeds)

        return run_group

    rows, status = run_in_groups(Config(), [3, 1, 7], prepare, lambda *call: seen.append(call))
    assert prepared == [1]
    assert rows == [(seed, (seed, "metric", 0.5)) for seed in (3, 1, 7)]
    assert status == dict.fromkeys((3, 1, 7), "finished")
    assert seen == [(1, 4, "half"), (3, 4, "half")]


def test_without_progress_none_is_handed_on():
    def prepare():
        def run_group(seeds, progress):
            assert progress is None
            return [[]], ["diverged"]

        return run_group

    assert run_in_groups(Config(), [0], prepare, None) == ([], {0: "diverged"})


@pytest.mark.parametrize("seeds", [[], [-1], [2, 2]])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds must be distinct numbers from 0 up, at least one"):
        check_seeds(seeds, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(RuntimeError, match="torch finds no CUDA device"):
        check_seeds([0], "cuda")
