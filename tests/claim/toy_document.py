"""A toy experiment without torch: numbers around a mean, every training noted in a log file.

The fixtures copy this file into a package of its own; it is never imported from here.
"""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

STEM = "toy"
LIBRARIES = ("numpy",)
OWN_DATA = ("text of the document",)
SEEDS = {"large": 10}
CALIBRATION_SEEDS = {"small": (1000, 1001), "overlapping": (3,)}


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    mean: float = 0.9
    spread: float = 0.02
    group: int = 5
    corpus: str = "toy text"
    device: str = "cpu"
    trouble: str = ""
    base: str = "none"


PRESETS = {
    "small": ToyConfig,
    "large": lambda: ToyConfig(group=10, device="cuda"),
    "overlapping": ToyConfig,
    "own": lambda: ToyConfig(corpus="text of the document"),
    "single": lambda: ToyConfig(group=1),
}
TIERS = {"smoke": "small", "gpu": "large"}
ARMS = {
    "published": lambda config: config,
    "balanced": lambda config: replace(config, mean=0.3),
    "high": lambda config: replace(config, mean=0.92),
    "doubtful": lambda config: replace(config, mean=0.8, spread=0.1),
    "constant": lambda config: replace(config, spread=0.0),
    "nan": lambda config: replace(config, mean=float("nan")),
    "diverging": lambda config: replace(config, trouble="diverge"),
    "gappy": lambda config: replace(config, trouble="gap"),
    "crashing": lambda config: replace(config, trouble="crash"),
    "untidy": lambda config: replace(config, trouble="untidy"),
    "forgetful": lambda config: replace(config, trouble="forget"),
}


def group_size(config):
    return config.group


def with_inputs(config, *, corpus, tokenizer, base):
    config = replace(config, base=config.base if base is None else base)
    return replace(config, corpus=config.corpus if corpus is None else Path(corpus).name)


def device(config):
    return config.device


def expected_cells(config):
    return {"share": 4}


def data_fingerprint(config):
    assert missing(config) is None, "the digest of what is not here"
    return config.corpus


def describe(config):
    return {"base_model": config.base, "corpus": config.corpus, "tokenizer": "letters"}


def missing(config):
    return os.environ.get("TOY_MISSING")


def run(config, seeds, *, arm, scratch, shared, progress=None):
    assert scratch.is_dir()
    assert shared.parts[-2:] == ("shared", STEM)
    with Path(os.environ["TOY_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{arm} {seeds[0]}-{seeds[-1]}\n")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if os.environ.get("TOY_INTERRUPTED") == arm:
        raise KeyboardInterrupt
    if config.trouble == "crash":
        raise ArithmeticError("the toy broke")
    table = pd.DataFrame(
        {
            "document": STEM,
            "arm": arm,
            "seed": seed,
            "step": step,
            "metric": "share",
            "value": 0.25 + (config.mean - 0.25) * step / 3 + config.spread * _noise(arm, seed),
        }
        for seed in seeds
        for step in range(4)
    )
    if config.trouble == "untidy":
        table = table.drop(columns="step")
    if config.trouble == "forget":
        table = table[table["seed"] != seeds[2]]
    if config.trouble == "gap":
        table = table[table["step"] < 3]
    if config.trouble == "diverge":
        return table[table["step"] < 3], dict.fromkeys(seeds, "diverged at step 3: share is nan")
    return table, {}


def _noise(arm, seed):
    return float(np.random.default_rng([seed, *arm.encode()]).uniform(-1, 1))
