"""Figures of the document `long_run`."""

import numpy as np
import pandas as pd

from decouple.report.figures.panels import Document, Lines, Samples

ARMS = {
    "published": "as published",
    "zero_injection": "without vectors",
    "unmasked": "loss on all positions",
    "random_mask": "random mask",
    "embeddings_frozen": "embeddings frozen",
    "no_updates": "no updates",
}

NAMES = {
    **ARMS,
    "with": "vectors in place",
    "without": "vectors taken out",
    "masked_loss": "positions of the mask, trained on",
    "low_entropy_loss": "the other positions, never trained on",
}

LENGTH = 70
"""Epochs of the document's run; claims read shorter ones at the same share of the run."""

RUN = ["document", "arm", "seed", "layer", "condition"]


def retention(table: pd.DataFrame) -> pd.DataFrame:
    """What stays of the rise of the dark-matter ratio once the vectors are taken out.

    (without − base) / (with − base), base the ratio at step 0 without vectors; NaN where the
    vectors raised nothing.
    """
    if not {"layer", "vectors", "condition"} <= {*table.columns}:
        return table.iloc[:0]
    ratio = table[(table["metric"] == "dark_matter") & (table["condition"] == "trained")]
    wide = ratio.pivot_table(index=[*RUN, "step"], columns="vectors", values="value")
    if wide.empty or not {"with", "without"} <= {*wide.columns}:
        return table.iloc[:0]
    wide = wide.reset_index()
    base = wide[wide["step"] == 0].set_index(RUN)["without"].rename("base")
    wide = wide[wide["step"] > 0].join(base, on=RUN)
    rise = (wide["with"] - wide["base"]).replace(0.0, np.nan)
    wide["value"] = (wide["without"] - wide["base"]) / rise
    return wide.assign(metric="retention")[[*RUN, "step", "metric", "value"]]


DOCUMENT = Document(
    stem="long_run",
    title="Long run",
    about="What stays in the weights when vectors that were injected in training are taken out?",
    arms=ARMS,
    derived={"retention": retention},
    panels=(
        Lines(
            name="dark-matter",
            title="Dark-matter ratio by layer and epoch",
            metrics=("dark_matter",),
            y_label="share outside the leading directions",
            x_label="epoch",
            document_length=LENGTH,
            facet="layer",
            series=("vectors",),
            names=NAMES,
            note="Share of the states' energy outside the base model's leading directions.",
        ),
        Lines(
            name="dark-matter-arms",
            title="Dark-matter ratio without the vectors, by arm",
            metrics=("dark_matter",),
            y_label="share outside the leading directions",
            x_label="epoch",
            document_length=LENGTH,
            facet="layer",
            arms=("published", "zero_injection", "unmasked", "no_updates"),
            where={"vectors": "without"},
            names=NAMES,
            note="An arm that never had the vectors shows what training alone does to the ratio.",
        ),
        Lines(
            name="retention",
            title="Retention by layer and epoch",
            metrics=("retention",),
            y_label="share of the rise that stays",
            y_limits=(-0.5, 2.0),
            x_label="epoch",
            document_length=LENGTH,
            facet="layer",
            names=NAMES,
            note=(
                "(without − base) / (with − base). At the first layer with a vector it is 1 by "
                "arithmetic where the subspace is frozen."
            ),
        ),
        Lines(
            name="weights",
            title="Distance of the weights from the base model",
            metrics=("weight_delta",),
            y_label="L2 distance",
            x_label="epoch",
            document_length=LENGTH,
            arms=("published", "zero_injection", "unmasked", "random_mask"),
            names=NAMES,
        ),
        Lines(
            name="losses",
            title="Training-text loss on and off the mask",
            metrics=("masked_loss", "low_entropy_loss"),
            y_label="nats per token",
            x_label="epoch",
            document_length=LENGTH,
            facet="metric",
            common_y=False,
            arms=("published", "zero_injection", "unmasked", "random_mask"),
            names=NAMES,
        ),
        Lines(
            name="continuation-byte",
            title="Probability of the right continuation byte after a lead byte",
            metrics=("continuation_probability",),
            y_label="mean probability",
            x_label="epoch",
            document_length=LENGTH,
            arms=("published", "zero_injection", "unmasked", "random_mask"),
            names=NAMES,
        ),
        Lines(
            name="coherence",
            title="Coherence of continuations",
            metrics=("coherence",),
            y_label="composite score, 0 to 1",
            x_label="epoch",
            document_length=LENGTH,
            arms=("published", "zero_injection", "unmasked"),
            names=NAMES,
            note=(
                "The document gives no score: its points are our coding of its words, 1 for "
                "coherent or recovered, 0 for broken or collapsed."
            ),
        ),
        Samples(
            name="samples",
            title="Continuations",
            x_label="epoch",
            arms=("published", "zero_injection", "unmasked"),
            seeds=1,
            names=NAMES,
            note="The first seed of each arm; the prompts are the project's own.",
        ),
    ),
)
