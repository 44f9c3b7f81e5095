"""Figures of the document `ep_plateau`."""

import pandas as pd

from decouple.report.figures.panels import Document, Lines

ARMS = {
    "published": "equilibrium propagation",
    "bp": "standard decoder",
    "bptt": "exact gradient, same controller",
    "tracking": "correction that moves along",
    "swap_frozen": "kept as it is",
    "swap_tracking": "swapped: tracking",
    "swap_adjoint": "swapped: adjoint",
    "swap_bptt": "swapped: exact",
}

NAMES = {
    **ARMS,
    "cosine_ep_bptt": "EP with the exact gradient",
    "cosine_bptt_horizons": "exact gradient, two horizons",
    "self_cosine_ep": "EP with itself on other batches",
    "self_cosine_bptt": "exact gradient with itself",
    "loss_change_bptt": "exact gradient",
    "loss_change_ep": "EP",
    "loss_change_ep_jac": "EP with the regulariser",
    "loss_change_ep_matched": "EP at the exact gradient's length",
    "validation_loss": "validation loss",
    "residual": "residual of the free phase",
}

SNAPSHOT = ("step", "point")


def influence_normalised(table: pd.DataFrame) -> pd.DataFrame:
    """Influence over that at the shortest distance, run by run."""
    if "distance" not in table.columns:
        return table.iloc[:0]
    keys = [name for name in ("arm", "seed", "step", "point", "condition") if name in table]
    rows = table[(table["metric"] == "influence") & table["distance"].notna()]
    rows = rows.sort_values("distance")
    nearest = rows.groupby(keys, dropna=False)["value"].transform("first")
    return rows.assign(metric="influence_normalised", value=rows["value"] / nearest)


DOCUMENT = Document(
    stem="ep_plateau",
    title="Equilibrium-propagation plateau",
    about="Why does training by equilibrium propagation stop getting better?",
    arms=ARMS,
    derived={"influence_normalised": influence_normalised},
    panels=(
        Lines(
            name="gradients",
            title="Cosine between gradients, at snapshots of the run",
            metrics=(
                "cosine_ep_bptt",
                "cosine_bptt_horizons",
                "self_cosine_ep",
                "self_cosine_bptt",
            ),
            y_label="cosine",
            x=SNAPSHOT,
            x_label="snapshot",
            x_scale="rank",
            facet="metric",
            names=NAMES,
            note="The last snapshot is the plateau; in a small run it is constructed.",
        ),
        Lines(
            name="norm-ratio",
            title="Length of the EP gradient over that of the exact one",
            metrics=("norm_ratio",),
            y_label="ratio",
            x=SNAPSHOT,
            x_label="snapshot",
            x_scale="rank",
            y_scale="log",
            names=NAMES,
        ),
        Lines(
            name="one-step",
            title="Change of the loss in one step, by learning rate",
            metrics=(
                "loss_change_bptt",
                "loss_change_ep",
                "loss_change_ep_jac",
                "loss_change_ep_matched",
            ),
            y_label="change of the loss (nats)",
            x=("learning_rate",),
            x_label="learning rate",
            x_scale="log",
            y_scale="symlog",
            series=("metric",),
            where={"point": "plateau"},
            names=NAMES,
            note="From the plateau point; the document prints the best rates only.",
        ),
        Lines(
            name="influence",
            title="Influence of a token by distance",
            metrics=("influence_normalised",),
            y_label="influence over that of the nearest",
            x=("distance",),
            x_label="distance in tokens",
            x_scale="log",
            y_scale="log",
            arms=("published", "bp"),
            where={"point": "plateau"},
            names=NAMES,
        ),
        Lines(
            name="training",
            title="Validation loss by step",
            metrics=("validation_loss",),
            y_label="nats per token",
            x_label="step",
            arms=("published", "bp", "bptt", "tracking"),
            names=NAMES,
        ),
        Lines(
            name="residual",
            title="Residual of the free phase by step",
            metrics=("residual",),
            y_label="mean force residual",
            x_label="step",
            y_scale="log",
            arms=("published", "bptt", "tracking"),
            names=NAMES,
        ),
        Lines(
            name="swap",
            title="Validation loss after the estimator is swapped at the plateau",
            metrics=("validation_loss",),
            y_label="nats per token",
            x_label="step",
            arms=("swap_frozen", "swap_tracking", "swap_adjoint", "swap_bptt"),
            names=NAMES,
        ),
    ),
)
