"""What all tests share: how hard Hypothesis tries. Fakes, clocks and stores belong to the rooms."""

from __future__ import annotations

import os
from datetime import timedelta

from hypothesis import HealthCheck, settings

# quick is the same every time, so that a red test is red for everyone; deep is for nights.
settings.register_profile(
    "quick",
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", parent=settings.get_profile("quick"), max_examples=200)
settings.register_profile(
    "deep", max_examples=5000, deadline=timedelta(seconds=10), print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
