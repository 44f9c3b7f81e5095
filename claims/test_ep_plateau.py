"""Document `ep_plateau`: why equilibrium propagation stops learning at a loss of 2.40.

Every band was written down before the runs that judge it were made; that of bias-not-noise is newer
than the smoke runs, of which it is not judged. Where the document states a
threshold it is used; else half of the published change ("half the change"), or a fifth of it for
what is said not to change; where only an order is asked of the document's own tables, its prose
states that order. EP is equilibrium propagation, BPTT backpropagation through the relaxation, BP
the standard decoder. "Plateau" is the last checkpoint of the published run; a smoke run never gets
there, and its plateau is a point constructed from trained weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from decouple.claim import (
    Cells,
    Figure,
    MissingCellError,
    Run,
    Source,
    UndecidableError,
    at_least,
    at_most,
    claim,
    control,
    equivalent,
    greater_by,
    null,
    ordered,
    within,
)
from decouple.metrics.plateau import PlateauFeatures, classify

CONSTRUCTED = (
    "Smoke: at the constructed point, whose nudge is the strongest that tracking can take, so that "
    "tracking's success there is part of the recipe; of the adjoint and of BPTT nothing is"
)

GATE = 1e-2
"""Force residual up to which a gradient is used: ours; the document skips at 2e-2 and uses 4e-4."""

FUSE = 0.1
"""Force residual above which a run is stopped, as the document has it."""

EXCURSION = 5e-2
"""Force residual that counts as an excursion: ours, between gate and fuse."""

HALF_COLLAPSE = 0.517
"""Half of the published fall of the cosine, from 0.989 at step 200 to -0.045 at the plateau."""

MIDWAY = 0.472
"""The cosine halfway between the two."""

HALF_EXPLOSION = math.log(4223) / 2
"""Half of the published change of the norm ratio's logarithm, from 1 to 4223."""

HALF_AS_FAR = 0.63
"""Halfway between descending as far and the published 0.042 / 0.161 of it."""

HALF_THE_GAP = 0.354
"""Half of the published gap between EP and BP, 2.4037 - 1.6953."""

FIFTH_OF_THE_GAP = 0.142
"""A fifth of it."""

CAPABLE = 1.5
"""Loss at which the document's band of capable models ends."""

EARLY = 300
"""Steps of exp4 that are early: where the document's fastest start is at its best."""

TIGHT = 1.5e-4
"""Residual that the controller steers to where arms are compared at a tight one: ours, a tenth of
the document's own."""

MATCHED = math.sqrt(10)
"""Ratio up to which two residuals are one operating point: half, in logarithms, of the factor of
ten by which the tight one lies below the document's own."""

RESOLVED = 1e-5
"""Residual at which EP's free phase stops: what lies below it cannot be told apart."""

UNSOLVED = 0.05
"""How far an influence may move when the change of the input is halved: ours."""

MOSTLY = 0.9
"""Share of the steps at its floor from which on a knob counts as pinned: ours."""

LODGED = 0.5
"""Share of a run's last tenth between gate and fuse from which on it ended off its fixed point:
ours, most of it."""

TRACKED = "the correction follows the free phase, so what that left over is not fed back"
SOLVED = "the adjoint equation is solved outright: there is no correction to go wrong"


def faithful(margin: float | None = None) -> list:
    """The two estimators that do without a frozen correction, as controls at the same point."""
    return [
        control("published:tracking", why=TRACKED, margin=margin),
        control("published:adjoint", why=SOLVED, margin=margin),
    ]


def least(figures: Iterable[Figure]) -> Figure:
    """The smallest of several figures: a finding of several parts holds as far as its weakest."""
    figures = list(figures)
    return Figure(min(f.low for f in figures), min(f.high for f in figures))


def greatest(figures: Iterable[Figure]) -> Figure:
    """The largest of several figures."""
    return -least(-figure for figure in figures)


def descending(run: Run, metric: str) -> Cells:
    """A metric at the snapshots of the descent, the untrained model left out."""
    cells = run.cells(metric, point="descent")
    return cells.without(0) if cells.coordinates["step"][0] == 0 else cells


def plateau(run: Run, metric: str) -> Cells:
    """All that was measured of a metric at the plateau."""
    return run.cells(metric, point="plateau")


def exploded(run: Run) -> Figure:
    """Logarithm of the ratio of lengths, EP's gradient to the true one, at the plateau."""
    return plateau(run, "norm_ratio").min().log()


def as_one_batch(run: Run) -> Figure:
    """Cosine of EP's gradient with the true one at the plateau, all batches taken as one."""
    return run.cell("cosine_averaged", point="plateau", batches="last")


def best_loss(run: Run) -> Cells:
    """Lowest held-out loss of a run, as often as it is reported."""
    return run.cells("best_validation_loss")


def best_step(run: Run) -> tuple[float, Figure]:
    """Step of the lowest held-out loss on a run's trajectory, and that loss."""
    trajectory = run.cells("validation_loss").by("step")
    step = min(trajectory, key=lambda each: trajectory[each][0].middle)
    return step, trajectory[step][0]


def loss_at(run: Run, step: float) -> Figure:
    """Held-out loss at a step; where only its neighbours are known, anything between them."""
    trajectory = {at: cells[0] for at, cells in run.cells("validation_loss").by("step").items()}
    before = max((at for at in trajectory if at <= step), default=min(trajectory))
    after = min((at for at in trajectory if at >= step), default=max(trajectory))
    ends = (trajectory[before], trajectory[after])
    return Figure(min(end.low for end in ends), max(end.high for end in ends))


