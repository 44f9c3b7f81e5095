"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One break."""

    name: str
    why: str
    "how such a break could come about"
    file: str
    before: str
    "text that the file holds exactly once"
    after: str
    caught_by: tuple[str, ...]
    "pytest node ids that must fail; node ids of claims are caught by a verdict"

    @property
    def by_verdict(self) -> bool:
        """Whether claims, not only unit tests, are to catch it."""
        return all(test.startswith("claims/") for test in self.caught_by)
