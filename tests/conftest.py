"""Settings for all tests."""

import os

from hypothesis import Phase, settings

# Deadlines measure the machine, not the code. In CI the same examples are drawn each time. A mutant
# only has to fail: minutes spent on its smallest counterexample would be wasted.
settings.register_profile(
    "decouple",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    phases=(Phase.explicit, Phase.generate) if os.environ.get("MUTANT") else tuple(Phase),
)
settings.load_profile("decouple")
