"""Figures of the documents: what is drawn is declared in one file each, and drawn in `draw`."""

from decouple.report.figures import ep_plateau, long_run, routing_collapse, sequential_cycles

DOCUMENTS = {
    module.DOCUMENT.stem: module.DOCUMENT
    for module in (sequential_cycles, long_run, routing_collapse, ep_plateau)
}
"""Stem to what is drawn of the document."""
