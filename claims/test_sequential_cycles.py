"""Document `sequential_cycles`: GPT-2 under twelve sequential updates, whole or with a frozen head.

Every band was written down before the seeds that judge it were run. Where the document states a
threshold it is used; else half of the published change from baseline, or a fifth of a quantity that
is said not to change.

The document leaves some quantities open. *Alignment* is here the mean cosine of a state after the
final LayerNorm and the raw embedding of the token that follows; evidence holds the other choices of
token (predicted, read), of place (before the LayerNorm) and of centring as `alignment_choice`. The
raw cosine is no property of the function that a model computes: see sign-of-alignment-is-a-gauge.
*Better calibrated* is read as a smaller |loss − entropy|, which the document's table gives too;
`calibration_error` holds the expected calibration error beside it. *Coherence* is our composite.

Not testable is the document's closing remark on compound risk, that an update may hit a dominant
expert just as the head nears its zero crossing, more likely with every cycle. It joins two models
that were never one, the router of a small mixture of experts and the head of a dense GPT-2: no
model of the document has both, neither table says how the two events depend on each other, no
probability is given, and where a crossing lies depends on a gauge. There is nothing to refute.
"""

from __future__ import annotations

import math
from itertools import combinations

from decouple.claim import (
    Figure,
    Run,
    Source,
    at_least,
    at_most,
    claim,
    control,
    equivalent,
    greater_by,
    null,
    within,
)

BOTH = ("full_model", "frozen_head")

HALF_THE_EXCURSION = 0.1127
"""Half of the furthest that the published full model gets from its baseline, 0.1026 + 0.1228."""

NOTHING_TO_LEARN = "labels dealt out at random leave nothing to learn of the text but frequencies"

HEAD_FROZEN = "the head, said to drive the flip, is not updated"

FROZEN_HEAD = control("frozen_head", why=HEAD_FROZEN)


def alignment(run: Run) -> list[Figure]:
    """Raw alignment of the base and after each cycle."""
    return list(run.cells("alignment"))


def wrong_signed(run: Run) -> list[Figure]:
    """Raw alignment after each cycle, counted positive where its sign is not that of the base.

    The base is left out: its number is the same for all seeds, and an extreme that it holds would
    be without any spread.
    """
    base, *values = alignment(run)
    sign = 1 if base.middle < 0 else -1
    return [sign * value for value in values]


def furthest(figures: list[Figure]) -> Figure:
    """The largest of some figures in absolute value."""
    return max((abs(figure) for figure in figures), key=lambda figure: figure.middle)


def excursion(run: Run, metric: str = "alignment") -> Figure:
    """The furthest that alignment gets from its baseline."""
    base, *later = run.cells(metric)
    return furthest([value - base for value in later])


def total_drift(run: Run) -> Figure:
    """How far from its baseline alignment ends."""
    values = alignment(run)
    return abs(values[-1] - values[0])


def change(run: Run, metric: str) -> Figure:
    """Change of a held-out measurement from the base to the last cycle."""
    return run.cell(metric, step="last") - run.cell(metric, step="first")


def fall(run: Run, metric: str) -> Figure:
    """Fall of a held-out measurement as a part of what the base has."""
    return -change(run, metric) / run.cell(metric, step="first")


def lesser(*figures: Figure) -> Figure:
    """The smallest of some figures."""
    return min(figures, key=lambda figure: figure.middle)


def greater(*figures: Figure) -> Figure:
    """The largest of some figures."""
    return max(figures, key=lambda figure: figure.middle)


def spread(figures: list[Figure]) -> Figure:
    """From the smallest of some figures to the largest."""
    return greater(*figures) - lesser(*figures)


def overconfidence(run: Run, step: str = "last") -> Figure:
    """Held-out loss less the mean entropy of the predictions; 0 for a calibrated model."""
    return run.cell("held_out_loss", step=step) - run.cell("output_entropy", step=step)


@claim(
    "sequential_cycles/baseline-alignment",
    "Before any update, states point slightly away from the embedding of the token that follows.",
    kind="figure",
    source=Source(section="Results, Alignment Trajectory", figure="-0.123", tables=("alignment",)),
    arms=("full_model",),
    band=within(-0.1228, relative=0.2, because="a fifth: other positions of the same book"),
    controls=[control("gauge_shifted", why="the same function, its embeddings moved as one")],
    note="a run takes it at positions that each seed draws from the held-out text, since one base "
    "at fixed positions is one number for all seeds; the table has it at the document's positions. "
    "Which token and which state were meant is open, and evidence holds all choices",
)
def test_baseline_alignment(run):
    return run.cell("baseline_alignment", step="first")


