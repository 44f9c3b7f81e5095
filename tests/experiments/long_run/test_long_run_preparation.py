from dataclasses import replace

import numpy as np
import pytest
import torch

from decouple.data import CorpusConfig
from decouple.experiments.long_run import ARMS, PRESETS
from decouple.experiments.long_run.preparation import (
    initial_vectors,
    measured_windows,
    prepare,
    to_ascii,
    training_labels,
    training_mask,
    window_order,
)
from decouple.experiments.long_run.reference import rank_positions
from decouple.experiments.long_run.runner import Batches
from decouple.metrics.text import lead_positions

CONFIG = replace(
    PRESETS["smoke"](),
    corpus=CorpusConfig(words=4000),
    windows=12,
    epochs_a=1,
    epochs_b=3,
    generation_epochs=(),
)
SEEDS = [1000, 1001]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(CONFIG, tmp_path_factory.mktemp("shared"))


def leads(data, windows):
    tokens = [data.tokenizer.decode_bytes([token]) for token in range(data.tokenizer.vocab_size)]
    return sum(len(lead_positions(tokens, window)) for window in windows)


def test_windows_are_parts_of_the_text_and_the_held_out_ones_its_end(data):
    tokens = data.tokenizer.encode(data.text)
    assert data.train.shape == (12, 33)
    assert data.held_out.shape == (32, 33)
    end = int(len(tokens) * 0.1)
    for windows, part in ((data.train, tokens[:-end]), (data.held_out, tokens[-end:])):
        known = {tuple(part[i : i + 33]) for i in range(len(part) - 32)}
        assert {tuple(window) for window in windows} <= known


def test_all_of_the_text_is_an_epoch_by_default(data, tmp_path):
    whole = prepare(replace(CONFIG, windows=None), tmp_path)
    tokens = len(data.tokenizer.encode(data.text))
    assert len(whole.train) == (tokens - int(tokens * 0.1) - 1) // 32
    starts = {tuple(window[:4]) for window in whole.train}
    assert len(starts) > 0.95 * len(whole.train)


def test_the_ascii_arm_trains_on_ascii_and_is_measured_on_the_same_text(data, tmp_path):
    plain = prepare(ARMS["ascii_corpus"](CONFIG), tmp_path)
    assert np.array_equal(plain.held_out, data.held_out)
    texts = [plain.tokenizer.decode(window) for window in plain.train]
    assert all(text.isascii() for text in texts)
    assert leads(plain, plain.train) == 0
    whole = prepare(replace(CONFIG, windows=None), tmp_path)
    assert any(not data.tokenizer.decode(window).isascii() for window in whole.train)


def test_ascii_keeps_the_words_and_spells_the_rest():
    assert to_ascii("“Señor’s—café…” ﬁn 中") == '"Senor\'s--cafe..." fin '
    assert to_ascii("plain, 'text'\n") == "plain, 'text'\n"


def test_a_text_too_short_is_refused(tmp_path):
    with pytest.raises(ValueError, match="corpus must hold 5000 training windows of block=32"):
        prepare(replace(CONFIG, windows=5000), tmp_path)


def test_epochs_are_permutations_of_a_seed_s_own():
    order = window_order(CONFIG, 13, SEEDS)
    assert order.shape == (2, 2, 3, 3, 4)
    for epoch in order.reshape(-1, 12):
        assert len(set(epoch)) == 12
        assert set(epoch) <= set(range(13))
    assert not np.array_equal(order[:, 0], order[:, 1])
    assert not np.array_equal(order[:, :, 0], order[:, :, 1])
    assert np.array_equal(order[:, :1], window_order(CONFIG, 13, SEEDS[:1]))
    # Arms without phase A see phase B in the same order.
    assert np.array_equal(order, window_order(replace(CONFIG, epochs_a=0), 13, SEEDS))


def test_the_mask_is_the_most_uncertain_tenth_of_all_positions():
    entropy = torch.from_numpy(np.random.default_rng(0).permutation(200.0 * np.arange(200)))
    positions = rank_positions(entropy.reshape(4, 50), 0.1)
    assert positions.uncertain.sum() == 20
    assert entropy.reshape(4, 50)[positions.uncertain].min() == 200 * 180
    assert positions.certain.sum() == 100
    assert entropy.reshape(4, 50)[positions.certain].max() == 200 * 99
    assert not (positions.uncertain & positions.certain).any()


def test_ties_go_to_the_first():
    positions = rank_positions(torch.zeros(2, 5), 0.3)
    assert positions.uncertain.flatten().nonzero().flatten().tolist() == [0, 1, 2]
    assert positions.certain.flatten().nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_masks_of_the_arms():
    uncertain = np.zeros((6, 10), dtype=bool)
    uncertain[:, :2] = True
    assert np.array_equal(training_mask(CONFIG, uncertain, SEEDS)[0], uncertain)
    assert training_mask(ARMS["unmasked"](CONFIG), uncertain, SEEDS).all()
    first, second = training_mask(ARMS["random_mask"](CONFIG), uncertain, SEEDS)
    assert first.sum() == second.sum() == uncertain.sum()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, uncertain)


def test_random_labels_are_the_text_s_own_tokens_dealt_out_anew():
    train = np.random.default_rng(0).integers(50, size=(6, 11))
    assert np.array_equal(training_labels(CONFIG, train, SEEDS)[0], train[:, 1:])
    dealt = training_labels(ARMS["random_labels"](CONFIG), train, SEEDS)
    for own in dealt:
        assert sorted(own.ravel()) == sorted(train[:, 1:].ravel())
    assert (dealt[0] != dealt[1]).mean() > 0.8
    assert (dealt[0] != train[:, 1:]).mean() > 0.8


def test_vectors_start_from_a_seed_s_own_draw():
    vectors = initial_vectors(CONFIG, 64, SEEDS)
    assert vectors.shape == (2, 3, 64)
    assert vectors.std() == pytest.approx(0.02, rel=0.1)
    assert np.array_equal(vectors[1:], initial_vectors(CONFIG, 64, SEEDS[1:]))
    assert not np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("shared", [True, False])
def test_a_batch_holds_the_positions_that_count_and_their_labels(shared):
    generator = np.random.default_rng(0)
    mask = generator.random((1 if shared else 2, 6, 10)) < 0.3
    mask[:, 2] = False
    labels = generator.integers(50, size=(2, 6, 10))
    train = generator.integers(50, size=(6, 11))
    order = window_order(replace(CONFIG, batch=2), 6, SEEDS)
    inputs, positions, chosen, weights = Batches(order, train, mask, labels, "cpu")(1, 2)
    for seed in range(2):
        for step in range(3):
            for row, window in enumerate(order[1, seed, 2, step]):
                at = (seed, step, row)
                assert np.array_equal(inputs[at], train[window, :-1])
                counted = weights[at] > 0
                own = mask[0 if shared else seed, window]
                assert positions[at][counted].tolist() == own.nonzero()[0].tolist()
                assert np.array_equal(chosen[at][counted], labels[seed, window][own])


def test_measured_windows_are_spread_over_all():
    assert measured_windows(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert measured_windows(9, 3).tolist() == [0, 4, 8]
    assert measured_windows(9, 1).tolist() == [0]
