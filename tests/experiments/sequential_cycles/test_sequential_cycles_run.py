from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from decouple.claim.evidence import Run
from decouple.experiments.base_model import PROMPTS
from decouple.experiments.sequential_cycles import ARMS, expected_cells, run, runner
from decouple.experiments.sequential_cycles.preparation import (
    drawn_windows,
    frozen_modules,
    prepare,
)
from decouple.models.gpt2 import final_states, load_base
from decouple.models.gpt2_config import base_shape

SEEDS = [1000, 1001]


@pytest.fixture(scope="module")
def tables(config, tmp_path_factory):
    """Tables of some arms, and the status of their seeds, made when asked for and kept."""
    made = {}
    folder = tmp_path_factory.mktemp("shared")

    def get(arm):
        if arm not in made:
            made[arm] = run(ARMS[arm](config), SEEDS, arm=arm, scratch=folder, shared=folder)
        return made[arm]

    return get


def again(config, folder, arm="full_model", seeds=SEEDS, **options):
    return run(ARMS[arm](config), seeds, arm=arm, scratch=folder, shared=folder, **options)


def pick(table, metric, **coordinates):
    found = table[table.metric == metric]
    for name, value in coordinates.items():
        found = found[found[name] == value]
    return found.value.to_numpy()


def same(one, other):
    pd.testing.assert_frame_equal(
        one.drop(columns="arm").reset_index(drop=True),
        other.drop(columns="arm").reset_index(drop=True),
        check_exact=True,
    )


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_runs_and_gives_every_cell_once(tables, config, arm):
    table, status = tables(arm)
    assert status == dict.fromkeys(SEEDS, "finished")
    counts = (table.groupby("metric").size() / len(SEEDS)).to_dict()
    assert counts == expected_cells(ARMS[arm](config))
    assert not table.duplicated([name for name in table.columns if name != "value"]).any()
    assert np.isfinite(table.value).all()
    assert set(table.document) == {"sequential_cycles"}
    assert set(table.arm) == {arm}
    assert sorted(set(table.step)) == [0, 1, 2, 3]


def test_the_baseline_is_taken_at_positions_of_each_seeds_own(tables, config, tmp_path):
    table, _ = tables("full_model")
    shared, own = (pick(table, name, step=0) for name in ("alignment", "baseline_alignment"))
    assert shared[0] == shared[1]
    assert own[0] != own[1]
    data = prepare(config, tmp_path)
    windows = torch.from_numpy(drawn_windows(config, data, SEEDS)).long()
    model = load_base(config.base)
    for seed, tokens in enumerate(windows):
        states = final_states(model, tokens[:, :-1]).after.flatten(0, 1)
        rows = model.transformer.wte.weight[tokens[:, 1:].flatten()]
        expected = torch.cosine_similarity(states, rows, dim=-1).mean().item()
        assert own[seed] == pytest.approx(expected, abs=1e-5)


def test_the_base_learns_the_text(tables):
    table, _ = tables("full_model")
    assert pick(table, "held_out_loss", step=3).max() < pick(table, "held_out_loss", step=0).min()
    assert (np.abs(pick(table, "alignment")) <= 1).all()
    assert (np.abs(pick(table, "update_cosine")) <= 1 + 1e-9).all()


def test_arms_start_from_the_same_base_and_go_apart(tables):
    full, _ = tables("full_model")
    for arm in ("frozen_head", "iid", "random_labels", "same_chunk"):
        table, _ = tables(arm)
        same(table[table.step == 0], full[full.step == 0])
        own, other = (pick(each, "held_out_loss", step=3) for each in (table, full))
        assert (own != other).all()


def test_the_first_cycle_trains_on_the_first_chunk_in_both_arms(tables):
    full, same_chunk = (tables(arm)[0] for arm in ("full_model", "same_chunk"))
    same(full[full.step == 1], same_chunk[same_chunk.step == 1])
    assert (pick(full, "training_loss", step=2) != pick(same_chunk, "training_loss", step=2)).all()


def test_without_updates_everything_stays_at_baseline(tables):
    table, _ = tables("no_updates")
    for metric in ("alignment", "centred_alignment", "held_out_loss", "head_entropy", "coherence"):
        by_seed = table[table.metric == metric].groupby("seed").value
        assert by_seed.min().equals(by_seed.max())
    assert "update_cosine" not in set(table.metric)


def test_the_gauge_arm_is_the_same_run_in_all_but_the_raw_alignment(tables):
    (full, _), (shifted, _) = tables("full_model"), tables("gauge_shifted")
    for metric in ("held_out_loss", "output_entropy", "centred_alignment", "calibration_error"):
        # AdamW divides tiny gradients by themselves, so that rounding grows as training goes on.
        start = [pick(table, metric, step=0) for table in (full, shifted)]
        np.testing.assert_allclose(*start, atol=1e-4)
        np.testing.assert_allclose(pick(full, metric), pick(shifted, metric), atol=0.05)
    raw = [pick(table, "alignment", step=0) for table in (full, shifted)]
    assert (raw[0] * raw[1] < 0).all()


