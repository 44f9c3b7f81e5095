from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from decouple.data import CorpusConfig
from decouple.data.token_files import write_tokens
from decouple.experiments.base_model import PROMPTS
from decouple.experiments.long_run import (
    ARMS,
    LongRunConfig,
    evaluation,
    expected_cells,
    reference,
    run,
    runner,
)
from decouple.experiments.long_run.cells import BASES, GENERATIONS
from decouple.experiments.long_run.evaluation import block_of
from decouple.experiments.long_run.observation import observe, tokens_of
from decouple.models.gpt2 import build_gpt2
from decouple.models.gpt2_config import BaseShape, parameter_count, parse_base

SHAPE = BaseShape(layers=3, width=8, heads=2, context=16, vocab_size=256)
SEEDS = [1000, 1001]
COLUMNS = [
    "document", "arm", "seed", "step", "layer", "vectors", "prompt", "text", "condition",
    "metric", "value",
]  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run in miniature, on a base with a token for each byte: quotes take three tokens."""
    folder = tmp_path_factory.mktemp("base")
    model = build_gpt2(SHAPE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.transformer.wte.weight.mul_(20)  # predictions that differ from place to place
    model.config.save_pretrained(folder)
    save_file(dict(model.named_parameters()), folder / "model.safetensors", {"format": "pt"})
    write_tokens(folder / "tokens.txt", [bytes([value]) for value in range(256)])
    return LongRunConfig(
        base=parse_base(str(folder)),
        layers=3,
        corpus=CorpusConfig(words=1500),
        blocks=(0, 1),
        epochs_a=2,
        epochs_b=4,
        every=2,
        batch=2,
        block=12,
        windows=6,
        rate_a=2e-2,
        model_rate=1e-2,
        vector_rate=2e-2,
        held_out_windows=30,
        components=3,
        generation_epochs=(0, 4),
        generation_tokens=5,
        group=2,
    )


@pytest.fixture(scope="module")
def tables(config, tmp_path_factory):
    """Tables of some arms, made when asked for and kept."""
    made = {}
    folder = tmp_path_factory.mktemp("scratch")

    def get(arm):
        if arm not in made:
            made[arm], status = run(
                ARMS[arm](config), SEEDS, arm=arm, scratch=folder, shared=folder
            )
            assert status == dict.fromkeys(SEEDS, "finished")
            assert not list(folder.glob("*.pt"))
        return made[arm]

    return get


def pick(table, metric, condition="trained", **coordinates):
    found = table[(table.metric == metric) & (table.condition == condition)]
    for name, value in coordinates.items():
        found = found[found[name] == value]
    return found


def values(table, metric, condition="trained", **coordinates):
    return pick(table, metric, condition, **coordinates).value.to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_every_cell_once_and_finite(tables, config, arm):
    table = tables(arm)
    assert list(table.columns) == COLUMNS
    assert not table.duplicated(COLUMNS[:-1]).any()
    assert np.isfinite(table.value[table.metric != "retention"]).all()
    counts = (table.groupby("metric").size() / len(SEEDS)).to_dict()
    assert counts == expected_cells(ARMS[arm](config))


def test_coordinates_are_where_they_belong(tables):
    table = tables("published")
    assert set(pick(table, "dark_matter").step) == {0, 2, 4}
    for basis in BASES:
        found = pick(table, "dark_matter", basis)
        assert set(found.layer) == {0, 1}
        assert set(found.vectors) == {"with", "without"}
    assert set(pick(table, "weight_delta_block").layer) == {-1, 0, 1, 2, 3}
    assert set(table[table.condition == "phase_a"].step) == {0}
    continued = table[table.metric == "continuation"]
    assert set(continued.condition) == set(GENERATIONS)
    assert len(set(continued.prompt)) == len(PROMPTS)
    assert set(continued.value) == {5}
    assert continued.text.map(str.isprintable).all()
    assert set(values(table, "parameters")) == {parameter_count(SHAPE)}
    assert set(values(table, "full_checkpoint_bytes")) == {12 * parameter_count(SHAPE)}
    assert set(values(table, "dark_matter_null")) == {1 - 3 / 8}
    assert (values(table, "lead_tokens") > 0).all()


def test_parameters_belong_to_their_blocks():
    assert block_of("model.transformer.wte.weight", 12) == -1
    assert block_of("model.transformer.wpe.weight", 12) == -1
    assert block_of("model.transformer.h.10.mlp.c_fc.bias", 12) == 10
    assert block_of("model.transformer.ln_f.weight", 12) == 12


def test_the_base_is_measured_first_and_has_no_vectors(tables):
    table = tables("published")
    for basis in BASES:
        both = [
            values(table, "dark_matter", basis, step=0, vectors=vectors)
            for vectors in ("with", "without")
        ]
        assert np.array_equal(*both)
    start = values(table, "held_out_loss", step=0)
    assert np.array_equal(start, values(table, "held_out_loss", "without_vectors", step=0))
    for metric in ("masked_loss", "low_entropy_loss"):
        ends = [
            [values(table, metric, how, step=step) for how in ("trained", "without_vectors")]
            for step in (0, 4)
        ]
        assert np.array_equal(*ends[0])
        assert (ends[1][0] != ends[1][1]).all()
    assert len(set(start)) == 1  # the same base for all seeds
    assert not values(table, "weight_delta", step=0).any()


def test_each_subspace_stays_what_it_was_of_the_base(tables):
    table = tables("published")
    start, end = (
        {basis: values(table, "dark_matter", basis, step=step, vectors="with") for basis in BASES}
        for step in (0, 4)
    )
    for basis in BASES:
        # No subspace of its size leaves less outside than the leading components themselves.
        assert (start["own_basis"] <= start[basis] + 1e-9).all()
        if basis != "own_basis":
            assert (abs(end["own_basis"] - end[basis]) > 1e-4).all()


def test_what_stands_first_in_a_window_counts_only_where_all_positions_are_asked_for():
    states = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    sunk = states.clone()
    sunk[..., 0, :] += 1e3
    assert torch.equal(tokens_of(sunk), tokens_of(states))
    assert tokens_of(states).shape == (2, 16, 3)
    assert torch.equal(tokens_of(sunk, first=0), sunk.flatten(1, 2))


def test_dark_matter_is_taken_with_and_without_the_first_positions(tables):
    table = tables("published")
    for step in (0, 4):
        both = [
            values(table, "dark_matter", basis, step=step, vectors="without")
            for basis in ("trained", "all_positions")
        ]
        assert (both[0] != both[1]).all()


def test_a_run_on_another_base_is_another_run(config, monkeypatch):
    def identity():
        return runner._identity(config, SEEDS, [np.zeros(3)])

    first = identity()
    assert identity() == first
    monkeypatch.setattr(runner, "base_fingerprint", lambda _: "other weights")
    assert identity() != first


def test_phase_a_leaves_the_model_and_moves_the_vectors(tables):
    table = tables("published")
    assert not values(table, "weight_delta", "phase_a").any()
    assert not values(table, "weight_delta_block", "phase_a").any()
    lengths = [values(table, "vector_norm", each, step=0) for each in ("trained", "phase_a")]
    assert (lengths[1] > 1.1 * lengths[0]).all()
    without = values(table, "dark_matter", "phase_a", vectors="without")
    np.testing.assert_allclose(
        without, values(table, "dark_matter", step=0, vectors="without"), rtol=1e-5
    )
    with_vectors = values(table, "dark_matter", "phase_a", vectors="with", layer=1)
    assert (abs(with_vectors - without[1::2]) > 1e-6).all()


def test_a_vector_cannot_change_the_ratio_of_its_own_first_layer(tables):
    table = tables("published")
    first, second = (
        abs(
            values(table, "dark_matter", step=4, layer=layer, vectors="with")
            - values(table, "dark_matter", step=4, layer=layer, vectors="without")
        )
        for layer in (0, 1)
    )
    assert (first < 1e-6).all()
    assert (second > 1e-5).all()


def test_retention_is_what_is_left_of_the_rise(tables):
    for arm in ("published", "zero_injection", "annealed"):
        table = tables(arm)
        start, with_vectors, without = (
            pick(table, "dark_matter", step=step, vectors=vectors).set_index(["seed", "layer"])
            for step, vectors in ((0, "without"), (4, "with"), (4, "without"))
        )
        expected = (without.value - start.value) / (with_vectors.value - start.value)
        found = pick(table, "retention", step=4).set_index(["seed", "layer"]).value
        np.testing.assert_allclose(found, expected[found.index], rtol=1e-12)
    assert (values(tables("zero_injection"), "retention") == 1).all()


def test_training_lowers_the_masked_loss_and_moves_every_block(tables):
    table = tables("published")
    assert (values(table, "masked_loss", step=4) < values(table, "masked_loss", step=0)).all()
    assert (values(table, "weight_delta_block", step=4) > 0).all()
    blocks = pick(table, "weight_delta_block", step=4).groupby("seed").value
    total = blocks.apply(lambda each: np.sqrt((each**2).sum())).to_numpy()
    np.testing.assert_allclose(total, values(table, "weight_delta", step=4), rtol=1e-6)


def test_certain_and_uncertain_positions_are_different_ones(tables):
    for arm in ("published", "unmasked"):
        for step in (0, 4):
            certain = values(tables(arm), "low_entropy_loss", step=step)
            assert (certain != values(tables(arm), "masked_loss", step=step)).all()


def test_without_updates_nothing_moves(tables):
    table = tables("no_updates")
    assert not values(table, "weight_delta").any()
    lengths = pick(table, "vector_norm").groupby(["seed", "layer"]).value
    assert lengths.min().equals(lengths.max())
    for metric in ("held_out_loss", "masked_loss"):
        after = values(table, metric, step=4)
        assert np.array_equal(after, values(table, metric, step=2))


def test_zero_injection_has_no_vectors_at_any_time(tables):
    table = tables("zero_injection")
    wide = pick(table, "dark_matter").pivot_table(
        index=["seed", "step", "layer"], columns="vectors", values="value"
    )
    assert wide["with"].equals(wide["without"])
    lengths = pick(table, "vector_norm").groupby(["seed", "layer"]).value
    assert lengths.min().equals(lengths.max())
    assert (values(table, "weight_delta", step=4) > 0).all()


def test_vectors_frozen_in_b_are_those_of_phase_a(tables):
    table = tables("vectors_frozen_in_b")
    after_a = values(table, "vector_norm", "phase_a")
    assert np.array_equal(after_a, values(table, "vector_norm", step=4))
    moved = tables("published")
    assert np.array_equal(after_a, values(moved, "vector_norm", "phase_a"))
    assert not np.array_equal(after_a, values(moved, "vector_norm", step=4))


def test_frozen_embeddings_do_not_move(tables):
    table = tables("embeddings_frozen")
    assert not values(table, "weight_delta_block", layer=-1).any()
    assert (values(table, "weight_delta_block", layer=0, step=4) > 0).all()


def test_the_annealed_arm_ends_without_vectors(tables):
    table = tables("annealed")
    ends = [
        values(table, "dark_matter", step=4, vectors=vectors) for vectors in ("with", "without")
    ]
    assert np.array_equal(*ends)
    midway = [
        values(table, "dark_matter", step=2, layer=1, vectors=vectors)
        for vectors in ("with", "without")
    ]
    assert not np.array_equal(*midway)


def test_a_low_rate_moves_less(tables):
    slow, fast = (
        values(tables(arm), "weight_delta", step=4) for arm in ("low_rate_cosine", "published")
    )
    assert (slow < 0.5 * fast).all()


@pytest.mark.parametrize("arm", ["unmasked", "random_mask", "random_labels", "ascii_corpus"])
def test_what_the_loss_is_taken_on_leads_elsewhere(tables, arm):
    ends = [values(tables(each), "held_out_loss", step=4) for each in (arm, "published")]
    assert (ends[0] != ends[1]).all()
    starts = [values(tables(each), "held_out_loss", step=0) for each in (arm, "published")]
    assert np.array_equal(*starts)  # the same held-out text in every arm


def test_arms_start_from_the_same_vectors(tables):
    lengths = [values(tables(arm), "vector_norm", step=0) for arm in ("published", "unmasked")]
    assert np.array_equal(*lengths)


def test_checkpoints_are_smaller_than_full_ones(tables):
    table = tables("published")
    full = values(table, "full_checkpoint_bytes")[0]
    assert (values(table, "checkpoint_bytes", "phase_a") < 0.02 * full).all()
    # The vectors and the counters of steps are not in the full size.
    assert (values(table, "checkpoint_bytes") < full + 400).all()
    assert values(table, "full_checkpoint_gigabytes") == pytest.approx(2 * full / 1e9)


def test_the_same_seeds_give_the_same_bits(tables, config, tmp_path):
    again, _ = run(config, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    pd.testing.assert_frame_equal(again, tables("published"), check_exact=True)


def test_a_seed_alone_is_the_seed_in_a_group(tables, config, tmp_path):
    alone, _ = run(config, [1001], arm="published", scratch=tmp_path, shared=tmp_path)
    table = tables("published")
    grouped = table[table.seed == 1001].reset_index(drop=True)
    for metric in ("dark_matter", "masked_loss", "weight_delta", "vector_norm"):
        own, other = (each[each.metric == metric].value for each in (alone, grouped))
        np.testing.assert_allclose(own, other, rtol=2e-2, atol=1e-3)


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", [2, 9, 15])
def test_a_killed_run_ends_with_the_same_table(tables, config, tmp_path, at):
    def kill(done, total, _note):
        assert total == 18
        if done == at:
            raise KilledError

    with pytest.raises(KilledError):
        run(config, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path, progress=kill)
    assert len(list(tmp_path.glob("*.pt"))) == int(at > 6)
    seen = []
    resumed, _ = run(
        config,
        SEEDS,
        arm="published",
        scratch=tmp_path,
        shared=tmp_path,
        progress=lambda *call: seen.append(call[0]),
    )
    assert seen[0] == (at - 1) // 6 * 6 + 1
    pd.testing.assert_frame_equal(resumed, tables("published"), check_exact=True)
    assert not list(tmp_path.glob("*.pt"))


def test_divergence_is_a_status_and_keeps_the_rows_before_it(config, tmp_path):
    wild = replace(config, model_rate=1e38, generation_epochs=())
    table, status = run(wild, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    assert all(text.startswith("diverged at step ") for text in status.values())
    assert set(table.step) == {0}
    assert np.isfinite(table.value).all()


def test_a_seed_that_one_window_overflows_leaves_the_others_as_they_are(
    tables, config, tmp_path, monkeypatch
):
    whole = tables("published")
    rows_of, seen_of = evaluation.Evaluation.rows, evaluation.Evaluation._held_out
    moments = []

    def rows(self, moment, parameters):
        moments.append(moment)
        return rows_of(self, moment, parameters)

    def overflowing(self, parameters, scale):
        seen = seen_of(self, parameters, scale)
        if moments[-1].phase == 1 and moments[-1].epoch == 4:
            for each in (seen.loss, seen.final, *seen.states):
                each[0, 3, 5] = torch.nan  # first seed, fourth window, sixth position
        return seen

    monkeypatch.setattr(evaluation.Evaluation, "rows", rows)
    monkeypatch.setattr(evaluation.Evaluation, "_held_out", overflowing)
    table, status = run(config, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    assert status == {1000: "diverged: held_out_loss (trained, step 4) is nan", 1001: "finished"}
    lost = table[table.seed == 1000]
    assert np.isfinite(lost.value[lost.metric != "retention"]).all()
    assert "dark_matter" not in set(lost.metric[lost.step == 4])
    own, other = (each[each.seed == 1001].reset_index(drop=True) for each in (table, whole))
    pd.testing.assert_frame_equal(own, other, check_exact=True)


def test_a_text_without_split_characters_has_no_probability_of_them(config, tmp_path):
    text = tmp_path / "plain.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log. " * 80)
    plain = replace(
        config, corpus=CorpusConfig(path=str(text)), epochs_a=0, epochs_b=0, generation_epochs=()
    )
    table, status = run(plain, SEEDS, arm="published", scratch=tmp_path, shared=tmp_path)
    assert status == dict.fromkeys(SEEDS, "finished")
    assert not values(table, "lead_tokens").any()
    assert np.isnan(values(table, "continuation_probability")).all()
    assert (table.groupby("metric").size() / 2).to_dict() == expected_cells(plain)


@pytest.mark.parametrize("seeds", [[], [-1], [3, 3]])
def test_impossible_seeds_are_refused(config, tmp_path, seeds):
    with pytest.raises(ValueError, match="seeds must be distinct numbers from 0 up, at least one"):
        run(config, seeds, arm="published", scratch=tmp_path, shared=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 4}, "layers must be those of the base, 3, got 4"),
        ({"block": 17}, "block must be at most the context of the base, 16, got 17"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(config, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(replace(config, **changes), SEEDS, arm="a", scratch=tmp_path, shared=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(config, tmp_path):
    with pytest.raises(RuntimeError, match="device='cuda' is configured, but torch finds no CUDA"):
        run(replace(config, device="cuda"), SEEDS, arm="a", scratch=tmp_path, shared=tmp_path)


def test_positions_are_ranked_by_the_base_model_and_by_no_other(config, tmp_path, monkeypatch):
    asked = []

    def watched(*arguments, with_entropy=False, **options):
        asked.append(with_entropy)
        return observe(*arguments, with_entropy=with_entropy, **options)

    for module in (evaluation, reference):
        monkeypatch.setattr(module, "observe", watched)
    monkeypatch.setattr(reference, "_known", {})
    short = replace(config, generation_epochs=())
    for arm in ("published", "unmasked"):
        run(ARMS[arm](short), SEEDS, arm=arm, scratch=tmp_path, shared=tmp_path)
    assert asked[:2] == [True, True]  # training and held-out windows, for both arms
    assert not any(asked[2:])
