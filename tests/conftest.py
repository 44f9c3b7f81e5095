"""Settings for all tests."""

import os
from pathlib import Path

from hypothesis import Phase, settings

# One thread in each process, before any of them imports torch: workers whose threads wait for each
# other's cores take several times as long, and on small models one thread is the fastest anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Deadlines measure the machine, not the code. In CI the same examples are drawn each time. A mutant
# only has to fail: minutes spent on its smallest counterexample would be wasted.
settings.register_profile(
    "decouple",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    phases=(Phase.explicit, Phase.generate) if os.environ.get("MUTANT") else tuple(Phase),
)
settings.load_profile("decouple")

HERE = Path(__file__).parent
ON_DEMAND = {
    HERE / "browser": "there is not a browser everywhere",
    HERE / "comparisons": "they train for minutes",
}
"""Folders whose tests run only where they are named, and why."""


def pytest_ignore_collect(collection_path, config):
    if collection_path not in ON_DEMAND:
        return None
    named = (Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args)
    return None if any(collection_path in (path, *path.parents) for path in named) else True
