"""House rules for claims, and the transcribed tables against each other."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from decouple.claim.experiment import locate
from decouple.claim.figures import Figure
from decouple.claim.history import accepted_record, read_history
from decouple.claim.ledger import read_ledger
from decouple.claim.load import load_claims
from decouple.claim.published import load_table
from decouple.claim.spec import split_arm

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "fixtures" / "published"
FILES = sorted((ROOT / "claims").glob("test_*.py"))
CLAIMS = [claim for file in FILES for claim in load_claims(file)]
STEMS = [file.stem.removeprefix("test_") for file in FILES]


def test_there_are_claims_and_each_id_stands_once():
    ids = [claim.id for claim in CLAIMS]
    assert ids
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_holds_the_claims_of_its_document_and_no_others(file):
    assert {claim.stem for claim in load_claims(file)} == {file.stem.removeprefix("test_")}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_names_arms_and_tables_that_there_are(claim):
    arms = [*claim.arms, *(arm for control in claim.controls for arm in control.arms)]
    assert {split_arm(arm)[0] for arm in arms} <= set(locate(claim.stem).module.ARMS)
    for table in claim.source.tables:
        assert (TABLES / claim.stem / f"{table}.csv").is_file()
    assert claim.controls or claim.kind == "exact"


@pytest.mark.parametrize("stem", STEMS)
def test_judging_and_calibration_seeds_never_meet(stem):
    experiment = locate(stem).module
    assert set(experiment.CALIBRATION_SEEDS) <= set(experiment.PRESETS) == set(experiment.SEEDS)
    controls = [each for claim in CLAIMS if claim.stem == stem for each in claim.controls]
    blocks = 1 + max(max(each.seeds_of) for each in controls)
    for preset, seeds in experiment.CALIBRATION_SEEDS.items():
        group = experiment.group_size(experiment.PRESETS[preset]())
        judging = blocks * (experiment.SEEDS[preset] + group)
        assert min(seeds) >= 1000 > judging


@pytest.mark.parametrize("stem", STEMS)
def test_an_experiment_names_a_preset_for_each_tier(stem):
    experiment = locate(stem).module
    assert stem == experiment.STEM
    assert experiment.TIERS.keys() == {"smoke", "gpu"}
    assert set(experiment.TIERS.values()) <= set(experiment.PRESETS)


def test_no_record_outlives_its_claim():
    judged = {(claim.id, tier) for claim in CLAIMS for tier in claim.tiers}
    recorded = {(record.claim, record.tier) for record in read_ledger(ROOT / "fixtures" / "ledger")}
    assert recorded <= judged


def test_the_history_of_each_record_ends_with_what_it_says_now():
    past = read_history(ROOT / "fixtures" / "ledger")
    for record in read_ledger(ROOT / "fixtures" / "ledger"):
        now = accepted_record(record, on=date(2000, 1, 1))
        assert past[record.key][-1].reading == now.reading


def test_every_table_is_read_by_a_claim():
    read = {(claim.stem, table) for claim in CLAIMS for table in claim.source.tables}
    assert read == {(path.parent.name, path.stem) for path in TABLES.glob("*/*.csv")}


def test_usage_sums_to_one_within_its_rounding():
    rows = pd.concat(
        [load_table(TABLES / "routing_collapse" / f"expert_usage_layer{n}.csv") for n in (0, 2, 3)]
    )
    for _, cells in rows.groupby(["step", "layer"]):
        assert Figure(cells["low"].sum(), cells["high"].sum()).overlaps(Figure.exactly(1.0))


def test_the_list_of_dominant_experts_agrees_with_the_usage_tables():
    listed = load_table(TABLES / "routing_collapse" / "dominant_thread.csv").set_index("layer")
    for layer in (0, 2, 3):
        table = load_table(TABLES / "routing_collapse" / f"expert_usage_layer{layer}.csv")
        last = table[table["step"] == 12]
        top = last.loc[last["low"].idxmax()]
        assert top["expert"] == listed.loc[layer, "expert"]
        printed = Figure(listed.loc[layer, "low"], listed.loc[layer, "high"])
        assert printed.overlaps(Figure(top["low"], top["high"]))
