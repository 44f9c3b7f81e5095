"""Document `routing_collapse`: a mixture-of-experts router under sequential update cycles.

Every band was written down before the seeds that judge it were run. Where the document states a
threshold it is used; else half of the published change from baseline ("half the change"), or a
fifth of it for what is said not to change. `usage` is softmax mass, the mean routing probability of
an expert: not the share of tokens that reach it, which under top-2 routing is never above a half.
"""

from __future__ import annotations

import math

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
    ordered,
    within,
)
from decouple.claim.bands import largest_reversal
from decouple.experiments.routing_collapse import PRESETS
from decouple.models.moe_config import parameter_count

HALF_SHARE = 0.5925
"""Halfway from a balanced quarter to the published 0.935 of the deepest layer."""

HALF_THE_CHANGE = "half of the published change from baseline: 0.25 + (0.935 - 0.25) / 2"

HALF_THE_CONTRAST = 0.345
"""Half of the published difference between a collapsed and a balanced layer, 94 % and 25 %."""

BALANCED = control(
    "load_balanced_1.0", why="a load-balancing loss in every layer keeps the router from collapsing"
)
BALANCED_SHARE = control(
    "load_balanced_1.0",
    why="a load-balancing loss in every layer keeps the router from collapsing",
    margin=HALF_THE_CONTRAST,
)


def top_share(run: Run, layer: str | int) -> Figure:
    """Softmax mass of the most used expert of a layer after the last cycle."""
    return run.cells("usage", step="last", layer=layer).max()


def loss(run: Run, condition: str | None = None) -> Figure:
    """Held-out loss after the last cycle, as trained or under an intervention."""
    view = run if condition is None else run.under(condition)
    return view.cell("held_out_loss", step="last")


def carried(run: Run, condition: str) -> Figure:
    """Rise of the held-out loss under an intervention, in units of losing the whole layer."""
    return (loss(run, condition) - loss(run)) / (loss(run, "layer_removed") - loss(run))


def published_parameters() -> int:
    """The parameter count of the published preset, by arithmetic."""
    return parameter_count(PRESETS["published"]().model, vocab_size=50_257)


@claim(
    "routing_collapse/parameter-count",
    "The described model has 8.56 million parameters; only one without attention does.",
    kind="exact",
    source=Source(section="Experimental Setup, Model", figure="8.56M", tables=("parameters",)),
    band=within(published_parameters(), absolute=0, because="arithmetic from the described sizes"),
    note="with attention it would be 8,825,232",
)
def test_parameter_count(run):
    return run.cell("parameters", step="first")


@claim(
    "routing_collapse/baseline-near-uniform",
    "Before training, the router of every layer is close to uniform.",
    source=Source(section="Summary; Router Entropy Collapse", tables=("router_entropy",)),
    band=at_least(
        math.log(4) - 0.996 / 5,
        because="a fifth of the deepest layer's published change below ln 4, the most there can be",
    ),
    smoke=True,
    controls=[control("sharp_router", why="the router's initial weights are eight times larger")],
)
def test_baseline_near_uniform(run):
    return run.cells("router_entropy", step="first").min()


@claim(
    "routing_collapse/deepest-top-share",
    "After the last cycle one expert of the deepest layer holds over nine tenths of the mass.",
    source=Source(section="Summary; Expert Usage", figure="93.5%", tables=("expert_usage_layer3",)),
    band=at_least(0.9, because="the document's 93.5 %, rounded down to its first digit"),
    smoke=at_least(HALF_SHARE, because=HALF_THE_CHANGE),
    controls=[BALANCED],
)
def test_deepest_top_share(run):
    return top_share(run, "last")


@claim(
    "routing_collapse/deepest-entropy-drop",
    "The router entropy of the deepest layer falls by most of its baseline value.",
    source=Source(section="Summary", figure="79%", tables=("router_entropy",)),
    band=at_least(0.395, because="half of the published fall of 79 %"),
    smoke=True,
    controls=[BALANCED],
)
def test_deepest_entropy_drop(run):
    entropy = run.cells("router_entropy", layer="last")
    return 1 - entropy[-1] / entropy[0]


@claim(
    "routing_collapse/atrophied-share",
    "The other experts of the deepest layer are left with a small part of the mass together.",
    source=Source(section="Expert Usage", figure="6.5%", tables=("expert_usage_layer3",)),
    band=at_most(
        0.4075, because="half of the published change from baseline: 0.75 - (0.75 - 0.065) / 2"
    ),
    smoke=True,
    controls=[BALANCED],
    note="one minus the top share by arithmetic",
)
def test_atrophied_share(run):
    usage = run.cells("usage", step="last", layer="last")
    return usage.without(usage.argmax()).sum()