@pytest.mark.parametrize("part", ["head", "embeddings", "all_but_wte"])
def test_frozen_parameters_do_not_move_a_bit_though_weights_decay(
    config, tmp_path, monkeypatch, part
):
    trained = {}

    def keep(parameters, *arguments, **options):
        result = train_cycles(parameters, *arguments, **options)
        trained.update(result.parameters)
        return result

    train_cycles = runner.train_cycles
    monkeypatch.setattr(runner, "train_cycles", keep)
    config = replace(config, frozen=part, weight_decay=0.5, cycles=1, generation_cycles=())
    again(config, tmp_path)
    frozen = set(frozen_modules(config, base_shape(config.base)))
    for name, start in load_base(config.base).named_parameters():
        moved = [not torch.equal(value, start) for value in trained[name].detach()]
        assert moved == [not frozen & set(name.split("."))] * len(SEEDS), name


def test_the_same_seeds_give_the_same_bits(tables, config, tmp_path):
    table, _ = again(config, tmp_path)
    same(table, tables("full_model")[0])
    assert not list(tmp_path.glob("*.pt"))


def test_a_seed_alone_is_the_seed_in_a_group(tables, config, tmp_path):
    alone, _ = again(replace(config, generation_cycles=()), tmp_path, seeds=[1001])
    table, _ = tables("full_model")
    grouped = table[(table.seed == 1001) & table.metric.isin(set(alone.metric))]
    np.testing.assert_allclose(alone.value, grouped.value, rtol=1e-2, atol=1e-3)


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize(("every", "resumed_at"), [(1, 9), (2, 9), (3, 1)])
def test_a_killed_run_ends_with_the_same_table(tables, config, tmp_path, every, resumed_at):
    config = replace(config, checkpoint_every=every)

    def kill(done, total, _note):
        assert total == 12
        if done == 10:
            raise KilledError

    with pytest.raises(KilledError):
        again(config, tmp_path, progress=kill)
    seen = []
    table, _ = again(config, tmp_path, progress=lambda done, *_: seen.append(done))
    assert seen[0] == resumed_at
    same(table, tables("full_model")[0])
    assert not list(tmp_path.glob("*.pt"))


def test_continuations_are_kept_word_for_word(tables, tmp_path):
    table, _ = tables("full_model")
    written = table[table.metric == "continuation"]
    assert set(written.prompt) == {prompt.replace("\n", "\\n") for prompt in PROMPTS}
    assert (written.value == 4).all()
    assert written.text.map(lambda text: isinstance(text, str) and text != "").all()
    table.to_csv(tmp_path / "evidence.csv", index=False, lineterminator="\n")
    read = pd.read_csv(
        tmp_path / "evidence.csv", keep_default_na=False, na_values=[""], dtype={"text": str}
    )
    assert read[read.metric == "continuation"].text.tolist() == written.text.tolist()


def test_predicates_read_the_evidence(tables):
    table, _ = tables("full_model")
    seen = Run(table[table.seed == 1000])
    assert len(seen.cells("alignment")) == 4
    assert seen.cells("alignment").coordinates.keys() == {"step"}
    choice = {"target": "next", "centring": "raw", "position": "after_ln_f"}
    cell = seen.cell("alignment_choice", step="last", **choice)
    assert cell == seen.cell("alignment", step="last")
    assert seen.cell("grade", step=3, decoding="sampled", grade="coherence") == seen.cell(
        "coherence", step=3
    )


def test_divergence_is_a_status_and_keeps_the_rows_before_it(config, tmp_path):
    table, status = again(
        replace(config, learning_rate=1e38, generation_cycles=()), tmp_path, seeds=SEEDS
    )
    for text in status.values():
        assert text.startswith("diverged at step ")
    assert set(table.step) == {0}
    assert np.isfinite(table.value).all()


def test_a_diverged_seed_leaves_the_evidence_of_the_others_as_it_is(
    tables, config, tmp_path, monkeypatch
):
    whole = tables("full_model")[0]
    pairs_of, loss_of = runner.training_pairs, runner.make_loss

    def with_a_mark(*arguments):
        pairs = pairs_of(*arguments)
        pairs[0, 1, 2] = 0  # first seed, second cycle, third step
        return pairs

    def broken_at_the_mark(model):
        loss = loss_of(model)

        def breaking(parameters, pairs):
            value, recorded = loss(parameters, pairs)
            return value * torch.where((pairs == 0).all(), torch.inf, 1.0), recorded

        return breaking

    monkeypatch.setattr(runner, "training_pairs", with_a_mark)
    monkeypatch.setattr(runner, "make_loss", broken_at_the_mark)
    table, status = again(replace(config, generation_cycles=(0, 2, 3)), tmp_path)
    assert status == {1000: "diverged at step 8: loss is nan", 1001: "finished"}
    assert set(table.step[table.seed == 1000]) == {0, 1}
    assert np.isfinite(table.value).all()
    columns = ["step", "metric", "text"]
    # The other run wrote nothing after the cycle of the divergence; all else it measured there.
    written = (table.step == 2) & table.metric.isin(["continuation", "coherence", "grade"])
    own, other = (each[each.seed == 1001] for each in (table[~written], whole))
    assert 2 in set(own.step)
    assert own[columns].astype(str).to_numpy().tolist() == (
        other[columns].astype(str).to_numpy().tolist()
    )
    np.testing.assert_array_equal(own.value, other.value)


@pytest.mark.parametrize("seeds", [[], [-1], [3, 3]])
def test_impossible_seeds_are_refused(config, tmp_path, seeds):
    with pytest.raises(ValueError, match="seeds must be distinct numbers from 0 up, at least one"):
        again(config, tmp_path, seeds=seeds)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(config, tmp_path):
    with pytest.raises(RuntimeError, match="device='cuda' is configured, but torch finds no CUDA"):
        again(replace(config, device="cuda"), tmp_path)
