"""The mutants: deliberate, plausible breaks, and the tests or claims that must turn red on each."""

from __future__ import annotations

from catalogue_ep_plateau import EP_PLATEAU
from catalogue_equilibrium import EQUILIBRIUM
from catalogue_long_run import LONG_RUN
from catalogue_sequential import SEQUENTIAL
from mutant import Mutant

CLAIMS = "claims/test_routing_collapse.py::test_"


def _smoke(*names: str) -> tuple[str, ...]:
    return tuple(f"{CLAIMS}{name}[smoke]" for name in names)


MOE = "decouple/models/moe.py"
ROUTING = "decouple/metrics/routing.py"
ENSEMBLE = "decouple/training/ensemble.py"
RUN = "decouple/experiments/routing_collapse/runner.py"
INTERVENTIONS = "decouple/experiments/routing_collapse/interventions.py"

JUDGE_AND_ROUTING = (
    # Most of these are caught by a verdict: the published result itself turns.
    Mutant(
        name="balancing-pooled-over-layers",
        why="a well-known library pools the tokens of all layers before it multiplies",
        file=ROUTING,
        before="    return probabilities.shape[-1] * (share * mass).sum(-1)",
        after="    share, mass = share.mean(0), mass.mean(0)\n"
        "    return 4 * probabilities.shape[-1] * (share * mass).sum(-1)",
        caught_by=_smoke("deepest_top_share"),
    ),
    Mutant(
        name="balancing-rewards-collapse",
        why="a sign lost when the losses are added",
        file=RUN,
        before="cross_entropy + balancing * auxiliary.sum(), cross_entropy",
        after="cross_entropy - balancing * auxiliary.sum(), cross_entropy",
        caught_by=_smoke("deepest_entropy_drop"),
    ),
    Mutant(
        name="final-norm-dropped",
        why="a refactoring of the head forgets the last LayerNorm",
        file=MOE,
        before="        hidden = self.norm(x)\n",
        after="        hidden = x\n",
        caught_by=_smoke("deepest_top_share"),
    ),
    Mutant(
        name="embedding-starts-small",
        why="GPT-2's initialisation taken for the document's",
        file=MOE,
        before="embedding.normal_(0.0, model.config.embedding_std, generator=generator)",
        after="embedding.normal_(0.0, 0.02, generator=generator)",
        caught_by=_smoke("deepest_top_share"),
    ),
    Mutant(
        name="routing-before-softmax",
        why="usage and entropy computed from logits",
        file=MOE,
        before="        return probabilities, selected, gates",
        after="        return logits, selected, gates",
        caught_by=("tests/models/test_moe.py::test_untrained_router_entropy_is_the_published_one",),
    ),
    Mutant(
        name="dominant-is-the-least-used",
        why="argmin for argmax",
        file=INTERVENTIONS,
        before="return softmax_mass(measured.probabilities)[:, -1].argmax(-1)",
        after="return softmax_mass(measured.probabilities)[:, -1].argmin(-1)",
        caught_by=("tests/experiments/routing_collapse/test_routing_collapse_interventions.py",),
    ),
    Mutant(
        name="removal-removes-nothing",
        why="the scale is computed and then not used",
        file=MOE,
        before="weights = gates if output_scale is None else gates * output_scale",
        after="weights = gates",
        caught_by=(
            "tests/models/test_moe.py::test_scaling_an_expert_to_zero_is_deleting_its_output",
        ),
    ),
    Mutant(
        name="optimiser-never-steps",
        why="a step lost in a loop that was rearranged",
        file=ENSEMBLE,
        before="        optimizer.step()\n",
        after="",
        caught_by=_smoke("deepest_top_share", "training_loss"),
    ),
    Mutant(
        name="router-gets-no-gradient",
        why="gates detached to save memory",
        file=MOE,
        before="        gates = probabilities * selected\n",
        after="        gates = probabilities.detach() * selected\n",
        caught_by=_smoke("deepest_top_share", "deepest_entropy_drop"),
    ),
    Mutant(
        name="router-starts-sharp",
        why="an initial scale applied twice too often",
        file=MOE,
        before="module.router.weight.mul_(model.config.router_scale)",
        after="module.router.weight.mul_(8 * model.config.router_scale)",
        caught_by=_smoke("baseline_near_uniform"),
    ),
    # Caught by unit tests.
    Mutant(
        name="top-k-off-by-one",
        why="a count taken for an index",
        file=MOE,
        before="probabilities.topk(self.top_k, dim=-1).indices",
        after="probabilities.topk(self.top_k + 1, dim=-1).indices",
        caught_by=("tests/models/test_moe.py",),
    ),
    Mutant(
        name="entropy-over-tokens",
        why="the wrong axis",
        file=ROUTING,
        before="return entropy(probabilities.double()).mean(-1)",
        after="return entropy(probabilities.double().transpose(-1, -2)).mean(-1)",
        caught_by=("tests/metrics/test_routing.py",),
    ),
    Mutant(
        name="held-out-text-in-training",
        why="the tail is measured but not cut off",
        file="decouple/data/chunks.py",
        before="np.array_split(tokens[:n_train], n_chunks)",
        after="np.array_split(tokens, n_chunks)",
        caught_by=("tests/data/test_chunks.py",),
    ),
    Mutant(
        name="frozen-router-decays",
        why="a parameter without gradient that stays in the optimiser",
        file=ENSEMBLE,
        before="trainable = [value for value in parameters.values() if value.requires_grad]",
        after="trainable = [value.requires_grad_(True) for value in parameters.values()]",
        caught_by=("tests/training/test_ensemble.py",),
    ),
    Mutant(
        name="seeds-duplicated",
        why="a generator seeded with a constant",
        file="decouple/experiments/routing_collapse/preparation.py",
        before="np.random.SeedSequence([seed, INITIALISATION])",
        after="np.random.SeedSequence([INITIALISATION])",
        caught_by=("tests/experiments/routing_collapse",),
    ),
    Mutant(
        name="iid-keeps-the-sequence",
        why="an order that falls through to the default",
        file="decouple/training/cycles.py",
        before='    if order == "sequential":\n        return windows\n',
        after='    if order in ("sequential", "iid"):\n        return windows\n',
        caught_by=("tests/training/test_cycles.py",),
    ),
    Mutant(
        name="band-reversed",
        why="the wrong bound set",
        file="decouple/claim/bands.py",
        before='kind="at_least", low=threshold',
        after='kind="at_least", high=threshold',
        caught_by=("tests/claim/test_bands.py",),
    ),
    Mutant(
        name="control-ignored",
        why="a loop that returns too early",
        file="decouple/claim/verdict.py",
        before="            if outcome.verdict is wanted:",
        after="            if False and outcome.verdict is wanted:",
        caught_by=("tests/claim/test_verdict.py",),
    ),
    Mutant(
        name="nan-is-just-a-number",
        why="a check that asks for infinity only",
        file="decouple/claim/verdict.py",
        before="if not math.isfinite(value)}",
        after="if math.isinf(value)}",
        caught_by=("tests/claim/test_verdict.py",),
    ),
    Mutant(
        name="two-sided-tail-for-one",
        why="the level of an interval taken for that of its end",
        file="decouple/claim/statistics.py",
        before="    support = float(special.stdtrit(n - 1, 1 - levels.support_tail)) * error",
        after="    support = float(special.stdtrit(n - 1, 1 - 4 * levels.support_tail)) * error",
        caught_by=("tests/claim/test_statistics_simulation.py",),
    ),
    Mutant(
        name="tokens-as-replicates",
        why="a spread divided by more than the seeds",
        file="decouple/claim/statistics.py",
        before="error = sd / math.sqrt(n)",
        after="error = sd / n",
        caught_by=("tests/claim/test_statistics.py",),
    ),
    Mutant(
        name="flips-are-green",
        why="an outcome left out of the set that fails",
        file="decouple/claim/compare.py",
        before="UNCOMFORTABLE = frozenset({Outcome.BROKEN, Outcome.REPAIRED})",
        after="UNCOMFORTABLE = frozenset({Outcome.BROKEN})",
        caught_by=("tests/claim/test_plugin.py",),
    ),
    Mutant(
        name="store-trusts-its-files",
        why="a check dropped for speed",
        file="decouple/claim/store.py",
        before='if hashlib.sha256(data).hexdigest() != manifest.get("sha256"):',
        after='if not manifest.get("sha256"):',
        caught_by=("tests/claim/test_store.py",),
    ),
    Mutant(
        name="model-not-in-the-fingerprint",
        why="imports inside packages no longer followed",
        file="decouple/claim/fingerprint.py",
        before="        pending.extend(_imported(path, name, top))\n",
        after="",
        caught_by=("tests/claim/test_fingerprint.py",),
    ),
)

MUTANTS = JUDGE_AND_ROUTING + EQUILIBRIUM + SEQUENTIAL + LONG_RUN + EP_PLATEAU