@claim(
    "sequential_cycles/full-crosses-zero",
    "Updated as a whole, the model flips the sign of its alignment by the third cycle.",
    source=Source(section="Summary; Alignment Trajectory", tables=("alignment",)),
    arms=("full_model",),
    band=at_least(0.0, because="the document's own line and cycle"),
    controls=[FROZEN_HEAD],
    note="furthest past zero in the first three cycles. Depends on the gauge: see "
    "sign-of-alignment-is-a-gauge. What the document says of a crossing that meets a collapsed "
    "router cannot be tested: none of its models has both",
)
def test_full_crosses_zero(run):
    return greater(*wrong_signed(run)[:3])


@claim(
    "sequential_cycles/full-crosses-back",
    "Having flipped, alignment is back on the side of the base by the eleventh cycle.",
    source=Source(section="Alignment Trajectory", tables=("alignment",)),
    arms=("full_model",),
    band=at_least(0.0, because="the document's own line and cycle"),
    controls=[FROZEN_HEAD],
    note="the lesser of the distance past zero at the peak and that of the return",
)
def test_full_crosses_back(run):
    values = wrong_signed(run)
    peak = max(range(len(values)), key=lambda cycle: values[cycle].middle)
    after = values[peak:11] or values[-1:]  # the list begins with the first cycle
    return lesser(values[peak], -lesser(*after))


@claim(
    "sequential_cycles/frozen-never-crosses",
    "With the head frozen, alignment keeps the sign it had.",
    source=Source(section="Summary; Alignment Trajectory", tables=("alignment",)),
    arms=("frozen_head",),
    band=at_most(0.0, because="the document's own line"),
    controls=[control("full_model", why="the head is updated too, which is said to flip the sign")],
)
def test_frozen_never_crosses(run):
    return greater(*wrong_signed(run))


@claim(
    "sequential_cycles/full-peaks-then-returns",
    "Updated as a whole, alignment moves away and then makes good a large part of the way.",
    source=Source(section="Summary; Alignment Trajectory", tables=("alignment",)),
    arms=("full_model",),
    band=at_least(0.291, because="half of the published return, 0.1312 of 0.2254"),
    published=at_least(0.0, because="the prose gives no size"),
    controls=[control("frozen_head", why=HEAD_FROZEN, margin=0.1455)],
    note="part of the furthest displacement before the last cycle that is gone after it; negative "
    "where alignment is still on its way. A displacement counts as half of the published one at "
    "least, 0.1127, so that noise around the base is no return",
)
def test_full_peaks_then_returns(run):
    base, *values = alignment(run)
    *before, last = [value - base for value in values]
    peak = max(before, key=lambda displacement: abs(displacement.middle))
    sign = 1 if peak.middle > 0 else -1
    return (abs(peak) - sign * last) / greater(abs(peak), Figure.exactly(HALF_THE_EXCURSION))


@claim(
    "sequential_cycles/peak-displacement",
    "At its peak, the alignment of the full model is displaced from the baseline by a tenth.",
    kind="figure",
    source=Source(section="Summary", figure="0.103", tables=("alignment",)),
    arms=("full_model",),
    band=within(0.103, relative=0.5, because="half of the published figure to either side"),
    controls=[control("no_updates", why="a model that is not updated stays", margin=0.0515 / 2)],
    note="the printed number is the alignment itself at the peak, not its distance from baseline. "
    "The frozen head is no control: by the document's own table it gets 0.0848 away, inside the "
    "band. The margin is half of the way from no displacement to the band, 0.0515",
)
def test_peak_displacement(run):
    return excursion(run)


@claim(
    "sequential_cycles/frozen-drifts-monotonically",
    "With the head frozen, alignment never turns back on its way.",
    source=Source(section="Summary", tables=("alignment",)),
    arms=("frozen_head",),
    band=at_most(0.05, because="ours: a twentieth of the way"),
    smoke=True,
    controls=[control("full_model", why="the head is updated too, which is said to oscillate")],
    note="the largest turn back from the direction of the whole, as a part of the range covered; "
    "without any, the smallest step of a cycle, counted negative",
)
def test_frozen_drifts_monotonically(run):
    values = alignment(run)
    sign = 1 if values[-1].middle > values[0].middle else -1
    turns = [sign * (earlier - later) for earlier, later in combinations(values, 2)]
    return greater(*turns) / spread(values)