def early_loss(run: Run) -> Figure:
    """Lowest held-out loss of the early steps.

    Of a table anything from the lowest of the whole run to the lowest that it has of those steps.
    """
    if known(run, "early_validation_loss") is not None:
        return run.cell("early_validation_loss")
    trajectory = run.cells("validation_loss").by("step")
    printed = least(cells[0] for at, cells in trajectory.items() if at <= EARLY)
    return Figure(min(best_loss(run).min().low, printed.low), printed.high)


def share_of_bptt(run: Run, metric: str) -> Figure:
    """Furthest one-step fall of the loss over all rates, as a share of the true gradient's.

    Raises:
        UndecidableError: if the true gradient's step lowers it at no rate.
    """
    furthest = plateau(run, "loss_change_bptt").min()
    if furthest.low >= 0:
        raise UndecidableError(f"{run.label}: no step along the true gradient lowers the loss")
    return plateau(run, metric).min() / furthest


def shut(run: Run) -> Figure:
    """Length of the dead zone: the longest stretch of steps through which the gate stays shut."""
    return run.cell("dead_zone_steps")


def known(run: Run, metric: str) -> Cells | None:
    """What evidence has and the document's tables do not: None there.

    A finished run is checked for completeness, so that nothing can be missing from evidence.
    """
    try:
        return run.cells(metric)
    except MissingCellError:
        return None


def by_distance(run: Run, metric: str = "influence") -> dict[int, Figure]:
    """Influence by distance in tokens.

    Raises:
        UndecidableError: if halving the change of the input gives another influence.
    """
    halving = known(run, "influence_halving")
    if halving is not None and halving.max().high > UNSOLVED:
        raise UndecidableError(
            f"{run.label}: influence changes by {halving.max().high:.2g} when the change of the "
            "input is halved: it is not a derivative"
        )
    return {int(d): cells[0] for d, cells in plateau(run, metric).by("distance").items()}


def skipped_share(run: Run) -> float | None:
    """Share of the steps at which the gate was shut; None where that is not known."""
    gate = known(run, "gate_open")
    return None if gate is None else 1 - gate.mean().middle


def refuse_if_pinned(run: Run) -> None:
    """Judge no setting of a controller that never moved.

    Raises:
        UndecidableError: if the regulariser's weight stood still.
    """
    moved = known(run, "knob_moved")
    if moved is not None and moved.max().high == 0:
        raise UndecidableError(f"{run.label}: the regulariser's weight never moved")
    floor = known(run, "knob_at_floor")
    if floor is not None and floor.max().high > MOSTLY:
        raise UndecidableError(f"{run.label}: the regulariser's weight lay at its floor")


def refuse_if_never_above(run: Run, ceiling: float) -> None:
    """Judge no ceiling that the regulariser's weight never came near.

    Raises:
        UndecidableError: if under a higher ceiling it stayed below this one.
    """
    weight = known(run, "largest_regulariser_weight")
    if weight is not None and weight.max().high <= ceiling:
        raise UndecidableError(
            f"{run.label}: the regulariser's weight never rose above {ceiling:g}, so that a "
            f"ceiling of {ceiling:g} changed nothing (largest {weight.max().high:.3g})"
        )


def refuse_if_broken(run: Run) -> None:
    """Judge nothing that a run reached on the way to its end by breaking.

    Such a run is evidence and its cells are complete: after the end they repeat the last.

    Raises:
        UndecidableError: if it diverged, blew its fuse or ended off its fixed point.
    """
    for metric, most, words in (
        ("diverged", 0.0, "diverged"),
        ("fuse_blown", 0.0, "blew its fuse"),
        ("broken_basin", LODGED, "ended off its fixed point, under the fuse"),
    ):
        found = known(run, metric)
        if found is not None and found.max().high > most:
            raise UndecidableError(
                f"{run.label}: the run {words}; a loss that it had before is none that it keeps"
            )


def second_half(cells: Cells) -> list[Figure]:
    """What of a metric was measured after half of the run's steps."""
    by_step = cells.by("step")
    return [figure for at, each in by_step.items() if at > max(by_step) / 2 for figure in each]


def settled_residual(run: Run) -> float | None:
    """Median residual of the second half of a run; None where that is not known."""
    residual = known(run, "residual")
    return None if residual is None else median(each.middle for each in second_half(residual))


def settled_loss(run: Run) -> Figure:
    """Lowest held-out loss of the second half of a run; of a table without steps, of the whole."""
    losses = known(run, "validation_loss")
    return best_loss(run).min() if losses is None else least(second_half(losses))


def refuse_if_not_matched(*runs: Run) -> None:
    """Judge no arms at one tight residual that are not: at one, or tight.

    Raises:
        UndecidableError: if a residual is not tight, or two are further apart than is one point.
    """
    settled = {run.label: settled_residual(run) for run in runs}
    found = {label: max(each, RESOLVED) for label, each in settled.items() if each is not None}
    for label, residual in found.items():
        if residual > MATCHED * TIGHT:
            raise UndecidableError(
                f"{label}: a residual of {residual:.2g} is not tight, that would be {TIGHT:g} or "
                f"at most {MATCHED:.2g} times that"
            )
    if found and max(found.values()) > MATCHED * min(found.values()):
        words = ", ".join(f"{label}: {residual:.2g}" for label, residual in found.items())
        raise UndecidableError(
            f"residuals differ by more than a factor of {MATCHED:.2g} and are not matched ({words})"
        )


# Setup


@claim(
    "ep_plateau/uniform-loss",
    "A uniform guess over 4,096 tokens has a loss of 8.318 nats.",
    kind="exact",
    source=Source(section="0, Models", figure="8.318", tables=("setup",)),
    band=within(math.log(4096), absolute=0, because="arithmetic from the size of the vocabulary"),
)
def test_uniform_loss(run):
    return run.cell("uniform_loss", step="first")


