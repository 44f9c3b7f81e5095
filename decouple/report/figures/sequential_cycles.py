"""Figures of the document `sequential_cycles`."""

from decouple.report.figures.panels import Document, Lines, Samples

ARMS = {
    "full_model": "full model",
    "frozen_head": "frozen head",
    "embeddings_frozen": "embeddings frozen",
    "wte_only": "token embedding only",
    "same_chunk": "same chunk every cycle",
    "shuffled": "chunks shuffled",
    "gauge_shifted": "shifted embedding",
    "no_updates": "no updates",
}

NAMES = {
    **ARMS,
    "alignment": "raw, as the document measures it",
    "centred_alignment": "centred embedding",
    "held_out_loss": "held-out loss",
    "output_entropy": "entropy of the predictions",
}

DOCUMENT = Document(
    stem="sequential_cycles",
    title="Sequential cycles",
    about="Does the head of a pretrained language model turn under sequential updates?",
    arms=ARMS,
    panels=(
        Lines(
            name="alignment",
            title="Alignment of final states with the output embedding",
            metrics=("alignment", "centred_alignment"),
            y_label="mean cosine",
            facet="metric",
            common_y=False,
            arms=("full_model", "frozen_head", "embeddings_frozen", "gauge_shifted"),
            names=NAMES,
            note=(
                "The raw cosine can be moved anywhere by a shift of the embedding that leaves the "
                "model's function as it is; the centred one cannot."
            ),
        ),
        Lines(
            name="loss",
            title="Held-out loss and the entropy of the output",
            metrics=("held_out_loss", "output_entropy"),
            y_label="nats per token",
            facet="metric",
            common_y=False,
            arms=("full_model", "frozen_head", "embeddings_frozen", "same_chunk"),
            names=NAMES,
        ),
        Lines(
            name="coherence",
            title="Coherence of continuations",
            metrics=("coherence",),
            y_label="composite score, 0 to 1",
            arms=("full_model", "frozen_head", "embeddings_frozen"),
            names=NAMES,
            note="The document does not define its score; ours stands beside its figures.",
        ),
        Samples(
            name="samples",
            title="Continuations",
            arms=("full_model", "frozen_head"),
            where={"decoding": "sampled"},
            names=NAMES,
            note="Sampled, the first two seeds of each arm; the prompts are the project's own.",
        ),
    ),
)