@claim(
    "sequential_cycles/same-total-drift",
    "Both variants end about equally far from the baseline.",
    source=Source(section="Summary", tables=("alignment",)),
    arms=BOTH,
    band=equivalent(0.2, because="a fifth, for a quantity said not to differ"),
    controls=[
        control("no_updates", "frozen_head", why="a model that is not updated stays", margin=0.2)
    ],
    note="ratio of the two drifts, full to frozen",
)
def test_same_total_drift(full, frozen):
    return total_drift(full) / total_drift(frozen), 1.0


@claim(
    "sequential_cycles/total-drift",
    "Both variants end 0.08 to 0.09 away from the baseline.",
    kind="figure",
    source=Source(section="Summary", tables=("alignment",)),
    arms=BOTH,
    band=within(0.085, absolute=0.01, because="0.08 to 0.09, each known to its last digit"),
    controls=[control("random_labels", "random_labels", why=NOTHING_TO_LEARN)],
    note="of the two drifts the one further from the middle of the range",
)
def test_total_drift(full, frozen):
    return max(
        (total_drift(full), total_drift(frozen)), key=lambda drift: abs(drift.middle - 0.085)
    )


@claim(
    "sequential_cycles/full-wanders-further",
    "On the way, the alignment of the full model gets further from the baseline than the frozen's.",
    source=Source(section="Summary", tables=("alignment",)),
    arms=BOTH,
    band=greater_by(0.0703, because="half of the published difference, 0.2254 - 0.0848"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("full_model", margin=0.0703)],
    note="raw alignment: centred-displacement-separates-the-arms has the part that is no gauge",
)
def test_full_wanders_further(full, frozen):
    return excursion(full), excursion(frozen)


@claim(
    "sequential_cycles/confused-window",
    "The sign is wrong from the third cycle to the eighth, and in no other.",
    source=Source(section="Summary", tables=("alignment",)),
    arms=("full_model",),
    band=at_least(0.0, because="the document's own line and cycles"),
    controls=[FROZEN_HEAD],
    note="least distance from zero, counted negative in a cycle on the wrong side of it",
)
def test_confused_window(run):
    inside = range(3, 8 + 1)
    return lesser(
        *[
            value if cycle in inside else -value
            for cycle, value in enumerate(wrong_signed(run), start=1)
        ]
    )


@claim(
    "sequential_cycles/oscillation-is-periodic",
    "Alignment goes out and back again and again: a second swing follows the first.",
    source=Source(section="Summary", tables=("alignment",)),
    arms=("full_model",),
    band=at_least(0.5, because="ours: the second swing is at least half as large as the range"),
    controls=[
        control(
            "same_chunk",
            why="the text is the same in every cycle: nothing alternates",
            margin=0.25,
        )
    ],
    note="the least of four successive swings, at best, as a part of the range of alignment; "
    "negative where it does not turn so often",
)
def test_oscillation_is_periodic(run):
    values = alignment(run)
    return alternating_swing(values, swings=4) / spread(values)


def alternating_swing(values: list[Figure], swings: int) -> Figure:
    """The largest a such that the values rise and fall in turn by a or more, so many times.

    Two swings out and two back are two periods. Of values that turn less often a is negative: they
    go on by −a at the turn that is missing.
    """

    def best(sign: int) -> Figure:
        # reach[j]: the largest least swing of sequences so far that end at value j.
        reach = [Figure(math.inf, math.inf)] * len(values)
        for swing in range(swings):
            towards = sign if swing % 2 == 0 else -sign
            reach = [
                max(
                    (lesser(reach[i], towards * (values[j] - values[i])) for i in range(j)),
                    key=lambda figure: figure.middle,
                    default=Figure(-math.inf, -math.inf),
                )
                for j in range(len(values))
            ]
        return max(reach, key=lambda figure: figure.middle)

    return greater(best(1), best(-1))


@claim(
    "sequential_cycles/held-out-loss-improves",
    "Both variants predict the end of the book better after the updates than before.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=at_least(0.1, because="half of the published relative fall of the full model, 0.2"),
    published=at_least(0.0, because="the prose states the direction"),
    controls=[control("random_labels", "random_labels", why=NOTHING_TO_LEARN)],
    note="the lesser of the two relative falls",
)
def test_held_out_loss_improves(full, frozen):
    return lesser(fall(full, "held_out_loss"), fall(frozen, "held_out_loss"))


@claim(
    "sequential_cycles/frozen-gets-the-better-loss",
    "The frozen-head variant ends at a lower held-out loss than the full model.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=greater_by(0.045, because="half of the published difference, 2.64 - 2.55"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("full_model", margin=0.045)],
    note="depends on how often a cycle repeats its chunk: about seven times here as there",
)
def test_frozen_gets_the_better_loss(full, frozen):
    return full.cell("held_out_loss", step="last"), frozen.cell("held_out_loss", step="last")


