"""The judge: claims, bands, verdicts, evidence, ledger. Imports no torch and no experiment."""

from decouple.claim.bands import (
    Band,
    at_least,
    at_most,
    crosses,
    equivalent,
    greater_by,
    monotone,
    ordered,
    trending,
    within,
)
from decouple.claim.evidence import MissingCellError, Run, UndecidableError
from decouple.claim.figures import Cells, Figure
from decouple.claim.spec import Claim, Control, Source, claim, control, null
from decouple.claim.verdict import Verdict

__all__ = [
    "Band",
    "Cells",
    "Claim",
    "Control",
    "Figure",
    "MissingCellError",
    "Run",
    "Source",
    "UndecidableError",
    "Verdict",
    "at_least",
    "at_most",
    "claim",
    "control",
    "crosses",
    "equivalent",
    "greater_by",
    "monotone",
    "null",
    "ordered",
    "trending",
    "within",
]
