from dataclasses import replace

import pytest

from decouple.experiments.ep_plateau import ARMS
from decouple.experiments.ep_plateau.grid import GRID, knob_rows
from decouple.experiments.ep_plateau.presets import published, smoke


def knobs(weights, config=None):
    rows = knob_rows(smoke() if config is None else config, weights, step=9)
    assert {row.step for row in rows} == {9}
    return {row.metric: row.value for row in rows}


def test_the_grid_has_the_constants_of_the_document():
    own = published().training.contraction
    found = {name: constants(published()) for name, constants in GRID.items()}
    assert found["grid_base"] == own
    assert [found[f"grid_jr_max_{ceiling}"].ceiling for ceiling in (4, 8, 16)] == [4.0, 8.0, 16.0]
    assert found["grid_floor_0.05"] == replace(own, floor=0.05, target_residual=1.5e-3)
    assert found["grid_floor_0.03_target_5e-3"] == replace(own, floor=0.03, target_residual=5e-3)
    for ceiling in (4, 8, 16):
        assert found[f"grid_jr_max_{ceiling}"] == replace(own, ceiling=float(ceiling))


def test_what_is_not_in_the_grid_stays_as_configured():
    config = smoke()
    contraction = replace(config.training.contraction, probes=3)
    config = replace(config, training=replace(config.training, contraction=contraction))
    assert {constants(config).probes for constants in GRID.values()} == {3}


def test_a_knob_that_stayed_at_its_floor_has_not_moved():
    floor = smoke().training.contraction.floor
    assert knobs([floor] * 5) == {
        "knob_moved": 0.0,
        "knob_at_floor": 1.0,
        "knob_at_ceiling": 0.0,
        "largest_regulariser_weight": floor,
    }


def test_movement_is_the_whole_way_and_limits_are_shares_of_steps():
    limits = smoke().training.contraction
    found = knobs([limits.floor, 1.0, limits.ceiling, limits.ceiling])
    assert found["knob_moved"] == pytest.approx(limits.ceiling - limits.floor)
    assert found["knob_at_floor"] == 0.25
    assert found["knob_at_ceiling"] == 0.5
    assert knobs([1.0, 2.0, 1.0])["knob_moved"] == 1.0
    assert knobs([1.0, 2.0, 1.0])["largest_regulariser_weight"] == 2.0


def test_single_precision_does_not_lift_a_weight_off_its_limit():
    limits = smoke().training.contraction
    found = knobs([limits.floor * (1 + 1e-6), limits.ceiling * (1 - 1e-6), limits.floor * 1.05])
    assert found["knob_at_floor"] == pytest.approx(1 / 3)
    assert found["knob_at_ceiling"] == pytest.approx(1 / 3)


def test_the_limits_are_the_arms_own():
    config = smoke()
    contraction = GRID["grid_jr_max_4"](config)
    config = replace(config, training=replace(config.training, contraction=contraction))
    assert knobs([4.0, 4.0], config)["knob_at_ceiling"] == 1.0
    assert knobs([4.0, 4.0])["knob_at_ceiling"] == 0.0


def test_no_weights_and_no_contraction_are_refused():
    with pytest.raises(ValueError, match="weights must hold at least one step"):
        knob_rows(smoke(), [], step=0)
    without = ARMS["bp"](smoke())
    with pytest.raises(ValueError, match="contraction must be given, got None"):
        knob_rows(without, [1.0], step=0)