@claim(
    "routing_collapse/shallowest-stays-balanced",
    "The shallowest layer keeps using its experts almost evenly.",
    source=Source(
        section="Expert Usage; The Dominant-Expert Thread",
        figure="33.1%",
        tables=("expert_usage_layer0",),
    ),
    band=at_most(
        0.387,
        because="said to stay balanced: a fifth of the deepest layer's change, 0.25 + 0.685 / 5",
    ),
    controls=[control("one_layer", why="with one layer the shallowest is the deepest")],
)
def test_shallowest_stays_balanced(run):
    return top_share(run, "first")


@claim(
    "routing_collapse/deepest-collapses-hardest",
    "After the last cycle the deepest layer has the lowest router entropy of all layers.",
    source=Source(section="Router Entropy Collapse", tables=("router_entropy",)),
    band=greater_by(0.073, because="half of the published gap to the next layer, 0.408 - 0.262"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[BALANCED],
)
def test_deepest_collapses_hardest(run):
    entropy = run.cells("router_entropy", step="last")
    return entropy.without(len(entropy) - 1).min(), entropy[-1]


@claim(
    "routing_collapse/deepest-collapses-fastest",
    "Already after the first cycle the deepest layer has the lowest router entropy.",
    source=Source(section="Router Entropy Collapse", tables=("router_entropy",)),
    band=greater_by(0.073, because="the gap asked of deepest-collapses-hardest"),
    published=greater_by(0.0, because="the prose states the order"),
    controls=[BALANCED],
)
def test_deepest_collapses_fastest(run):
    entropy = run.cells("router_entropy", step=1)
    return entropy.without(len(entropy) - 1).min(), entropy[-1]


@claim(
    "routing_collapse/depth-ordered",
    "After the last cycle router entropy falls from each layer to the next deeper one.",
    source=Source(section="Implications", tables=("router_entropy",)),
    band=ordered("falling", because="an order needs no threshold"),
    controls=[BALANCED],
)
def test_depth_ordered(run):
    return run.cells("router_entropy", step="last")


@claim(
    "routing_collapse/monotone-in-every-layer",
    "In no layer does router entropy ever rise again.",
    source=Source(section="Router Entropy Collapse", tables=("router_entropy",)),
    band=at_most(
        0.05, because="ours: a twentieth of the deepest layer's published fall of one nat"
    ),
    controls=[control("load_balanced_1.0", why="a loss that pushes entropy back up")],
)
def test_monotone_in_every_layer(run):
    layers = run.cells("router_entropy").by("layer").values()
    reversals = [largest_reversal(entropy, "falling") for entropy in layers]
    return max(reversals, key=lambda reversal: reversal.middle)


@claim(
    "routing_collapse/different-experts-dominate",
    "The two deepest layers are dominated by experts of different index.",
    source=Source(section="Expert Usage", tables=("expert_usage_layer2", "expert_usage_layer3")),
    band=at_least(0.3445, because="half of the published lead of the other expert, 0.761 - 0.072"),
    published=at_least(0.0, because="the prose states that they differ"),
    controls=[BALANCED],
    note="experts have no identity across layers: by chance the indices differ three times in four",
)
def test_different_experts_dominate(run):
    layers = list(run.cells("usage", step="last").by("layer").values())
    dominant = layers[-1].argmax()
    return layers[-2].without(dominant).max() - layers[-2][dominant]


@claim(
    "routing_collapse/training-loss",
    "The training loss falls from the first cycle to the last.",
    source=Source(section="Risk Analysis, Normal Operation"),
    band=at_least(0.394, because="half of the published relative fall from 22.2 to 4.7"),
    smoke=True,
    controls=[control("no_updates", why="a learning rate of zero")],
    note="the published start of 22 nats is that of unit-variance tied embeddings, not of language",
)
def test_training_loss(run):
    return 1 - run.cell("training_loss", step="last") / run.cell("training_loss", step="first")


@claim(
    "routing_collapse/caused-by-sequential-updates",
    "The deepest layer collapses because the data come in sequence: less so on shuffled windows.",
    source=Source(section="Summary; Implications"),
    arms=("published", "iid"),
    band=greater_by(0.3425, because="half of the published change of the top share"),
    smoke=True,
    controls=[null("published", margin=0.3425)],
    note="both arms see the same windows; a smoke cycle sees about two thirds of its chunk, a "
    "published one each chunk several times",
)
def test_caused_by_sequential_updates(sequential, iid):
    return top_share(sequential, "last"), top_share(iid, "last")


@claim(
    "routing_collapse/invisible-in-the-loss",
    "The collapse does not show in the held-out loss: it is no worse than a balanced model's.",
    source=Source(section="Risk Analysis, Normal Operation"),
    arms=("published", "load_balanced_1.0"),
    band=at_most(0.1, because="ours: a tenth of a nat"),
    smoke=True,
    controls=[
        control(
            "published:dominant_removed",
            "load_balanced_1.0",
            why="damage that must show: the dominant expert of the deepest layer is gone",
            margin=0.1,
        )
    ],
)
def test_invisible_in_the_loss(collapsed, balanced):
    return loss(collapsed) - loss(balanced)


@claim(
    "routing_collapse/dominant-expert-carries-the-layer",
    "Removing the dominant expert costs most of what removing the whole deepest layer costs.",
    source=Source(section="Risk Analysis, Fragility"),
    band=at_least(HALF_SHARE, because=HALF_THE_CHANGE + ", as a share of the layer's effect"),
    smoke=True,
    controls=[BALANCED_SHARE],
    note="close to true by construction: gates are not renormalised, so an expert of most of the "
    "mass makes most of the layer's output",
)
def test_dominant_expert_carries_the_layer(run):
    return carried(run, "dominant_removed")


@claim(
    "routing_collapse/no-fallback",
    "Forced around the dominant expert, the deepest layer is still mostly lost.",
    source=Source(section="Summary; Risk Analysis, Fragility"),
    band=at_least(HALF_SHARE, because="what dominant-expert-carries-the-layer asks of removal"),
    smoke=True,
    controls=[BALANCED_SHARE],
)
def test_no_fallback(run):
    return carried(run, "dominant_rerouted")


@claim(
    "routing_collapse/traffic-at-risk",
    "One expert of the collapsed deepest layer has far more softmax mass than one of a balanced.",
    source=Source(section="The Catastrophic Scenario"),
    arms=("published", "load_balanced_1.0"),
    band=greater_by(
        HALF_THE_CONTRAST, because="half of the published difference, 94 % against 25 %"
    ),
    smoke=True,
    controls=[null("published", margin=HALF_THE_CONTRAST)],
    note="softmax mass; of the routing slots, under top-2, no expert ever has more than a half",
)
def test_traffic_at_risk(collapsed, balanced):
    return top_share(collapsed, "last"), top_share(balanced, "last")


@claim(
    "routing_collapse/outlier-batch-hits-harder-when-collapsed",
    "One outlier batch on the dominant expert costs a collapsed model more than a balanced one.",
    source=Source(section="The Catastrophic Scenario"),
    arms=("published", "load_balanced_1.0"),
    band=at_least(0.29, because="half of the contrast predicted by traffic, (94 - 25) / (94 + 25)"),
    smoke=True,
    controls=[null("published", margin=0.29)],
    note="contrast (a - b) / (|a| + |b|) of the rises in held-out loss",
)
def test_outlier_batch_hits_harder(collapsed, balanced):
    a = loss(collapsed, "outlier_hit") - loss(collapsed)
    b = loss(balanced, "outlier_hit") - loss(balanced)
    return (a - b) / (abs(a) + abs(b))


@claim(
    "routing_collapse/balancing-slows-collapse",
    "A load-balancing loss of the usual weight makes the deepest layer collapse later.",
    source=Source(section="Implications, For MoE architectures generally"),
    arms=("published", "load_balanced_0.01"),
    band=greater_by(0.137, because="a fifth of the published change: less counts as unchanged"),
    smoke=True,
    controls=[null("published", margin=0.137)],
    note="top share averaged over the cycles, so that reaching the same end later counts",
)
def test_balancing_slows_collapse(unbalanced, weakly_balanced):
    def over_the_cycles(run):
        steps = list(run.cells("usage", layer="last").by("step").values())
        shares = [usage.max() for usage in steps[1:]]  # the first is the untrained model
        return sum(shares, start=Figure.exactly(0.0)) / len(shares)

    return over_the_cycles(unbalanced), over_the_cycles(weakly_balanced)


@claim(
    "routing_collapse/weak-balancing-does-not-prevent",
    "With a load-balancing loss of the usual weight one expert still holds over half the mass.",
    source=Source(section="Implications, For MoE architectures generally"),
    arms=("load_balanced_0.01",),
    band=at_least(0.5, because="a majority: one expert outweighs the others together"),
    smoke=True,
    controls=[BALANCED],
    note="says little where so weak a loss hardly moves the router: see balancing-slows-collapse",
)
def test_weak_balancing_does_not_prevent(run):
    return top_share(run, "last")


@claim(
    "routing_collapse/single-expert-in-every-layer",
    "In each layer, not only in the deepest, one expert ends up with most of the mass.",
    source=Source(section="Summary", tables=("dominant_thread",)),
    band=at_least(0.5, because="a majority: one expert outweighs the others together"),
    smoke=True,
    controls=[BALANCED],
)
def test_single_expert_in_every_layer(run):
    layers = run.cells("usage", step="last").by("layer").values()
    return min((usage.max() for usage in layers), key=lambda share: share.middle)


@claim(
    "routing_collapse/second-deepest-top-share",
    "The second deepest layer is dominated by one expert too.",
    source=Source(
        section="Expert Usage; The Dominant-Expert Thread",
        figure="76.1%",
        tables=("expert_usage_layer2",),
    ),
    band=at_least(0.5055, because="half of the published change: 0.25 + (0.761 - 0.25) / 2"),
    smoke=True,
    controls=[BALANCED],
)
def test_second_deepest_top_share(run):
    layers = list(run.cells("usage", step="last").by("layer"))
    second = layers[-2] if len(layers) > 1 else layers[-1]
    return top_share(run, second)


@claim(
    "routing_collapse/redistribution-takes-many-steps",
    "A quarter of a cycle after the dominant expert was shut out, its loss is far from made good.",
    source=Source(section="Risk Analysis, Fragility"),
    band=at_least(
        0.296, because="half of the share that dominant-expert-carries-the-layer asks for"
    ),
    controls=[BALANCED],
    note="excess over training on as long with the expert, in units of losing the whole layer; the "
    "document gives no number of steps",
)
def test_redistribution_takes_many_steps(run):
    def after_a_quarter(condition):
        recovery = run.under(condition).cells("recovery_loss").by("step")
        quarter = max(recovery) / 4
        return recovery[min(recovery, key=lambda step: abs(step - quarter))][0]

    excess = after_a_quarter("dominant_rerouted") - after_a_quarter("continued")
    return excess / (loss(run, "layer_removed") - loss(run))


@claim(
    "routing_collapse/atrophied-experts-misaligned-with-the-head",
    "Atrophied experts point less towards the embedding of the right token than the dominant one.",
    source=Source(section="Connection to User Observations"),
    band=at_least(1 / 3, because="ours: the dominant expert is aligned at least twice as well"),
    smoke=True,
    controls=[BALANCED],
    note="contrast (d - a) / (|d| + |a|) of mean cosines with the centred embedding",
)
def test_atrophied_experts_misaligned(run):
    dominant = run.cells("usage", step="last", layer="last").argmax()
    alignment = run.cells("head_alignment", step="last", layer="last")
    d, a = alignment[dominant], alignment.without(dominant).mean()
    return (d - a) / (abs(d) + abs(a))


@claim(
    "routing_collapse/router-and-head-collapse-independently",
    "Where the router has collapsed, the head still tells tokens apart as well as a balanced one.",
    source=Source(section="Summary"),
    arms=("published", "load_balanced_1.0"),
    band=equivalent(0.2, because="a fifth, for a quantity said not to change"),
    controls=[
        control(
            "no_updates",
            "load_balanced_1.0",
            why="an untrained head only echoes the token it reads",
            margin=0.2,
        )
    ],
    note="one direction only; ratio, collapsed to balanced, of entropy of the mean prediction less "
    "mean entropy",
)
def test_router_and_head_collapse_independently(collapsed, balanced):
    def told_apart(run):
        entropy = run.cell("head_entropy", step="last")
        return entropy - run.cell("output_entropy", step="last")

    return told_apart(collapsed) / told_apart(balanced), 1.0


@claim(
    "routing_collapse/low-entropy-is-not-collapse",
    "In the shallowest layer the fall of entropy is specialisation, in the deepest it is not.",
    source=Source(
        section="ours",
        tables=("router_entropy", "expert_usage_layer0", "expert_usage_layer3"),
    ),
    band=greater_by(0.465, because="half of what the document's own tables give, 0.97 - 0.04"),
    published=greater_by(0.0, because="one table against another: only the order is asked"),
    smoke=True,
    controls=[
        control(
            "load_balanced_1.0",
            why="in a balanced model low entropy is specialisation in every layer",
            margin=0.465,
        )
    ],
    note="mutual information of token and expert as a part of ln 4 - mean token entropy",
)
def test_low_entropy_is_not_collapse(run):
    def specialised(layer):
        usage = run.cells("usage", step="last", layer=layer)
        token_entropy = run.cell("router_entropy", step="last", layer=layer)
        return (usage.entropy() - token_entropy) / (math.log(4) - token_entropy)

    return specialised("first"), specialised("last")
