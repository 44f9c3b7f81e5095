import math
from dataclasses import replace

import pytest

from decouple.claim.bands import at_least
from decouple.claim.ledger import propose, write_ledger
from decouple.claim.runner import Group
from decouple.claim.session import Fate, JudgingSession
from decouple.claim.spec import Source, control, null
from decouple.claim.verdict import Verdict


@pytest.fixture
def session(toy):
    return JudgingSession(runner=toy.runner(), fixtures=toy.folder / "fixtures")


def test_judging_makes_a_record_with_its_provenance(session, claim_of):
    record = session.judge(claim_of(), "smoke", "pytest x")
    assert record.verdict == "SUPPORTED"
    assert record.command == "pytest x"
    assert record.setting.preset == "small"
    assert (record.setting.base_model, record.setting.corpus) == ("none", "toy text")
    found = record.provenance
    assert found.seeds == (0, 1, 2, 3, 4)
    assert found.calibration == (1000, 1001)
    assert found.device == "cpu"
    assert found.code
    assert list(found.libraries) == ["numpy"]
    assert found.labels == ()


def test_the_backlog_holds_each_group_once_in_the_order_of_need(session, claim_of):
    single = claim_of()
    pair = claim_of(
        "differs",
        predicate=lambda a, b: (a, b),
        arms=("published", "doubtful:cut"),
        controls=[null("published"), control("high", "balanced", why="w")],
    )
    unknown = claim_of("unknown", arms=("melted",))
    wanted = [(single, "published"), (single, "smoke"), (unknown, "smoke"), (pair, "smoke")]
    assert session.backlog(wanted) == [
        Group("toy", "small", arm, seeds)
        for arm, seeds in (
            ("published", (0, 1, 2, 3, 4)),
            ("balanced", (0, 1, 2, 3, 4)),
            ("doubtful", (0, 1, 2, 3, 4)),
            ("published", (5, 6, 7, 8, 9)),
            ("high", (0, 1, 2, 3, 4)),
        )
    ]


