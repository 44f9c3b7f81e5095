"""A whole report about made-up runs of the four documents: store, tables, ledger and JSON."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from decouple.claim.ledger import propose, write_ledger
from decouple.claim.record import Provenance, Record, Setting
from decouple.claim.report import write_report
from decouple.claim.store import Identity, Store
from decouple.claim.trace import Trace

SEEDS = (0, 1, 2)
HOSTILE = "<script>document.body.dataset.hacked = 1</script></script><img src=x onerror=alert(1)>"

NASTY = (
    "</td></style></title></script>]]>--><script>document.body.dataset.hacked = 1</script>"
    "<svg onload='document.body.dataset.hacked = 1'>\"' onfocus=alert(1) autofocus $\\frac{$ `|*_"
    "\u202e backwards \u2066 שלום 🦜 \x00\x1b\ud800\r\n\r\n# heading\n" + "endless" * 300
)
"""Markup, mathematics, marks of direction, control characters, half a character, no end."""

TABLES = {
    "routing_collapse/router_entropy": "metric,step,layer,value\n"
    + "".join(f"router_entropy,{s},{x},{1.3 - 0.2 * s * x:.2f}\n" for s in (0, 2) for x in (0, 1)),
    "routing_collapse/usage": "metric,step,layer,expert,value\n"
    + "".join(f"usage,{s},1,{e},{v}\n" for s in (0, 2) for e, v in ((0, 0.25), (1, 0.75))),
    "sequential_cycles/alignment": "metric,step,arm,value\n"
    + "".join(f"alignment,{s},full_model,{-0.1 + 0.1 * s:.2f}\n" for s in (0, 1, 2)),
    "long_run/dark_matter": "metric,step,layer,vectors,value\n"
    + "".join(
        f"dark_matter,{s},{x},{v},0.{86 + s}\n"
        for s, x, v in product((0, 5), (8, 9), ("with", "without"))
        if s or v == "without"
    ),
    "ep_plateau/triangulation": "metric,step,point,value\n"
    "cosine_ep_bptt,0,descent,0.261\ncosine_ep_bptt,200,descent,0.989\n"
    "cosine_ep_bptt,20000,plateau,-0.045\nnorm_ratio,20000,plateau,4223\n",
}


def evidence(document, arm, seed):
    """Rows of one made-up run, with the coordinates that the experiment records."""
    rng = np.random.default_rng([seed, len(arm), len(document)])
    rows = []

    def add(metric, level, *, step, **coordinates):
        value = level + 0.03 * rng.standard_normal()
        rows.append({"metric": metric, "value": value, "step": step, **coordinates})

    MAKERS[document](add)
    table = pd.DataFrame(rows)
    for position, (name, value) in enumerate(
        {"document": document, "arm": arm, "seed": seed}.items()
    ):
        table.insert(position, name, value)
    return table


def routing_collapse(add):
    for step, layer in product(range(3), range(2)):
        add("router_entropy", 1.3 - 0.2 * step * layer, step=step, layer=layer, condition="trained")
        for expert in range(2):
            share = 0.5 + (0.2 if expert == layer else -0.2) * step
            cell = {"step": step, "layer": layer, "expert": expert, "condition": "trained"}
            add("usage", share, **cell)
    for step in range(3):
        add("held_out_loss", 5.0 - step, step=step, condition="trained")
        add("output_entropy", 3.0 + step, step=step, condition="trained")
    for condition in ("dominant_removed", "layer_removed"):
        add("held_out_loss", 4.0, step=2, condition=condition)


def sequential_cycles(add):
    for step in range(3):
        add("alignment", -0.1 + 0.1 * step, step=step)
        add("centred_alignment", 0.1 * step, step=step)
        add("held_out_loss", 3.0 - 0.2 * step, step=step)
        add("output_entropy", 3.6 - step, step=step)
        add("coherence", 0.7, step=step)
        for prompt, decoding in product(("Once upon", "The old"), ("sampled", "greedy")):
            text = f"{decoding} after {step}: {HOSTILE}\u202e backwards \x07"
            add("continuation", 12, step=step, prompt=prompt, decoding=decoding, text=text)


def long_run(add):
    for step in (0, 5, 10):
        for layer, vectors in product((0, 1), ("with", "without")):
            level = 0.86 + 0.002 * step * (1 + (vectors == "with"))
            for condition in ("trained", "random_basis"):
                cell = {"step": step, "layer": layer, "vectors": vectors, "condition": condition}
                add("dark_matter", level, **cell)
        for metric in ("weight_delta", "masked_loss", "low_entropy_loss", "coherence"):
            add(metric, 1 + step / 10, step=step, condition="trained")
        add("masked_loss", 2.0, step=step, condition="without_vectors")
        for condition in ("trained", "greedy"):
            cell = {"step": step, "condition": condition, "prompt": "She said"}
            add("continuation", 9, **cell, text=f"text of {step}")


def ep_plateau(add):
    snapshots = ((0, "descent"), (20, "descent"), (60, "plateau"))
    for (step, point), condition in product(snapshots, ("trained", "adjoint")):
        cell = {"step": step, "point": point, "condition": condition}
        for metric in ("cosine_ep_bptt", "self_cosine_ep"):
            add(metric, 0.9 - step / 100, **cell)
        add("norm_ratio", 1 + step, **cell)
    for rate in (1e-4, 1e-3, 1e-2):
        for metric in ("loss_change_bptt", "loss_change_ep"):
            cell = {"point": "plateau", "condition": "trained", "learning_rate": rate}
            add(metric, -rate * 10, step=60, **cell)
    for distance in (1, 8, 64):
        cell = {"point": "plateau", "condition": "trained", "distance": distance}
        add("influence", 5 / distance, step=60, **cell)
    for step in range(0, 61, 20):
        add("validation_loss", 6 - step / 20, step=step, condition="trained")
        add("residual", 2.0, step=step, condition="trained")


MAKERS = {
    "sequential_cycles": sequential_cycles,
    "long_run": long_run,
    "routing_collapse": routing_collapse,
    "ep_plateau": ep_plateau,
}
ARMS = {
    "sequential_cycles": ("full_model", "frozen_head"),
    "long_run": ("published", "zero_injection"),
    "routing_collapse": ("published", "load_balanced_1.0"),
    "ep_plateau": ("published", "bp"),
}
VERDICTS = ("SUPPORTED", "REFUTED", "INCONCLUSIVE", "VACUOUS", "ERROR", "UNRUN")


def record(document, number, verdict, tier="smoke", **parts):
    """A made-up record of a claim of a document."""
    measured = verdict not in ("ERROR", "UNRUN")
    level = {"SUPPORTED": 0.93, "REFUTED": 0.4}.get(verdict, 0.8)
    values = {str(seed): level + 0.02 * (seed - 1) for seed in SEEDS}
    interval = [level - 0.05, level + 0.05]
    control = {
        "arms": "balanced",
        "why": "nothing pulls <b>here</b>",
        "verdict": "REFUTED",
        "sentence": "0.2 over 3 seeds",
        "values": {seed: value - 0.5 for seed, value in values.items()},
        "estimate": level - 0.5,
        "interval": [level - 0.55, level - 0.45],
        "separation": {"margin": 0.3, "verdict": "SUPPORTED", "sentence": "0.5 apart"},
    }
    numbers = {
        "estimate": level,
        "interval": interval,
        "margin": level - 0.8,
        "detectable": 0.03,
        "values": values,
        "controls": [control],
    }
    parts = {
        "kind": "shape",
        "statement": f"Finding {number} <i>ends</i> high & stays there.",
        "source": {"section": "Results", "figure": "0.93", "tables": []},
        "band": {"kind": "at_least", "low": 0.8, "high": None, "words": "≥ 0.8", "because": "half"},
        "arms": [ARMS[document][0]],
        "note": "",
        "reason": f"{level} over 3 seeds" if measured else "no <weights> here",
        "setting": Setting(preset="smoke", base_model="none", corpus="text", tokenizer="letters"),
        "provenance": Provenance(
            seeds=SEEDS, calibration=(1000, 1001), device="cpu", code="c0de", libraries={"np": "2"}
        ),
        "command": f"pytest 'claims/test_{document}.py::test_{number}[{tier}]'",
        **(numbers if measured else {}),
        **parts,
    }
    return Record(claim=f"{document}/finding-{number}", tier=tier, verdict=verdict, **parts)


def records():
    """Six claims on the smoke tier and one on the published tier for each document."""
    found = []
    for document in MAKERS:
        found += [record(document, i, verdict) for i, verdict in enumerate(VERDICTS)]
        own = {"setting": Setting(preset="document"), "provenance": Provenance(), "values": {}}
        found.append(record(document, 0, "CONSISTENT", "published", **own, controls=[]))
    return found


def poison(data):
    """Puts `NASTY` wherever a report's JSON holds free text."""
    data |= {"revision": NASTY, "arguments": [NASTY], "levels": NASTY, "machine": {"system": NASTY}}
    for predicate in data["predicates"].values():
        predicate.update(file=NASTY, text=NASTY)
    for record in data["records"]:
        record.update(dict.fromkeys(("statement", "reason", "kind", "note", "command"), NASTY))
        record["source"] |= {"section": NASTY, "tables": [NASTY]}
        record["band"] |= {"words": NASTY, "because": NASTY}
        record["arms"] = [NASTY]
        record["setting"] = dict.fromkeys(record["setting"], NASTY)
        provenance = {"device": NASTY, "code": NASTY, "libraries": {NASTY: NASTY}}
        record["provenance"] |= {**provenance, "labels": [NASTY]}
        for control in record["controls"]:
            control.update(dict.fromkeys(("arms", "why", "sentence"), NASTY))
            control["separation"]["sentence"] = NASTY
    data["records"][0]["claim"] = f"{NASTY.replace('/', '')}/{NASTY.replace('/', '')}"


