"""What a policy decides about how a service is backed up: checked, filled in, handed to sources."""

from __future__ import annotations

import pytest

from m365.service import Choice

VERSIONS = Choice("Which versions of files are kept.", "latest", ("latest", "all"), most=500)


@pytest.mark.parametrize("value", ["latest", "all", 1, 500])
def test_a_choice_takes_its_values_and_numbers_up_to_its_most(value: int | str) -> None:
    assert VERSIONS.allows(value)


@pytest.mark.parametrize("value", ["none", "", 0, 501, -1, True, None, 2.5, ["all"]])
def test_a_choice_takes_nothing_else(value: object) -> None:
    assert not VERSIONS.allows(value)


def test_a_choice_of_yes_or_no_takes_no_numbers() -> None:
    hidden = Choice("Whether hidden lists are kept.", False)
    assert hidden.allows(True)
    assert hidden.allows(False)
    assert not hidden.allows(1)
    assert not hidden.allows(1.0)
    assert not hidden.allows("yes")
