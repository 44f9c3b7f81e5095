"""Figures of the document `routing_collapse`."""

from decouple.report.figures.panels import Document, Heat, Lines

ARMS = {
    "published": "as published",
    "load_balanced_1.0": "balancing loss 1.0",
    "iid": "i.i.d. batches",
}

INTERVENTIONS = {
    "trained": "as trained",
    "other_removed": "another expert removed",
    "dominant_removed": "dominant removed",
    "dominant_rerouted": "dominant rerouted",
    "layer_removed": "layer removed",
    "outlier_hit": "outlier batch",
}

DOCUMENT = Document(
    stem="routing_collapse",
    title="Routing collapse",
    about="Does a mixture-of-experts router come to rely on one expert under sequential updates?",
    arms=ARMS,
    panels=(
        Lines(
            name="router-entropy",
            title="Router entropy by layer and cycle",
            metrics=("router_entropy",),
            y_label="entropy of the routing probabilities (nats)",
            facet="layer",
            arms=("published", "load_balanced_1.0", "iid"),
            names=ARMS,
            note="An even choice among four experts has ln 4 = 1.386 nats.",
        ),
        Heat(
            name="usage",
            title="Expert usage by layer and cycle",
            metric="usage",
            arms=("published", "load_balanced_1.0"),
            names=ARMS,
            note=(
                "Experts are exchangeable: within each seed and layer they are ranked by their "
                "mass after the last cycle, then averaged over seeds."
            ),
        ),
        Lines(
            name="loss",
            title="Held-out loss and the entropy of the output",
            metrics=("held_out_loss", "output_entropy"),
            y_label="nats per token",
            facet="metric",
            common_y=False,
            arms=("published", "load_balanced_1.0", "iid"),
            names={
                **ARMS,
                "held_out_loss": "held-out loss",
                "output_entropy": "entropy of the predictions",
            },
        ),
        Lines(
            name="interventions",
            title="Held-out loss after the last cycle under interventions on the deepest layer",
            metrics=("held_out_loss",),
            y_label="nats per token",
            x=("condition",),
            x_label="intervention",
            x_scale="category",
            arms=("published", "load_balanced_1.0"),
            at_last=True,
            names={**ARMS, **INTERVENTIONS},
        ),
    ),
)
