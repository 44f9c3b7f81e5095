"""Settings for all tests."""

import os

from hypothesis import settings

# Deadlines measure the machine, not the code. In CI the same examples are drawn each time.
settings.register_profile("decouple", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("decouple")