@claim(
    "sequential_cycles/entropy-falls",
    "In both variants the updates make predictions much more certain.",
    source=Source(
        section="Results, Entropy and Loss",
        tables=("entropy_loss_coherence",),
        transcribed=True,
    ),
    arms=BOTH,
    band=at_least(0.267, because="half of the published relative fall with a frozen head, 0.533"),
    controls=[control("random_labels", "random_labels", why=NOTHING_TO_LEARN)],
    note="the lesser of the two relative falls",
)
def test_entropy_falls(full, frozen):
    return lesser(fall(full, "output_entropy"), fall(frozen, "output_entropy"))


@claim(
    "sequential_cycles/frozen-keeps-more-entropy",
    "The frozen-head variant ends with more entropy in its predictions than the full model.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=greater_by(0.11, because="half of the published difference, 1.68 - 1.46"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("full_model", margin=0.11)],
)
def test_frozen_keeps_more_entropy(full, frozen):
    return frozen.cell("output_entropy", step="last"), full.cell("output_entropy", step="last")


@claim(
    "sequential_cycles/frozen-is-more-confident",
    "The frozen-head variant ends with the more confident predictions.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=greater_by(0.11, because="what frozen-keeps-more-entropy asks, the other way round"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("full_model", margin=0.11)],
    note="confidence is low entropy: the document claims both, and they exclude each other",
)
def test_frozen_is_more_confident(full, frozen):
    return full.cell("output_entropy", step="last"), frozen.cell("output_entropy", step="last")


@claim(
    "sequential_cycles/frozen-better-calibrated",
    "After the updates the frozen-head variant is better calibrated than the full model.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=greater_by(0.155, because="half of the difference that the table gives, 1.18 - 0.87"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("full_model", margin=0.155)],
    note="|loss - entropy|; the document names no measure",
)
def test_frozen_better_calibrated(full, frozen):
    return abs(overconfidence(full)), abs(overconfidence(frozen))


