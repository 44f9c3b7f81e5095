"""What the judge asks of an experiment, and how it finds one by its document's stem."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

DEFAULT_PACKAGES = ("decouple.experiments",)
"""Where experiments are looked for; a project adds its own with the ini option."""

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a word on what is running)."""


class Experiment(Protocol):
    """The module `<package>.<stem>`. Importing it must be cheap: it must not import torch."""

    STEM: str
    PRESETS: Mapping[str, Callable[[], Any]]
    "name to a function that returns the configuration, a frozen dataclass"
    TIERS: Mapping[str, str]
    "tier to the preset that fills it"
    ARMS: Mapping[str, Callable[[Any], Any]]
    "arm to a function that derives its configuration"
    LIBRARIES: tuple[str, ...]
    "distributions whose versions identify a run"
    OWN_DATA: Collection[str]
    "data fingerprints of the document's own text; claims of kind figure are judged only there"
    SEEDS: Mapping[str, int]
    "preset to how many seeds judge it unless the person says otherwise"
    CALIBRATION_SEEDS: Mapping[str, Sequence[int]]
    "preset to the seeds its size was chosen on"

    def group_size(self, config: Any) -> int:
        """How many seeds are trained together; part of the configuration."""

    def with_inputs(
        self, config: Any, *, corpus: str | None, tokenizer: str | None, base: str | None
    ) -> Any:
        """The configuration on a user's text file, tokenizer folder and base model.

        None keeps what the preset has; an experiment without a base model has no use for one.
        """

    def missing(self, config: Any) -> str | None:
        """What a run needs that is not on this machine, and how to get it; None if all is here."""

    def device(self, config: Any) -> str:
        """`cpu` or `cuda`."""

    def expected_cells(self, config: Any) -> Mapping[str, int]:
        """Metric to the number of cells that a run has once it is finished."""

    def data_fingerprint(self, config: Any) -> str:
        """Identifies the text and the tokenizer, without building them where that is slow."""

    def describe(self, config: Any) -> dict[str, str]:
        """Base model, corpus and tokenizer in words: keys `base_model`, `corpus`, `tokenizer`."""

    def run(
        self,
        config: Any,
        seeds: Sequence[int],
        *,
        arm: str,
        scratch: Path,
        shared: Path,
        progress: Progress | None = None,
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Train and measure; returns the tidy table and a status for each seed.

        `scratch` is this group's own, for the state of an unfinished run; it goes when the run is
        stored. `shared` is one folder for all runs of the document, in this process and others:
        what lies there must be named by all that decides its content, and may vanish.
        """


class UnknownExperimentError(LookupError):
    """No experiment of that stem in the packages searched."""


@dataclass(frozen=True, slots=True)
class Located:
    """An experiment and the dotted name its code fingerprint starts from."""

    module: Any
    name: str

    def preset(self, tier: str, name: str | None = None) -> str:
        """The preset that fills a tier, or the one asked for by name.

        Raises:
            LookupError: if the experiment has no such tier or preset; lists those it has.
        """
        wanted = name if name is not None else self.module.TIERS.get(tier)
        if wanted is None:
            known = ", ".join(self.module.TIERS)
            raise LookupError(f"{self.module.STEM}: tier must be one of {known}, got {tier!r}")
        if wanted not in self.module.PRESETS:
            known = ", ".join(self.module.PRESETS)
            raise LookupError(f"{self.module.STEM}: preset must be one of {known}, got {wanted!r}")
        return str(wanted)

    def configure(
        self,
        preset: str,
        arm: str,
        *,
        corpus: str | None = None,
        tokenizer: str | None = None,
        base: str | None = None,
    ) -> Any:
        """The full configuration of one arm of one preset.

        Raises:
            LookupError: if there is no such arm; lists those there are.
        """
        if arm not in self.module.ARMS:
            known = ", ".join(self.module.ARMS)
            raise LookupError(f"{self.module.STEM}: arm must be one of {known}, got {arm!r}")
        config = self.module.PRESETS[preset]()
        if (corpus, tokenizer, base) != (None, None, None):
            config = self.module.with_inputs(config, corpus=corpus, tokenizer=tokenizer, base=base)
        return self.module.ARMS[arm](config)


def locate(stem: str, packages: Sequence[str] = DEFAULT_PACKAGES) -> Located:
    """Find the experiment of a document.

    Raises:
        UnknownExperimentError: if no package holds it.
    """
    for package in packages:
        name = f"{package}.{stem}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Only the absence of this very module means "not here"; a broken import must be seen.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        return Located(module, name)
    raise UnknownExperimentError(f"no experiment {stem!r} in {', '.join(packages)}")