def write_store(root):
    """Stores every made-up run; returns what a trace keeps of them."""
    store, runs = Store(root), {}
    for document, arms in ARMS.items():
        for arm, seed in product(arms, SEEDS):
            identity = Identity(
                document=document, preset="smoke", arm=arm, seed=seed, group=(seed,),
                config={}, code="c0de", data="d", device="cpu", libraries={},
            )  # fmt: skip
            table = evidence(document, arm, seed)
            path = store.write(identity, table, {"status": "finished"})
            runs[str(path)] = store.read(identity).manifest["sha256"]
    return runs


def write_project(folder):
    """A project's reports/claims.json with all that a page is rendered from; returns its path."""
    folder = Path(folder)
    fixtures = folder / "fixtures"
    for name, text in TABLES.items():
        path = fixtures / "published" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# source: Results\n{text}")
    runs = write_store(folder / "reports" / "store")
    judged = records()
    before = [record(document, 1, "SUPPORTED") for document in MAKERS]
    before += [each for each in judged if each.claim.endswith(("-0", "-2"))]
    write_ledger(fixtures / "ledger", [], propose([], before))
    text = f"def test_it(run):\n    return run.cell('share') < 1  # {HOSTILE}"
    predicates = {
        each.claim: {"file": "claims/test_it.py", "line": 10 + i, "text": text}
        for i, each in enumerate(judged)
    }
    return write_report(
        folder / "reports",
        judged,
        root=folder,
        wall_seconds=1.5,
        arguments=["-m", "smoke or published"],
        trace=Trace(fixtures=fixtures, runs=runs, predicates=predicates),
    )