def test_judging_trains_the_backlog_and_no_more(session, toy, claim_of):
    claim = claim_of(
        predicate=lambda a, b: a.cell("share", step="last") - b.cell("share", step="last"),
        arms=("published", "balanced"),
        controls=[null("published")],
        band=at_least(0.3, because="half of the published change"),
    )
    planned = session.backlog([(claim, "smoke")])
    assert session.judge(claim, "smoke", "").verdict == "SUPPORTED"
    assert toy.trainings() == [f"{g.arm} {g.seeds[0]}-{g.seeds[-1]}" for g in planned]


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 7, 3), (4, 9, 14, 19)])
def test_disjoint_seeds_are_disjoint(session, claim_of, seeds):
    session.seeds = seeds
    three = claim_of(
        predicate=lambda a, b, c: a - b - c,
        arms=("published",) * 3,
        controls=[null(*["published"] * 3)],
    )
    blocks = session._seeds(three, "small")
    assert blocks[0] == seeds
    assert [len(block) for block in blocks] == [len(seeds)] * 3
    # Nor is a group shared: what is trained together is not independent of the group's size.
    groups = [seed // 5 for block in blocks for seed in block]
    assert sum(len({seed // 5 for seed in block}) for block in blocks) == len(set(groups))
    assert session._seeds(claim_of(), "small") == [seeds], "no more than is asked for"


def test_a_figure_is_judged_on_the_documents_own_text_only(session, claim_of):
    claim = claim_of(kind="figure")
    record = session.judge(claim, "smoke", "")
    assert record.verdict == "UNRUN"
    assert record.reason == "a figure of the document's own data, which are not at hand"


def test_published_tables_judge_and_their_absence_is_an_error(session, toy, claim_of):
    claim = claim_of(source=Source(section="Results", figure="0.93", tables=("shares",)))
    record = session.judge(claim, "published", "")
    assert record.verdict == "ERROR"
    assert "MissingTableError: table must be one of none" in record.reason
    folder = toy.folder / "fixtures" / "published" / "toy"
    folder.mkdir(parents=True)
    (folder / "shares.csv").write_text("# source: R\nmetric,step,value\nshare,3,0.93\n")
    record = session.judge(claim, "published", "")
    assert record.verdict == "CONSISTENT"
    assert record.setting.preset == "document"
    (folder / "shares.csv").write_text("# source: R\nmetric,step,value\nshare,3,\n")
    assert session.judge(claim, "published", "").verdict == "ERROR"


def test_notes_of_the_store_go_to_the_claim_that_met_them(toy, claim_of):
    notes = []
    session = JudgingSession(runner=toy.runner(warn=notes.append), fixtures=toy.folder, notes=notes)
    for arm in ("high", "balanced"):
        notes.append(f"damaged {arm}")
        record = session.judge(claim_of(arms=(arm,)), "smoke", "")
        assert record.provenance.labels == (f"damaged {arm}",)
    assert session.judge(claim_of(), "smoke", "").provenance.labels == ()


ALL = [str(verdict) for verdict in Verdict]


@pytest.mark.parametrize("verdict", ALL)
def test_without_a_record_the_plain_verdict_decides(session, record_of, verdict):
    fate = {"SUPPORTED": Fate.PASS, "CONSISTENT": Fate.PASS, "UNRUN": Fate.SKIP}
    assert session.decide(record_of(verdict))[0] is fate.get(verdict, Fate.FAIL)
    session.strict = True
    fate["UNRUN"] = Fate.FAIL
    assert session.decide(record_of(verdict))[0] is fate.get(verdict, Fate.FAIL)


# Recorded down the side, measured along the top: Pass, eXpected failure, Weakened, Skip, Fail.
FATES = """
             SUP REF INC VAC ERR UNR
SUPPORTED     P   F   W   F   F   S
REFUTED       F   X   W   F   F   S
INCONCLUSIVE  P   W   X   W   F   S
VACUOUS       F   F   W   X   F   S
"""


@pytest.mark.parametrize(
    ("recorded", "measured", "letter"),
    [
        (recorded, measured, letter)
        for recorded, *letters in map(str.split, FATES.strip().splitlines()[1:])
        for measured, letter in zip(ALL[:6], letters, strict=True)
    ],
)
def test_the_record_decides_what_a_verdict_means(session, record_of, recorded, measured, letter):
    before, after = record_of(recorded), record_of(measured)
    session.ledger = {before.key: before}
    fates = {
        "P": Fate.PASS,
        "X": Fate.EXPECTED,
        "W": Fate.WEAKENED,
        "S": Fate.SKIP,
        "F": Fate.FAIL,
    }
    fate, text = session.decide(after)
    assert fate is fates[letter]
    assert after.reason in text
    session.strict = True
    strict = Fate.FAIL if letter in "WS" else fates[letter]
    assert session.decide(after)[0] is strict


def test_a_record_of_another_setting_is_no_record(session, record_of):
    before = record_of("REFUTED")
    other = replace(before, setting=replace(before.setting, corpus="novel"))
    session.ledger = {before.key: before}
    assert session.decide(other)[0] is Fate.FAIL


def test_seeds_that_are_no_numbers_fail_in_words(session, record_of):
    before = record_of()
    session.ledger = {before.key: before}
    broken = record_of("ERROR", values=dict.fromkeys(before.values, math.nan), reason="no number")
    fate, text = session.decide(broken)
    assert fate is Fate.FAIL
    assert text == "broken: toy/holds [smoke] SUPPORTED → ERROR; no number"


def test_the_ledger_is_read_unless_asked_not_to(toy, record_of):
    write_ledger(toy.folder / "ledger", [], propose([], [record_of()]))
    session = JudgingSession.with_ledger(toy.runner(), toy.folder, strict=True, seeds=(1, 2, 3))
    assert list(session.ledger) == [record_of().key]
    assert session.strict
    assert session.seeds == (1, 2, 3)
    assert JudgingSession.with_ledger(toy.runner(), toy.folder, use_ledger=False).ledger == {}
