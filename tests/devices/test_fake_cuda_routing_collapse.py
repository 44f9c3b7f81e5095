"""routing_collapse on a device that is not there, from the first row to the last.

Between cycles the host may wait, to measure, to save and to send the windows of the next one;
within a cycle it may not.
"""

from dataclasses import replace

import pytest

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments import groups
from decouple.experiments.routing_collapse import RoutingCollapseConfig, expected_cells, run
from decouple.experiments.routing_collapse.evaluation import as_rows
from decouple.models.moe_config import MoEConfig
from decouple.training.checkpoint import load_checkpoint
from decouple.training.ensemble import train_steps

CONFIG = RoutingCollapseConfig(
    corpus=CorpusConfig(words=1500),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=MoEConfig(width=8, context=8, n_layers=2, n_heads=2),
    cycles=1,
    steps_per_cycle=2,
    batch=2,
    held_out_windows=3,
    recovery_steps=(1, 2),
    group=2,
    device="cuda",
)
CONFIGS = {
    "published": CONFIG,
    "all that other arms add": replace(
        CONFIG, balancing=1.0, frozen_router=True, model=replace(CONFIG.model, attention=True)
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_only_measurements_wait_for_the_device(cuda, config, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "check_seeds", lambda seeds, device: seeds)
    table, status = run(config, [1000, 1001], arm="a", scratch=tmp_path, shared=tmp_path)
    assert set(status.values()) == {"finished"}
    cells = table.groupby(["seed", "metric"]).size()
    for metric, count in expected_cells(config).items():
        assert (cells[:, metric] == count).all(), metric
    assert cuda.waited_in(as_rows), "measurements are read"
    assert not cuda.waited_in(train_steps)


def test_a_run_goes_on_from_its_checkpoint(cuda, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "check_seeds", lambda seeds, device: seeds)
    config = replace(CONFIG, cycles=2)

    def stop(done, total, note):
        if done > config.steps_per_cycle:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, [1000, 1001], arm="a", scratch=tmp_path, shared=tmp_path, progress=stop)
    assert list(tmp_path.glob("*.pt"))
    cuda.waits.clear()
    run(config, [1000, 1001], arm="a", scratch=tmp_path, shared=tmp_path)
    assert cuda.waited_in(load_checkpoint)
    assert not cuda.waited_in(train_steps)