@claim(
    "sequential_cycles/both-become-overconfident",
    "The updates leave both variants surer of their predictions than they have reason to be.",
    source=Source(section="ours", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=at_least(0.585, because="half of the change that the table gives with a frozen head"),
    published=at_least(0.0, because="one row of the table against another: the direction"),
    controls=[control("random_labels", "random_labels", why=NOTHING_TO_LEARN)],
    note="the lesser of the two changes of loss - entropy; the document only compares the variants",
)
def test_both_become_overconfident(full, frozen):
    return lesser(*[overconfidence(run) - overconfidence(run, "first") for run in (full, frozen)])


@claim(
    "sequential_cycles/coherence-improves",
    "Both variants write more coherently after the updates than before.",
    source=Source(section="Results, Entropy and Loss", tables=("entropy_loss_coherence",)),
    arms=BOTH,
    band=at_least(0.045, because="half of the lesser published gain, 0.82 - 0.73"),
    published=at_least(0.0, because="the prose states the direction"),
    controls=[control("random_labels", "random_labels", why=NOTHING_TO_LEARN)],
    note="the lesser of the two gains, on sampled continuations",
)
def test_coherence_improves(full, frozen):
    return lesser(change(full, "coherence"), change(frozen, "coherence"))


@claim(
    "sequential_cycles/coherence-stays-in-range",
    "The coherence of what the full model writes keeps to a narrow range throughout.",
    kind="figure",
    source=Source(
        section="Why the Full-Model Variant Didn't Collapse", tables=("entropy_loss_coherence",)
    ),
    arms=("full_model",),
    band=within(0.87, absolute=0.045, because="0.83 to 0.91, each known to its last digit"),
    controls=[control("random_labels", why=NOTHING_TO_LEARN)],
    note="the value furthest from the middle of the range; in the table that is the base's, "
    "and the one other value lies inside",
)
def test_coherence_stays_in_range(run):
    return max(run.cells("coherence"), key=lambda value: abs(value.middle - 0.87))


@claim(
    "sequential_cycles/generation-survives-the-flip",
    "Where its alignment is furthest from the baseline, the model writes as coherently as before.",
    source=Source(section="Summary; Why the Full-Model Variant Didn't Collapse"),
    arms=("full_model",),
    band=at_least(0.8, because="at most a fifth is lost, for a quantity said not to suffer"),
    controls=[control("random_labels", why=NOTHING_TO_LEARN)],
    note="coherence as a part of the base's; the table gives none for the cycle of the peak",
)
def test_generation_survives_the_flip(run):
    coherence, aligned = run.cells("coherence"), alignment(run)
    steps = coherence.coordinates["step"].tolist()
    peak = max(steps[1:], key=lambda step: abs((aligned[step] - aligned[0]).middle))
    return coherence[steps.index(peak)] / coherence[0]


@claim(
    "sequential_cycles/diversity-prevents-collapse",
    "New text in every cycle prevents a collapse that the same text every time brings about.",
    source=Source(section="Why the Full-Model Variant Didn't Collapse"),
    arms=("same_chunk", "full_model"),
    band=greater_by(0.33, because="half of what the published updates gain in held-out loss, 0.66"),
    smoke=True,
    controls=[null("full_model", margin=0.33)],
    note="collapse measured by the held-out loss; the document reports no such run",
)
def test_diversity_prevents_collapse(same_chunk, full):
    return same_chunk.cell("held_out_loss", step="last"), full.cell("held_out_loss", step="last")


@claim(
    "sequential_cycles/update-directions-change",
    "New text turns the updates: those of successive cycles agree less than on the same text.",
    source=Source(section="Why the Full-Model Variant Didn't Collapse"),
    arms=("same_chunk", "full_model"),
    band=greater_by(0.1, because="ours: a tenth of the way from orthogonal to parallel"),
    smoke=True,
    controls=[null("full_model", margin=0.1)],
    note="cosine between the parameter changes of successive cycles, averaged over cycles",
)
def test_update_directions_change(same_chunk, full):
    return tuple(run.cells("update_cosine", part="all").mean() for run in (same_chunk, full))


@claim(
    "sequential_cycles/head-update-is-the-cause",
    "Updating the output embedding by itself moves alignment most of the way.",
    source=Source(section="Summary"),
    arms=("wte_only", "full_model"),
    band=at_least(0.5, because="more than half: what is left is the lesser part"),
    controls=[
        control("last_block_only", "full_model", why="the last block is updated, not the head")
    ],
    note="furthest displacement as a part of the full model's; the frozen-head variant freezes the "
    "input embedding and the last block along with the head, and so cannot tell",
)
def test_head_update_is_the_cause(part, full):
    return excursion(part) / excursion(full)


@claim(
    "sequential_cycles/embedding-update-is-needed",
    "Freezing both embeddings and nothing else takes away most of the displacement.",
    source=Source(section="ours"),
    arms=("full_model", "embeddings_frozen"),
    band=at_least(0.5, because="more than half: what is left is the lesser part"),
    controls=[
        control(
            "full_model",
            "last_block_frozen",
            why="the rest of the frozen head is frozen, and the embeddings are updated",
        )
    ],
    note="centred alignment; part of the full model's furthest displacement that is gone",
)
def test_embedding_update_is_needed(full, part):
    return 1 - excursion(part, "centred_alignment") / excursion(full, "centred_alignment")


@claim(
    "sequential_cycles/sign-of-alignment-is-a-gauge",
    "Two starts of the same function give raw alignments further apart than half of the published "
    "excursion.",
    source=Source(section="ours"),
    arms=("full_model", "gauge_shifted"),
    band=greater_by(HALF_THE_EXCURSION, because="half of the published excursion, 0.2254"),
    smoke=True,
    controls=[null("full_model", margin=HALF_THE_EXCURSION)],
    note="mean distance over the cycles of raw alignment, less that of centred alignment, which "
    "only the updates can bring about",
)
def test_sign_of_alignment_is_a_gauge(full, shifted):
    def apart(metric):
        pairs = zip(full.cells(metric), shifted.cells(metric), strict=True)
        distances = [abs(a - b) for a, b in pairs][1:]
        return sum(distances, start=Figure.exactly(0.0)) / len(distances)

    return apart("alignment"), apart("centred_alignment")


@claim(
    "sequential_cycles/centred-displacement-separates-the-arms",
    "Whatever the gauge, the full model is displaced at least twice as far as the frozen-head one.",
    source=Source(section="ours"),
    arms=BOTH,
    band=at_least(1 / 3, because="ours: at least twice as far"),
    controls=[null("full_model", margin=1 / 3)],
    note="contrast (a - b) / (a + b) of the furthest displacements of centred alignment",
)
def test_centred_displacement_separates_the_arms(full, frozen):
    a, b = (excursion(run, "centred_alignment") for run in (full, frozen))
    return (a - b) / (a + b)
