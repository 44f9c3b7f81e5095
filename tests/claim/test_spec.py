import pytest

from decouple.claim.bands import at_least
from decouple.claim.evidence import MissingCellError
from decouple.claim.spec import Claim, Control, Source, claim, control, null, split_arm, view

BAND = at_least(0.8, because="half of the published change")
SMALLER = at_least(0.7, because="the small run goes less far")
CONTROLS = [control("balanced", why="nothing pulls")]


def made(id="toy/holds", statement="It holds.", *, predicate=lambda run: run, **parts):
    parts = {"source": Source(section="Results"), "band": BAND, "controls": CONTROLS, **parts}
    return claim(id, statement, **parts)(predicate)


def test_the_decorator_turns_a_predicate_into_a_claim():
    def predicate(run):
        return run

    found = made(predicate=predicate)
    assert isinstance(found, Claim)
    assert found.predicate is predicate
    assert (found.stem, found.name) == ("toy", "holds")
    assert found.arms == ("published",)
    assert found.controls == tuple(CONTROLS)


@pytest.mark.parametrize(
    ("parts", "tiers"),
    [
        ({}, ("gpu",)),
        ({"smoke": True}, ("smoke", "gpu")),
        ({"source": Source(section="Results", tables=("shares",))}, ("published", "gpu")),
        (
            {"source": Source(section="Results", tables=("shares",)), "smoke": SMALLER},
            ("published", "smoke", "gpu"),
        ),
        ({"source": Source(section="R", tables=("shares",), transcribed=True)}, ("gpu",)),
    ],
)
def test_a_claim_has_the_tiers_that_can_speak_to_it(parts, tiers):
    assert made(**parts).tiers == tiers


def test_each_tier_has_its_band():
    source = Source(section="Results", tables=("shares",))
    found = made(source=source, smoke=SMALLER)
    assert found.bands == {"published": BAND, "smoke": SMALLER, "gpu": BAND}
    found = made(source=source, smoke=True, published=SMALLER)
    assert found.bands == {"published": SMALLER, "smoke": BAND, "gpu": BAND}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"id": "holds"}, "id must read <stem>/<name-in-lower-case>, .*got 'holds'"),
        ({"id": "toy/Holds"}, "got 'toy/Holds'"),
        ({"id": "toy/holds_it"}, "got 'toy/holds_it'"),
        ({"statement": " "}, "toy/holds: statement must say the finding in words"),
        ({"controls": []}, "toy/holds: a claim of kind shape must name a control"),
        ({"controls": [], "kind": "figure"}, "a claim of kind figure must name a control"),
        ({"kind": "exact"}, "toy/holds: an exact claim is arithmetic and has no controls"),
        ({"controls": [null("published")]}, "control published | published .* must have 1 arms"),
        ({"arms": ()}, "arms must be a tuple of one arm or more, got"),
        ({"arms": "published"}, "arms must be a tuple of one arm or more, got 'published'"),
        ({"arms": ("a:b:c",)}, "arm must read 'arm' or 'arm:condition', got 'a:b:c'"),
        ({"arms": ("a b",)}, "got 'a b'"),
    ],
)
def test_a_claim_that_contradicts_itself_is_refused(parts, words):
    with pytest.raises(ValueError, match=words):
        made(**parts)


def test_only_arithmetic_has_no_controls():
    assert made(kind="exact", controls=[]).controls == ()


def test_controls_know_their_name_and_refuse_a_margin_that_is_none():
    assert control("balanced", why="w").name == "balanced"
    assert control("a", "b:cut", why="w").name == "a | b:cut"
    assert null("a").name == "a | a (disjoint seeds)"
    assert null("a", "b", "c").seeds_of == (0, 1, 2)
    assert null("a", "b", "a", "b", blocks=(0, 0, 1, 1)).seeds_of == (0, 0, 1, 1)
    assert control("a", "a", why="w").seeds_of == (0, 0)
    for blocks, words in (
        ((0,), "be a number from 0 for each of 2 arms, got "),
        ((0, -1), "be a number from 0 for each of 2 arms, got "),
        ((1, 1), "tell equal arms apart, got "),
    ):
        with pytest.raises(ValueError, match=f"blocks must {words}"):
            null("a", blocks=blocks)
    for margin in (0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="margin must be > 0 or None, got"):
            Control(arms=("balanced",), why="w", margin=margin)


def test_a_source_refuses_a_figure_that_is_no_number():
    assert Source(section="Results", figure="79%").printed.middle == pytest.approx(0.79)
    assert Source(section="Results").printed is None
    with pytest.raises(ValueError, match=r"text must be a number .* got 'most of it'"):
        Source(section="Results", figure="most of it")


def test_a_reference_names_an_arm_and_perhaps_a_condition():
    assert split_arm("published") == ("published", None)
    assert split_arm("published:without_expert") == ("published", "without_expert")

    class FakeRun:
        def under(self, condition):
            if condition != "cut":
                raise MissingCellError(condition)
            return "the run when cut"

    run = FakeRun()
    assert view(run, "published") is run
    assert view(run, "published:cut") == "the run when cut"
    with pytest.raises(MissingCellError):
        view(run, "published:other")