@claim(
    "ep_plateau/bp-beats-ep",
    "The standard decoder of the same shape reaches a lower loss than the equilibrium block.",
    source=Source(section="0, Models", tables=("setup",)),
    arms=("published", "bp"),
    band=greater_by(HALF_THE_GAP, because="half of the published gap, 2.4037 - 1.6953"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("bp", margin=HALF_THE_GAP)],
)
def test_bp_beats_ep(ep, bp):
    return best_loss(ep).min(), best_loss(bp).max()


@claim(
    "ep_plateau/orphan-never-leaves-the-manifold",
    "In 20,000 steps the residual never makes an excursion.",
    source=Source(section="0, Models", figure="0", tables=("setup",), transcribed=True),
    band=at_most(
        EXCURSION, because="ours: between gate and fuse; the document counts without a threshold"
    ),
    controls=[
        control("lr_9e-4", why="the learning rate at which the document's run explodes"),
    ],
    note="judged by the largest residual of all steps: a count of 0 on every seed has no spread",
)
def test_orphan_never_leaves_the_manifold(run):
    return run.cell("largest_residual")


# exp1: three gradients of the same weights


@claim(
    "ep_plateau/faithful-while-descending",
    "While the loss falls the EP gradient points along the true one.",
    source=Source(section="1, exp1, Read", figure="0.89", tables=("triangulation",)),
    band=at_least(0.88, because="the document's 0.89, or 0.885 in its table, rounded down"),
    smoke=True,
    controls=[
        control(
            "published:large_beta",
            why="a nudge far outside the linear regime",
            margin=0.06,
        )
    ],
)
def test_faithful_while_descending(run):
    return descending(run, "cosine_ep_bptt").min()


@claim(
    "ep_plateau/plateau-cosine-below-a-tenth",
    "At the plateau the EP gradient has next to nothing of the true one's direction.",
    source=Source(section="1, exp1 and exp2", tables=("triangulation", "lr_sweep")),
    band=at_most(0.1, because="the document calls 0.10 not aligned"),
    controls=faithful(HALF_COLLAPSE),
    note="the document measured the same checkpoint twice; each must hold.",
)
def test_plateau_cosine_below(run):
    return plateau(run, "cosine_ep_bptt").max()


@claim(
    "ep_plateau/plateau-norm-ratio-explodes",
    "At the plateau the EP gradient is longer than the true one by orders of magnitude.",
    source=Source(section="1, exp1 and exp2", tables=("triangulation", "lr_sweep")),
    band=at_least(HALF_EXPLOSION, because="half of the published explosion, ln 4223"),
    controls=faithful(HALF_EXPLOSION / 2),
    note="natural logarithm of the ratio. The document has 4223 and 486 for one checkpoint: a "
    "factor of nine that no rounding explains.",
)
def test_plateau_norm_ratio_explodes(run):
    return exploded(run)


@claim(
    "ep_plateau/norm-ratio-drifts-while-faithful",
    "While it still points the right way, the EP gradient already grows too short.",
    source=Source(section="1, exp1, Result", tables=("triangulation",), transcribed=True),
    band=at_least(0.1625, because="half of the published fall, 1.000 - 0.675"),
    controls=[
        control("published:adjoint", why="what is solved cannot drift in length", margin=0.0813)
    ],
)
def test_norm_ratio_drifts(run):
    ratio = descending(run, "norm_ratio")
    return ratio[0] - ratio[-1]


