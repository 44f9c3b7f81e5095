import numpy as np
import pytest
import torch
import torch.nn.functional as F

from decouple.experiments.sequential_cycles.cells import CENTRINGS, POSITIONS, TARGETS
from decouple.experiments.sequential_cycles.evaluation import (
    COORDINATES,
    EMBEDDING,
    HeldOut,
    Updates,
    as_rows,
    merge,
    routine_rows,
)
from decouple.metrics.calibration import confidence_bins, expected_calibration_error
from decouple.metrics.language import entropy, mean_prediction
from decouple.models.gpt2 import build_gpt2, final_states
from decouple.models.gpt2_config import BaseShape
from decouple.training.ensemble import stack_parameters

SHAPE = BaseShape(layers=2, width=8, heads=2, context=9, vocab_size=23)
WINDOWS = torch.randint(23, (7, 9), generator=torch.Generator().manual_seed(9))
BINS = 6


def make(seed):
    generator = torch.Generator().manual_seed(seed)
    model = build_gpt2(SHAPE, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def models():
    return [make(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def measured(models):
    # Seven windows are not a multiple of the batch.
    held_out = HeldOut(models[0], WINDOWS, batch=3, bins=BINS)
    return held_out.measure(stack_parameters(models))


def close(a, b):
    return float(a) == pytest.approx(float(b), abs=1e-5)


@torch.no_grad()
def test_micro_batches_of_all_seeds_measure_what_one_model_shows(models, measured):
    following = WINDOWS[:, 1:]
    for seed, model in enumerate(models):
        logits = model(WINDOWS[:, :-1]).logits
        shares = logits.softmax(-1)
        loss = F.cross_entropy(logits.flatten(0, 1), following.flatten())
        assert close(measured.loss[seed], loss)
        assert close(measured.output_entropy[seed], entropy(shares).mean())
        assert close(measured.head_entropy[seed], entropy(mean_prediction(logits)))
        error = expected_calibration_error(confidence_bins(logits, following, BINS))
        assert close(measured.calibration_error[seed], error)


@torch.no_grad()
def test_each_choice_of_token_place_and_centring_is_what_it_is_called(models, measured):
    for seed, model in enumerate(models):
        inputs, following = WINDOWS[:, :-1], WINDOWS[:, 1:]
        logits = model(inputs).logits
        states = final_states(model, inputs)
        tokens = {"next": following, "predicted": logits.argmax(-1), "input": inputs}
        places = {"before_ln_f": states.before, "after_ln_f": states.after}
        embedding = model.transformer.wte.weight
        found = set()
        for t, target in enumerate(TARGETS):
            for c, centring in enumerate(CENTRINGS):
                for p, position in enumerate(POSITIONS):
                    rows = embedding[tokens[target]]
                    if centring == "centred":
                        rows = rows - embedding.mean(0)
                    cosine = F.cosine_similarity(places[position], rows, dim=-1).mean()
                    assert close(measured.alignment[seed, t, c, p], cosine)
                    found.add(round(cosine.item(), 6))
        assert len(found) == 12


def test_the_default_is_the_next_token_after_the_last_norm(measured):
    rows = [
        dict(zip(("step", "metric", *COORDINATES, "value"), row, strict=True))
        for row in routine_rows(measured, 4, torch.tensor([1.0, 2.0]), {"all": torch.ones(2)})[1]
    ]
    by_metric = {row["metric"]: row for row in rows if row["metric"] != "alignment_choice"}
    choices = {
        (row["target"], row["centring"], row["position"]): row["value"]
        for row in rows
        if row["metric"] == "alignment_choice"
    }
    assert len(choices) == 12
    for metric, centring in (("alignment", "raw"), ("centred_alignment", "centred")):
        assert by_metric[metric]["value"] == choices["next", centring, "after_ln_f"]
        assert by_metric[metric]["target"] is None
    assert by_metric["training_loss"]["value"] == 2.0
    assert by_metric["update_cosine"]["part"] == "all"
    assert {row["step"] for row in rows} == {4}


def test_rows_of_seeds_are_joined_in_order():
    joined = merge([as_rows("a", torch.zeros(2), step=0), as_rows("b", torch.ones(2), step=0)])
    assert [[row[1] for row in seed] for seed in joined] == [["a", "b"], ["a", "b"]]
    assert [seed[1][-1] for seed in joined] == [1.0, 1.0]


def test_updates_of_successive_cycles_are_compared_part_by_part():
    rng = np.random.default_rng(0)
    path = rng.normal(size=(4, 2, 5))  # (cycles + 1, S, parameters of both tensors)
    memory = {}
    updates = Updates({"all": ("head", "body"), "head": ("head",)}, memory)
    points = [{"head": point[:, :2], "body": point[:, 2:]} for point in torch.from_numpy(path)]
    found = [updates.cosines(point) for point in points]
    assert found[:2] == [{}, {}]
    moved = np.diff(path, axis=0)
    for cycle in (2, 3):
        for part, columns in (("all", slice(None)), ("head", slice(2))):
            a, b = moved[cycle - 1][:, columns], moved[cycle - 2][:, columns]
            cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            np.testing.assert_allclose(found[cycle][part], cosine, atol=1e-12)


def test_updates_go_on_from_their_memory():
    generator = torch.Generator().manual_seed(0)
    points = [{"a": torch.randn(2, 3, generator=generator)} for _ in range(4)]
    whole = Updates({"all": ("a",)}, {})
    for point in points[:3]:
        whole.cosines(point)
    resumed = Updates({"all": ("a",)}, dict(whole.memory))
    assert torch.equal(resumed.cosines(points[3])["all"], whole.cosines(points[3])["all"])


def test_the_embedding_is_the_tied_one(models):
    assert EMBEDDING in dict(models[0].named_parameters())
