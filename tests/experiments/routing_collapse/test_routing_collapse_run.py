from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.routing_collapse import (
    ARMS,
    RoutingCollapseConfig,
    expected_cells,
    run,
)
from decouple.experiments.routing_collapse.preparation import (
    initial_models,
    prepare,
    training_windows,
)
from decouple.models.moe_config import MoEConfig, parameter_count

CONFIG = RoutingCollapseConfig(
    corpus=CorpusConfig(words=1500),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=MoEConfig(width=8, context=8, n_layers=2, n_heads=2),
    cycles=3,
    steps_per_cycle=5,
    batch=3,
    learning_rate=1e-2,
    held_out_windows=7,
    recovery_steps=(2, 5),
    group=2,
)
SEEDS = [1000, 1001, 1002]
COLUMNS = ["document", "arm", "seed", "step", "layer", "expert", "condition", "metric", "value"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of some arms, and the status of their seeds, made when asked for and kept."""
    made = {}
    folder = tmp_path_factory.mktemp("scratch")

    def get(arm, config=CONFIG):
        if arm not in made:
            made[arm] = run(ARMS[arm](config), SEEDS, arm=arm, scratch=folder, shared=folder)
        return made[arm]

    return get


def pick(table, metric, condition="trained", **coordinates):
    found = table[(table.metric == metric) & (table.condition == condition)]
    for name, value in coordinates.items():
        found = found[found[name] == value]
    return found


def test_each_seed_starts_from_a_model_of_its_own_and_always_the_same():
    first, second, again = initial_models(CONFIG, 17, [0, 1, 0])
    for name, value in first.named_parameters():
        if value.std() > 0:  # LayerNorm starts the same for all
            assert not torch.equal(value, dict(second.named_parameters())[name])
        assert torch.equal(value, dict(again.named_parameters())[name])


def test_the_table_is_tidy(tables):
    table, status = tables("published")
    assert list(table.columns) == COLUMNS
    assert status == dict.fromkeys(SEEDS, "finished")
    assert table.dtypes[["layer", "expert"]].eq(pd.Int64Dtype()).all()
    assert table.value.dtype == np.float64
    assert np.isfinite(table.value).all()
    assert not table.duplicated(COLUMNS[:-1]).any()
    assert set(table.document) == {"routing_collapse"}
    assert set(table.arm) == {"published"}
    assert set(table.seed) == set(SEEDS)


def test_every_cell_is_there(tables):
    table, _ = tables("published")
    cycles, layers, experts = 4, 2, 4
    assert (table.groupby("metric").size() / len(SEEDS)).to_dict() == expected_cells(CONFIG)
    counts = table.groupby(["metric", "condition"]).size() / len(SEEDS)
    last = {"dominant_removed", "other_removed", "layer_removed", "dominant_rerouted"}
    assert counts.to_dict() == {
        ("router_entropy", "trained"): cycles * layers,
        ("usage", "trained"): cycles * layers * experts,
        ("slot_share", "trained"): cycles * layers * experts,
        ("usage_entropy", "trained"): cycles * layers,
        ("mutual_information", "trained"): cycles * layers,
        ("held_out_loss", "trained"): cycles,
        ("head_entropy", "trained"): cycles,
        ("output_entropy", "trained"): cycles,
        ("training_loss", "trained"): cycles - 1,
        ("parameters", "trained"): 1,
        ("head_alignment", "trained"): experts,
        ("recovery_loss", "dominant_rerouted"): 3,
        ("recovery_loss", "continued"): 3,
        **{("held_out_loss", condition): 1 for condition in (*last, "outlier_hit")},
    }
    assert sorted(set(pick(table, "held_out_loss").step)) == [0, 1, 2, 3]
    assert sorted(set(pick(table, "training_loss").step)) == [1, 2, 3]
    assert set(pick(table, "recovery_loss", "continued").step) == {0, 2, 5}
    assert set(pick(table, "head_alignment").layer) == {1}
    assert pick(table, "held_out_loss").layer.isna().all()


def test_the_numbers_hang_together(tables):
    table, _ = tables("published")
    usage = pick(table, "usage").groupby(["seed", "step", "layer"]).value.sum()
    np.testing.assert_allclose(usage, 1.0, atol=1e-6)
    assert pick(table, "slot_share").value.max() <= 0.5 + 1e-12
    index = ["seed", "step", "layer"]
    spread, certain, shared = (
        pick(table, metric).set_index(index).value
        for metric in ("usage_entropy", "router_entropy", "mutual_information")
    )
    np.testing.assert_allclose(spread - certain, shared, atol=1e-12)
    counted = parameter_count(CONFIG.model, 256)
    assert set(pick(table, "parameters").value) == {float(counted)}
    start = pick(table, "held_out_loss", step=0).value.mean()
    assert pick(table, "held_out_loss", step=3).value.mean() < start


def test_recovery_starts_where_the_interventions_left_the_model(tables):
    table, _ = tables("published")
    at_last = {"step": CONFIG.cycles}
    for condition, same in (("dominant_rerouted", "dominant_rerouted"), ("continued", "trained")):
        recovered = pick(table, "recovery_loss", condition, step=0).value
        np.testing.assert_allclose(
            recovered, pick(table, "held_out_loss", same, **at_last).value, rtol=1e-6
        )


def test_the_same_seeds_give_the_same_bits(tables, tmp_path):
    again, _ = run(CONFIG, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    pd.testing.assert_frame_equal(again, tables("published")[0], check_exact=True)


def test_a_seed_alone_is_the_seed_in_a_group(tables, tmp_path):
    table, _ = tables("published")
    alone, _ = run(CONFIG, [1001], arm="published", scratch=tmp_path, shared=tmp_path)
    grouped = table[table.seed == 1001].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, grouped, rtol=1e-2, atol=1e-4)


def test_arms_share_initialisation_and_windows(tables):
    published = tables("published")[0]
    for arm in ("iid", "load_balanced_1.0", "no_updates"):
        table = tables(arm)[0]
        pd.testing.assert_frame_equal(
            table[table.step == 0].drop(columns="arm").query("metric != 'recovery_loss'"),
            published[published.step == 0].drop(columns="arm").query("metric != 'recovery_loss'"),
            check_exact=True,
        )


def test_windows_come_from_the_chunk_of_their_cycle(tmp_path):
    data = prepare(CONFIG, tmp_path)
    windows = training_windows(CONFIG, data, SEEDS)
    assert windows.shape == (3, 3, 5, 3, 9)
    for cycle, chunk in enumerate(data.chunks):
        known = {tuple(chunk[i : i + 9]) for i in range(len(chunk) - 8)}
        assert {tuple(window) for window in windows[:, cycle].reshape(-1, 9)} <= known
    assert not np.array_equal(windows[0], windows[1])
    assert np.array_equal(windows[1], training_windows(CONFIG, data, [1001])[0])


def test_without_updates_nothing_moves(tables):
    table, _ = tables("no_updates")
    for metric in ("usage", "router_entropy", "held_out_loss", "head_entropy"):
        found = pick(table, metric).groupby(["seed", "layer", "expert"], dropna=False).value
        assert found.min().equals(found.max())
    recovery = pick(table, "recovery_loss", "dominant_rerouted").groupby("seed").value
    assert recovery.min().equals(recovery.max())


@pytest.mark.parametrize("arm", ["iid", "shuffled", "load_balanced_0.01", "frozen_router", "dense"])
def test_an_arm_leads_elsewhere(tables, arm):
    table, published = tables(arm)[0], tables("published")[0]
    own, other = (
        pick(each, "held_out_loss", step=3).value.to_numpy() for each in (table, published)
    )
    assert (own != other).any()  # a seed may draw the order of the text itself
    assert (own < pick(table, "held_out_loss", step=0).value.to_numpy()).all()


def test_balancing_evens_out_usage(tables):
    config = replace(CONFIG, steps_per_cycle=20, recovery_steps=())
    balanced, _ = tables("load_balanced_1.0", config)
    tops = pick(balanced, "usage", step=3).groupby(["seed", "layer"]).value.max()
    assert tops.max() < 0.4


def test_a_sharp_router_is_measured_untrained(tables):
    table, status = tables("sharp_router")
    assert status == dict.fromkeys(SEEDS, "finished")
    assert set(table.step) == {0}
    assert set(table.condition) == {"trained"}
    sharp = pick(table, "router_entropy").value
    assert (sharp < 0.7).all()
    plain = pick(tables("published")[0], "router_entropy", step=0).value
    assert (plain > 1.1).all()


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [7, 15, 23])
def test_a_killed_run_ends_with_the_same_table(tables, tmp_path, at):
    def kill(done, total, _note):
        assert total == 2 * 15
        if done == at:
            raise KilledError

    with pytest.raises(KilledError):
        run(CONFIG, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path, progress=kill)
    assert list(tmp_path.glob("*.pt"))
    resumed, _ = run(CONFIG, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    pd.testing.assert_frame_equal(resumed, tables("published")[0], check_exact=True)
    assert not list(tmp_path.glob("*.pt"))


def test_a_killed_run_is_not_taken_up_by_another(tmp_path):
    def kill(done, _total, _note):
        if done == 7:
            raise KilledError

    with pytest.raises(KilledError):
        run(CONFIG, [1000], arm="published", scratch=tmp_path, shared=tmp_path, progress=kill)
    seen = []
    for config, seeds in ((replace(CONFIG, learning_rate=0.02), [1000]), (CONFIG, [1003])):
        run(
            config,
            seeds,
            arm="other",
            scratch=tmp_path,
            shared=tmp_path,
            progress=lambda *c: seen.append(c[0]),
        )
    assert seen.count(1) == 2  # both began at the beginning


def test_divergence_is_a_status_and_keeps_the_rows_before_it(tmp_path):
    config = replace(CONFIG, learning_rate=1e38)
    table, status = run(config, [1000, 1001], arm="published", scratch=tmp_path, shared=tmp_path)
    for text in status.values():
        assert text.startswith("diverged at step ")
        assert text.split(": ")[1] in ("loss is nan", "loss is inf", "a parameter is not finite")
    assert set(table.step) == {0}
    assert np.isfinite(table.value).all()


@pytest.mark.parametrize("seeds", [[], [-1], [3, 3]])
def test_impossible_seeds_are_refused(tmp_path, seeds):
    with pytest.raises(ValueError, match="seeds must be distinct numbers from 0 up, at least one"):
        run(CONFIG, seeds, arm="published", scratch=tmp_path, shared=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="device='cuda' is configured, but torch finds no CUDA"):
        run(
            replace(CONFIG, device="cuda"),
            [1000],
            arm="published",
            scratch=tmp_path,
            shared=tmp_path,
        )
