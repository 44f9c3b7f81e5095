"""Changes a good engineer could make to this project, and what `decouple compare` says of them.

Two are called harmless by whoever makes them, and are not; one is.
"""

import re

EP = "decouple/training/estimators/equilibrium_propagation.py"
TRACKING = "decouple/training/estimators/tracking.py"


def test_a_balancing_loss_pooled_over_layers_breaks_what_balanced_arms_stand_for(project):
    """One tensor operation in place of four, as a well-known library has it."""
    project.rewrite(
        "decouple/metrics/routing.py",
        "    return probabilities.shape[-1] * (share * mass).sum(-1)",
        "    share, mass = share.mean(0), mass.mean(0)\n"
        "    return 4 * probabilities.shape[-1] * (share * mass).sum(-1)",
    )
    status, said = project.compare("traffic_at_risk or second_deepest_top_share or training_loss")
    assert status == 1
    # The balanced arm is one side of this claim,
    assert "broken: routing_collapse/traffic-at-risk [smoke] SUPPORTED → REFUTED" in said
    # the control of this one, whose own arm is as it was,
    assert (
        "broken: routing_collapse/second-deepest-top-share [smoke] SUPPORTED → VACUOUS, "
        "difference 0 [0, 0]" in said
    )
    # and nothing to this one.
    assert "broken: 2" in said
    assert "held: 1" in said


def test_a_nudge_with_the_mean_loss_breaks_the_finding_on_the_frozen_correction(project):
    """The mean over tokens in place of their sum, and the response scaled back: the same formula.

    Yet a nudge so weak that the frozen correction stays where it is right, and what the document
    found cannot be seen any more.
    """
    project.rewrite(
        EP,
        "beta * model.cost_gradient(state, targets)",
        "beta * model.cost_gradient(state, targets) / targets.shape[-1]",
    )
    project.rewrite(
        EP,
        "    mismatch = transposed_product(",
        "    response = response * targets.shape[-1]\n        mismatch = transposed_product(",
    )
    project.rewrite(
        TRACKING,
        "cost_gradient = model.cost_gradient(states, targets)",
        "cost_gradient = model.cost_gradient(states, targets) / targets.shape[-1]",
    )
    project.rewrite(
        TRACKING,
        "response = displacement / radius",
        "response = displacement / radius * targets.shape[-1]",
    )
    status, said = project.compare("frozen_correction_is_the_cause or qk_rms_is_one")
    assert status == 1
    assert "broken: ep_plateau/frozen-correction-is-the-cause [smoke] SUPPORTED → REFUTED" in said
    assert "held: 1" in said


def test_a_variable_renamed_in_a_model_leaves_every_number_as_it_was(project):
    file = "decouple/models/moe.py"
    text, times = re.subn(r"\bmixed\b", "combined", project.read(file))
    assert times > 1
    project.write(file, text)
    before = project.runs()
    status, said = project.compare("traffic_at_risk or second_deepest_top_share")
    assert status == 0
    assert said.splitlines() == ["held: 2"]
    assert project.runs() > before, "the changed code was not judged by runs of its own"
    assert project.differences() == {0.0}