@claim(
    "ep_plateau/ep-batches-disagree-true-gradient-agrees",
    "At the plateau true gradients of different batches agree with each other, EP's do not.",
    source=Source(section="1, exp1, Read", tables=("triangulation",)),
    band=greater_by(0.615, because="half of the published difference, 0.957 + 0.273"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=faithful(0.3),
    note="mean over all pairs of batches.",
)
def test_ep_batches_disagree(run):
    return plateau(run, "self_cosine_bptt").min(), plateau(run, "self_cosine_ep").max()


@claim(
    "ep_plateau/horizon-agrees-all-the-time",
    "At every checkpoint BPTT through 150 steps and through 400 give the same gradient.",
    source=Source(section="1, exp1, Read", figure="1.00", tables=("triangulation",)),
    band=at_least(0.995, because="what the document's 1.00 is rounded from, at the least"),
    controls=[control("published:truncated", why="five steps of backpropagation are too few")],
    note="the prose says so of the whole run; the untrained model counts",
)
def test_horizon_agrees_all_the_time(run):
    return run.cells("cosine_bptt_horizons").min()


# exp2: one step at every learning rate


@claim(
    "ep_plateau/bptt-descends-four-times-further",
    "At its best rate one EP step lowers the loss by a fraction of what one true step does.",
    source=Source(section="1, exp2, Read", tables=("lr_sweep",)),
    band=at_most(HALF_AS_FAR, because="half of the published change from 1 to 0.042 / 0.161"),
    published=at_most(1 / 3.5, because="the prose says 4 times, which 3.5 rounds to"),
    smoke=True,
    controls=faithful((1 - HALF_AS_FAR) / 2),
    note="EP's fall as a share of the true one's. " + CONSTRUCTED,
)
def test_bptt_descends_further(run):
    return share_of_bptt(run, "loss_change_ep")


@claim(
    "ep_plateau/ep-diverges-above-3e-4",
    "At the plateau no EP step at a rate of 3e-4 or more lowers the loss.",
    source=Source(section="1, exp2, Result"),
    band=at_least(0.0, because="ours: to diverge is at the least not to descend"),
    controls=faithful(),
    note="rates belong to the document's own parametrisation",
)
def test_ep_diverges(run):
    rates = plateau(run, "loss_change_ep").by("learning_rate")
    return least(cells[0] for rate, cells in rates.items() if rate > 2.9e-4)


@claim(
    "ep_plateau/jacreg-arm-does-not-rescue",
    "EP's gradient with the regulariser's added descends no further.",
    source=Source(section="1, exp2, Spec"),
    band=at_most(HALF_AS_FAR, because="what bptt-descends-four-times-further asks of EP alone"),
    smoke=True,
    controls=faithful((1 - HALF_AS_FAR) / 2),
    note="a share of the true step's fall; the document ran this arm and prints no figure of it. "
    + CONSTRUCTED,
)
def test_jacreg_arm_does_not_rescue(run):
    return share_of_bptt(run, "loss_change_ep_jac")


@claim(
    "ep_plateau/rescaling-cannot-help",
    "Nor does EP's gradient at the length of the true one, at any rate.",
    source=Source(section="1, exp2, Read"),
    band=at_most(HALF_AS_FAR, because="what bptt-descends-four-times-further asks of EP alone"),
    smoke=True,
    controls=faithful((1 - HALF_AS_FAR) / 2),
    note="a share of the true step's fall. " + CONSTRUCTED,
)
def test_rescaling_cannot_help(run):
    return share_of_bptt(run, "loss_change_ep_matched")


# exp3: the exact gradient under the same controller


@claim(
    "ep_plateau/bptt-with-controller-breaks",
    "Trained with the exact gradient the block ends far from its fixed point.",
    source=Source(section="1, exp3, Result", tables=("bptt_controller",)),
    arms=("bptt",),
    band=at_least(
        GATE,
        because="half of the published change of the logarithm, from the target of 1.5e-3 to 0.068",
    ),
    controls=[control("published", why="the same controller on the EP gradient")],
    note="force residual of the last step; one run in the document, at step 1600 of one rate",
)
def test_bptt_with_controller_breaks(bptt):
    return bptt.cell("residual", step="last")


@claim(
    "ep_plateau/bptt-ends-worse-than-ep",
    "The exact gradient's best loss is worse than EP's.",
    source=Source(section="1, exp3, Result", tables=("bptt_controller", "setup")),
    arms=("bptt", "published"),
    band=greater_by(0.725, because="half of the published difference, 3.85 - 2.40"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("published", margin=0.725)],
)
def test_bptt_ends_worse_than_ep(bptt, ep):
    return best_loss(bptt).min(), best_loss(ep).max()


@claim(
    "ep_plateau/bptt-worse-at-a-matched-step",
    "Where the exact gradient was at its best, EP was better after as many steps.",
    source=Source(section="1, exp3, Result; exp1, Result", tables=("bptt_controller", "descent")),
    arms=("bptt", "published"),
    band=greater_by(0.725, because="what bptt-ends-worse-than-ep asks of the two best losses"),
    controls=[null("published", margin=0.725)],
    note="the table has EP at 4.11 and 3.56 on either side of step 1400, BPTT at 3.85",
)
def test_bptt_worse_at_a_matched_step(bptt, ep):
    step, loss = best_step(bptt)
    return loss, loss_at(ep, step)


@claim(
    "ep_plateau/fuse-misses-the-broken-basin",
    "A broken run stays under the fuse: the loss is lost and nothing stops it.",
    source=Source(section="1, exp3, Result", tables=("bptt_controller",)),
    arms=("bptt",),
    band=at_least(0.0, because="ours: below the fuse, and half of the published rise by 2.42"),
    controls=[control("published", why="a run whose loss is not lost")],
    note="the smaller of: 1 - last residual / fuse; rise from best to last loss, over 1.21, - 1",
)
def test_fuse_misses_the_broken_basin(bptt):
    below = 1 - bptt.cell("residual", step="last") / FUSE
    rise = bptt.cell("validation_loss", step="last") - bptt.cell("best_validation_loss")
    return least([below, rise / 1.21 - 1])


# exp4: warm-up against the gate


@claim(
    "ep_plateau/dead-zone-under-warmup",
    "Under a warm-up the gate stays shut at first, and nothing of the task is learned.",
    source=Source(section="1, exp4, Result", figure="50", tables=("gate",), transcribed=True),
    arms=("gate_warmup",),
    band=at_least(25 / 800, because="half of the published 50 steps in a warm-up of 800"),
    smoke=True,
    controls=[
        control(
            "gate_contractive", why="a start that is contractive without training", margin=25 / 800
        )
    ],
    note="steps with the gate shut, as a part of the warm-up. Smoke: from a start made not "
    "contractive",
)
def test_dead_zone_under_warmup(run):
    return shut(run) / run.cell("warmup_steps")


@claim(
    "ep_plateau/prewarm-only-partly-helps",
    "Contraction trained beforehand shortens the dead zone, but does not do away with it.",
    source=Source(section="1, exp4, Result"),
    arms=("gate_prewarm", "gate_warmup"),
    band=within(
        0.5, absolute=0.3, because="ours: less than a fifth either way is not at all, or wholly"
    ),
    controls=[
        control("gate_contractive", "gate_warmup", why="a start without a dead zone", margin=0.2),
        null("gate_warmup", margin=0.2),
    ],
    note="the part of the dead zone that is left",
)
def test_prewarm_only_partly_helps(prewarm, warmup):
    return shut(prewarm) / shut(warmup)


@claim(
    "ep_plateau/small-init-no-warmup-has-no-dead-zone",
    "From smaller branches and without a warm-up the gate opens almost at once.",
    source=Source(section="1, exp4, Result"),
    arms=("gate_warmup", "gate_small_init"),
    band=at_least(math.log(5), because="said to be absent: at most a fifth of the dead zone"),
    controls=[null("gate_warmup", margin=math.log(5) / 2)],
    note="logarithm of the ratio of the two dead zones, each taken a step longer",
)
def test_small_init_has_no_dead_zone(warmup, small):
    return ((shut(warmup) + 1) / (shut(small) + 1)).log()


@claim(
    "ep_plateau/fastest-early-but-excursion-prone",
    "That start learns fastest at first and then throws the residual up.",
    source=Source(section="1, exp4, Read", tables=("gate",)),
    arms=("gate_small_init", "gate_warmup", "gate_prewarm"),
    band=at_least(
        0.0, because="the prose states the order; an excursion is ours, between gate and fuse"
    ),
    controls=[null("gate_warmup", "gate_warmup", "gate_prewarm", margin=0.1, blocks=(1, 0, 0))],
    note="the smallest of: lead over either other arm in the lowest loss within 300 steps; "
    "logarithm of its largest residual since the gate opened, over 0.05",
)
def test_fastest_early_but_excursion_prone(small, warmup, prewarm):
    leads = [early_loss(other) - early_loss(small) for other in (warmup, prewarm)]
    return least([*leads, (small.cell("peak_residual") / EXCURSION).log()])


# exp5: the regulariser's constants


@claim(
    "ep_plateau/jr-max-8-beats-32",
    "A ceiling of 8 on the regulariser's weight gives a lower loss than one of 32.",
    source=Source(section="1, exp5, Read", figure="0.04", tables=("regulariser_grid",)),
    arms=("grid_base", "grid_jr_max_8"),
    band=greater_by(0.02, because="half of the 0.04 that the prose names"),
    controls=[null("grid_base", margin=0.02)],
    note="the 0.04 of the prose is the distance to the orphan: see dips-below-the-orphan",
)
def test_jr_max_8_beats_32(base, ceiling_8):
    refuse_if_never_above(base, 8.0)
    return best_loss(base).min(), best_loss(ceiling_8).min()


@claim(
    "ep_plateau/jr-max-4-beats-32",
    "A ceiling of 4 gives a lower loss than one of 32 as well.",
    source=Source(section="1, exp5, Read", tables=("regulariser_grid",)),
    arms=("grid_base", "grid_jr_max_4"),
    band=greater_by(0.02, because="what jr-max-8-beats-32 asks: the prose speaks of 8 or less"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[null("grid_base", margin=0.02)],
)
def test_jr_max_4_beats_32(base, ceiling_4):
    refuse_if_never_above(base, 4.0)
    return best_loss(base).min(), best_loss(ceiling_4).min()


@claim(
    "ep_plateau/higher-ceilings-cost-more",
    "From a ceiling of 8 to one of 32 the loss rises with it.",
    source=Source(section="1, exp5, Read", tables=("regulariser_grid",)),
    arms=("grid_jr_max_8", "grid_jr_max_16", "grid_base"),
    band=ordered("rising", gap=0.0235, because="half of the smaller published rise, 2.463 - 2.416"),
    published=ordered("rising", because="the prose calls the ceiling a tax"),
    controls=[null(*["grid_base"] * 3, margin=0.0118)],
    note="best losses under ceilings of 8, 16 and 32; below 8 the document's own loss rises again",
)
def test_higher_ceilings_cost_more(ceiling_8, ceiling_16, base):
    refuse_if_never_above(ceiling_16, 8.0)
    refuse_if_never_above(base, 16.0)
    return [best_loss(run).min() for run in (ceiling_8, ceiling_16, base)]


@claim(
    "ep_plateau/no-setting-comes-near-the-band",
    "Under no setting of the regulariser does the loss come near that of capable models.",
    source=Source(section="1, exp5, Read", tables=("regulariser_grid",)),
    arms=(
        "grid_base",
        "grid_jr_max_4",
        "grid_jr_max_8",
        "grid_jr_max_16",
        "grid_floor_0.05",
        "grid_floor_0.03_target_5e-3",
    ),
    band=at_least(0.452, because="half of the published distance before the grid, 2.404 - 1.5"),
    published=at_least(0.0, because="the document's band ends at 1.5"),
    controls=[
        control(
            *["bp"] * 6, why="a decoder, which no estimator holds back", margin=HALF_THE_GAP / 2
        )
    ],
    note="the lowest of the best losses of all settings, above 1.5",
)
def test_no_setting_comes_near_the_band(*settings):
    for run in settings:
        refuse_if_pinned(run)
    return least(best_loss(run).min() for run in settings) - CAPABLE


@claim(
    "ep_plateau/relaxing-floor-and-target-does-not-help",
    "A lower floor of the regulariser's weight, or a looser target, does not lower the loss.",
    source=Source(section="1, exp5, Read", tables=("regulariser_grid",)),
    arms=("grid_base", "grid_floor_0.05", "grid_floor_0.03_target_5e-3"),
    band=at_most(0.02, because="ours: what jr-max-8-beats-32 asks for; less is no help"),
    published=at_most(0.0, because="the prose says that it does not help"),
    controls=[
        control(
            "grid_base", "grid_jr_max_8", "grid_jr_max_8", why="a change said to help", margin=0.02
        )
    ],
    note="the better of the two against the base",
)
def test_relaxing_does_not_help(base, floor, floor_and_target):
    for run in (base, floor, floor_and_target):
        refuse_if_pinned(run)
    relaxed = least([best_loss(floor).min(), best_loss(floor_and_target).min()])
    return best_loss(base).min() - relaxed


@claim(
    "ep_plateau/dips-below-the-orphan",
    "Under a ceiling of 8 the loss falls just below that of the run it started from.",
    source=Source(section="1, exp5, Read; 2", figure="0.04", tables=("regulariser_grid",)),
    arms=("published", "grid_jr_max_8"),
    band=greater_by(0.02, because="half of the 0.04 that the prose names"),
    controls=[
        control("published", "grid_base", why="as many steps under the old ceiling", margin=0.02)
    ],
)
def test_dips_below_the_orphan(orphan, ceiling_8):
    refuse_if_pinned(ceiling_8)
    return best_loss(orphan).min(), best_loss(ceiling_8).min()


# exp6: branches


@claim(
    "ep_plateau/no-stuck-small-branch",
    "At the plateau the branches are no small addition: they have grown and carry the state.",
    source=Source(section="1, exp6, Read", tables=("branches",)),
    band=at_least(0.0, because="half of the published 1.0, and of the growth from 6.57 to 44"),
    controls=[
        control("published:untrained", why="a branch that has not grown", margin=0.95),
    ],
    note="the smaller of: attention over input, - 0.5; logarithm of the growth of the feed-forward "
    "output weights since the last snapshot, - 0.95",
)
def test_no_stuck_small_branch(run):
    before = run.cells("weight_norm_down", point="descent", condition="trained")[-1]
    growth = (run.cell("weight_norm_down", point="plateau") / before).log()
    return least([run.cell("attention_share", point="plateau") - 0.5, growth - 0.95])


@claim(
    "ep_plateau/attention-share-falls",
    "What attention adds falls from far above the input to its size.",
    source=Source(section="1, exp6, Result", tables=("branches",)),
    band=ordered(
        "falling", gap=0.626, because="half of the smaller published fall, ln 3.5 - ln 1.0"
    ),
    published=ordered("falling", because="the prose states the order"),
    controls=[control("published:untrained", why="nothing has been trained", margin=0.313)],
    note="logarithms of attention over input: untrained, at the last snapshot, at the plateau",
)
def test_attention_share_falls(run):
    share = run.cells("attention_share", point="descent", condition="trained")
    return [share[0].log(), share[-1].log(), run.cell("attention_share", point="plateau").log()]


@claim(
    "ep_plateau/qk-rms-is-one",
    "Queries and keys have a root mean square of one in every head.",
    kind="exact",
    source=Source(section="1, exp6, Read", tables=("branches",)),
    band=at_most(0.05, because="the document's 1.0 is rounded from no further away"),
    smoke=True,
    note="true by construction: they are normalised. Largest deviation from 1 over all checkpoints",
)
def test_qk_rms_is_one(run):
    return greatest(abs(rms - 1) for rms in run.cells("query_key_rms"))


@claim(
    "ep_plateau/attention-entropy-falls",
    "Attention sharpens in training.",
    source=Source(section="1, exp6, Result", tables=("branches",)),
    band=at_least(0.47, because="half of the published fall, 4.56 - 3.62 nats"),
    published=at_least(0.0, because="the prose states the order"),
    controls=[control("published:untrained", why="nothing has been trained", margin=0.235)],
    note="the published start is that of even attention to all that went before",
)
def test_attention_entropy_falls(run):
    start = run.cells("attention_entropy", point="descent", condition="trained")[0]
    return start - run.cell("attention_entropy", point="plateau")


# exp7: mixing


@claim(
    "ep_plateau/ep-couples-twenty-times-weaker",
    "At every distance the equilibrium block couples positions far weaker than the decoder.",
    source=Source(section="1, exp7, Read", figure="20", tables=("influence",)),
    arms=("published", "bp"),
    band=at_least(10.5, because="half of the published change from 1 to 20"),
    controls=[null("bp", margin=4.75)],
    note="smallest ratio over the distances; raw influence, which depends on the state's scale",
)
def test_ep_couples_weaker(ep, bp):
    ours, theirs = by_distance(ep), by_distance(bp)
    return least(theirs[distance] / ours[distance] for distance in ours)


@claim(
    "ep_plateau/coupling-is-weaker-for-its-size-too",
    "Between neighbours the coupling is weaker also relative to the size of the state.",
    source=Source(section="ours; 1, exp7, Read has the caveat"),
    arms=("published", "bp"),
    band=at_least(10.5, because="what ep-couples-twenty-times-weaker asks of the raw influence"),
    controls=[null("bp", margin=4.75)],
    note="ratio at the smallest distance of the influence over the norm of the state",
)
def test_coupling_is_weaker_for_its_size(ep, bp):
    ours, theirs = by_distance(ep, "influence_relative"), by_distance(bp, "influence_relative")
    return theirs[min(theirs)] / ours[min(ours)]


@claim(
    "ep_plateau/normalised-ep-reaches-farther",
    "Relative to the nearest distance, EP's influence falls off slower at every other.",
    source=Source(section="1, exp7, Read", tables=("influence",)),
    arms=("published", "bp"),
    band=at_least(0.117, because="half of the smallest published difference, ln 0.43 - ln 0.34"),
    published=at_least(0.0, because="the prose states the order"),
    controls=[null("bp", margin=0.058)],
    note="smallest difference of the logarithms beyond the first distance",
)
def test_normalised_ep_reaches_farther(ep, bp):
    def fall_off(run):
        influence = by_distance(run)
        first = min(influence)
        return {d: (at / influence[first]).log() for d, at in influence.items() if d != first}

    ours, theirs = fall_off(ep), fall_off(bp)
    return least(ours[distance] - theirs[distance] for distance in ours)


@claim(
    "ep_plateau/loss-gap-uniform-over-positions",
    "EP's loss is as far from the decoder's late in a window as early in it.",
    source=Source(section="1, exp7, Result"),
    arms=("published", "bp"),
    band=equivalent(
        FIFTH_OF_THE_GAP, because="said not to change: a fifth of the published gap, 0.708"
    ),
    controls=[
        control(
            "published:untrained",
            "bp",
            why="an untrained block makes nothing of a longer context",
            margin=FIFTH_OF_THE_GAP,
        )
    ],
    note="second half of the window against the first; the prose has 0.7 to 1.0, without positions",
)
def test_loss_gap_uniform(ep, bp):
    def later_and_earlier(run):
        bins = list(plateau(run, "position_loss"))
        half = len(bins) // 2
        return [sum(part, start=Figure.exactly(0.0)) / half for part in (bins[-half:], bins[:half])]

    (late, early), (bp_late, bp_early) = later_and_earlier(ep), later_and_earlier(bp)
    return late - bp_late, early - bp_early


# Verdict


@claim(
    "ep_plateau/not-the-learning-rate",
    "No rate, no rescaling and no regulariser makes an EP step descend like a true one.",
    source=Source(section="2"),
    band=at_most(HALF_AS_FAR, because="what bptt-descends-four-times-further asks of EP alone"),
    smoke=True,
    controls=faithful((1 - HALF_AS_FAR) / 2),
    note="the best of the three sweeps as a share of the true step's fall. " + CONSTRUCTED,
)
def test_not_the_learning_rate(run):
    sweeps = ("loss_change_ep", "loss_change_ep_jac", "loss_change_ep_matched")
    return greatest(share_of_bptt(run, sweep) for sweep in sweeps)


@claim(
    "ep_plateau/not-the-horizon",
    "At the plateau the true gradient does not depend on the horizon, while EP's is elsewhere.",
    source=Source(section="2", tables=("triangulation", "lr_sweep")),
    band=greater_by(HALF_COLLAPSE, because="half of the published fall of the cosine"),
    controls=faithful(HALF_COLLAPSE / 2),
    note="cosine of BPTT-150 with BPTT-400 less that of EP with BPTT-150.",
)
def test_not_the_horizon(run):
    return plateau(run, "cosine_bptt_horizons").min(), plateau(run, "cosine_ep_bptt").max()


@claim(
    "ep_plateau/not-mixing-length",
    "The equilibrium block mixes over no shorter distances than the decoder.",
    source=Source(section="2", tables=("influence",)),
    arms=("published", "bp"),
    band=at_least(0.0, because="the document says that contraction does not shorten it"),
    controls=[null("bp", margin=0.1)],
    note="logarithm of the ratio of mean distances, weighted by influence",
)
def test_not_mixing_length(ep, bp):
    def mean_distance(run):
        influence = by_distance(run)
        zero = Figure.exactly(0.0)
        weighted = sum((distance * at for distance, at in influence.items()), start=zero)
        return weighted / sum(influence.values(), start=zero)

    return (mean_distance(ep) / mean_distance(bp)).log()


@claim(
    "ep_plateau/estimator-is-the-cause",
    "From the plateau, with all else kept, another estimator learns on where EP does not.",
    source=Source(section="2"),
    arms=("swap_frozen", "swap_tracking", "swap_bptt"),
    band=at_least(0.5, because="half of what the true gradient gains there"),
    controls=[
        control(
            "swap_tracking",
            "swap_adjoint",
            "swap_bptt",
            why="one faithful estimator swapped for another",
            margin=0.25,
        )
    ],
    note="lead in last held-out loss over the document's estimator, as a share of the fall with "
    "the true gradient",
)
def test_estimator_is_the_cause(frozen, tracking, bptt):
    for run in (tracking, bptt):
        refuse_if_broken(run)
    start = bptt.cell("validation_loss", step="first")
    gain = start - bptt.cell("validation_loss", step="last")
    if gain.low <= 0:
        raise UndecidableError(f"{bptt.label}: the true gradient gains nothing from the plateau")
    lead = frozen.cell("validation_loss", step="last")
    return (lead - tracking.cell("validation_loss", step="last")) / gain


@claim(
    "ep_plateau/tracking-lowers-the-plateau",
    "Trained throughout with a correction that moves along, the block reaches a lower loss.",
    source=Source(section="2, lever (a)"),
    arms=("published", "tracking"),
    band=greater_by(
        FIFTH_OF_THE_GAP, because="a fifth of the published gap to the decoder: less is unchanged"
    ),
    controls=[null("published", margin=FIFTH_OF_THE_GAP / 2)],
    note="the document proposes it and gives no figure. Best losses, as the plateau's 2.4037 is; a "
    "run that breaks after its best is not judged",
)
def test_tracking_lowers_the_plateau(frozen, tracking):
    for run in (frozen, tracking):
        refuse_if_broken(run)
    return best_loss(frozen).min(), best_loss(tracking).min()


@claim(
    "ep_plateau/bias-not-noise",
    "Averaged over many batches, the EP gradient at the plateau is no better aligned.",
    source=Source(section="2"),
    band=at_most(0.5, because="half of what noise would leave: less is no noise"),
    controls=faithful(0.25),
    note="cosine of the averages over n batches as a part of c√n / √(1 + (n - 1)c²), what it would "
    "be with independent noise and a cosine of c for one batch; undecided where that is itself "
    "below 0.472. The document still lists averaging as a remedy",
)
def test_bias_not_noise(run):
    averaged = run.cells("cosine_averaged", point="plateau").by("batches")
    n, one = max(averaged), averaged[min(averaged)][0].middle
    expected = one * math.sqrt(n) / math.sqrt(1 + (n - 1) * one**2)
    if expected < MIDWAY:
        raise UndecidableError(f"{run.label}: noise would leave {expected:.2g}: too few batches")
    return averaged[n][0] / expected


@claim(
    "ep_plateau/8e-4-lives-9e-4-explodes",
    "One learning rate stays near the fixed point to the end, one an eighth higher does not.",
    source=Source(section="0"),
    arms=("published", "lr_9e-4"),
    band=at_least(0.0, because="the document's fuse lies between the two"),
    controls=[control("published", "published", why="one rate on both sides", margin=0.1)],
    note="the smaller distance of the two largest residuals from the fuse, each on its own side, "
    "in logarithms",
)
def test_8e_4_lives_9e_4_explodes(lower, higher):
    lives = (FUSE / lower.cell("largest_residual")).log()
    return least([lives, (higher.cell("largest_residual") / FUSE).log()])


@claim(
    "ep_plateau/ep-at-least-bptt-at-a-matched-residual",
    "At the same tight residual EP reaches a loss no higher than BPTT's.",
    source=Source(section="0", tables=("earlier",)),
    arms=("bptt_tight", "ep_tight"),
    band=greater_by(0.0, because="the document states the order"),
    controls=[null("ep_tight", margin=0.02)],
    note="a lower loss is better; the figures are of an earlier result that the document quotes. "
    "Lowest losses of the second half of the run, undecided unless the median residuals of that "
    "half match and neither run breaks",
)
def test_ep_at_least_bptt(bptt, ep):
    for run in (bptt, ep):
        refuse_if_pinned(run)
    refuse_if_not_matched(bptt, ep)
    for run in (bptt, ep):
        refuse_if_broken(run)
    return settled_loss(bptt), settled_loss(ep)


@claim(
    "ep_plateau/gap-grows-with-context",
    "The longer the context, the further what EP reaches lies from what the decoder does.",
    source=Source(section="0"),
    arms=("context_64", "bp_context_64", "context_128", "bp_context_128", "published", "bp"),
    band=ordered(
        "rising",
        gap=FIFTH_OF_THE_GAP / 2,
        because="a fifth of the published gap at 256 over two doublings: less is unchanged",
    ),
    controls=[
        null(*["published", "bp"] * 3, margin=FIFTH_OF_THE_GAP / 4, blocks=(0, 0, 1, 1, 2, 2))
    ],
    note="gap of the best losses at contexts of 64, 128 and 256, undecided where a run breaks. The "
    "document means the gap to BPTT under loose control, of which it gives neither setting nor "
    "figure",
)
def test_gap_grows_with_context(*runs):
    for run in runs:
        refuse_if_broken(run)
    return [
        best_loss(ep).min() - best_loss(bp).min()
        for ep, bp in zip(runs[::2], runs[1::2], strict=True)
    ]


@claim(
    "ep_plateau/plateau-type",
    "The plateau is valid but over-contracted: tiny residual, faithful gradient, far from BP.",
    source=Source(section="0; 2", tables=("triangulation", "lr_sweep", "setup")),
    arms=("published", "bp"),
    band=at_least(
        0.0,
        because="the thresholds of the document's second kind, stated where it is "
        "told from the others",
    ),
    controls=[null("published", margin=HALF_THE_GAP / 2)],
    note="least distance past the thresholds of that kind; the words are the document's, not they",
)
def test_plateau_type(ep, bp):
    residual = plateau(ep, "residual_at").max()
    cosine = plateau(ep, "cosine_ep_bptt").min()
    excess = best_loss(ep).min() - best_loss(bp).max()
    skipped = skipped_share(ep)

    def margin(residual, cosine, excess, skipped):
        features = PlateauFeatures(
            residual=residual, cosine=cosine, excess_loss=excess, skipped=skipped
        )
        return classify(features).margins["over_contracted"]

    return Figure(
        margin(residual.high, cosine.low, excess.low, skipped),
        margin(residual.low, cosine.high, excess.high, skipped),
    )


@claim(
    "ep_plateau/bp-needs-1024-wide",
    "The decoder enters the band of capable models at twice the width, and not before.",
    source=Source(section="0, Target"),
    arms=("bp", "bp_wide"),
    band=at_least(0.0, because="the document's band ends at 1.5"),
    controls=[control("bp", "bp", why="one width on both sides")],
    note="the smaller distance of the two best losses from 1.5, each on its own side",
)
def test_bp_needs_1024_wide(narrow, wide):
    return least([best_loss(narrow).max() - CAPABLE, CAPABLE - best_loss(wide).min()])


# Ours


@claim(
    "ep_plateau/frozen-correction-is-the-cause",
    "At the same point tracking and the adjoint do not collapse: the frozen correction does.",
    source=Source(section="ours"),
    band=greater_by(HALF_COLLAPSE, because="half of the published fall of the cosine"),
    smoke=True,
    controls=faithful(HALF_COLLAPSE / 2),
    note="the lesser cosine of tracking and adjoint with the true gradient less that of the "
    "document's estimator, all batches as one. " + CONSTRUCTED,
)
def test_frozen_correction_is_the_cause(run):
    names = ("tracking", "adjoint")
    return least(as_one_batch(run.under(name)) for name in names), as_one_batch(run)


@claim(
    "ep_plateau/four-points-do-not-cure-it",
    "Four nudge points instead of two leave the gradient at the plateau as far too long.",
    source=Source(section="ours; 2 proposes it"),
    arms=("published:four_points",),
    band=at_least(HALF_EXPLOSION, because="half of the published explosion, ln 4223"),
    smoke=True,
    controls=faithful(HALF_EXPLOSION / 2),
    note="logarithm of the norm ratio. " + CONSTRUCTED,
)
def test_four_points_do_not_cure_it(run):
    return exploded(run)


@claim(
    "ep_plateau/residual-gate-does-not-certify-the-nudge",
    "A free phase that passes the gate does not make the gradient a faithful one.",
    source=Source(section="ours", tables=("triangulation", "lr_sweep")),
    band=at_least(0.0, because="ours: below the gate, and beyond half of the published explosion"),
    controls=faithful(0.5),
    note="the smaller of: 1 - residual / gate; logarithm of the norm ratio over 4.17, - 1",
)
def test_residual_gate_does_not_certify(run):
    passes = 1 - plateau(run, "residual_at").max() / GATE
    return least([passes, exploded(run) / HALF_EXPLOSION - 1])
