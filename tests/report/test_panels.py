"""What figures are declared to show is what the experiments record."""

from importlib import import_module
from pathlib import Path

import pytest

from decouple.report.figures import DOCUMENTS
from decouple.report.figures.panels import Lines
from decouple.report.illustrate import arms_drawn
from decouple.report.stored import read_published

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(params=sorted(DOCUMENTS))
def document(request):
    return DOCUMENTS[request.param]


def experiment_of(document):
    return import_module(f"decouple.experiments.{document.stem}")


def metrics_of(panel):
    return set(panel.metrics) if isinstance(panel, Lines) else {panel.metric}


def test_every_arm_is_one_of_the_experiment(document):
    assert arms_drawn()[document.stem] <= experiment_of(document).ARMS.keys()


def test_every_metric_is_recorded_or_derived(document):
    experiment = experiment_of(document)
    smoke = experiment.PRESETS[experiment.TIERS["smoke"]]()
    recorded = set(document.derived)
    for arm in document.arms:
        recorded |= experiment.expected_cells(experiment.ARMS[arm](smoke)).keys()
    for panel in document.panels:
        assert metrics_of(panel) <= recorded, panel.name


def test_every_document_has_published_points_in_its_figures(document):
    printed = set(read_published(FIXTURES, document.stem)["metric"])
    assert any(metrics_of(panel) & printed for panel in document.panels)


def test_names_are_for_what_is_there(document):
    for panel in document.panels:
        assert panel.title
        for arm in panel.arms:
            assert arm in panel.names, f"{panel.name} says {arm} in the words of the code"
