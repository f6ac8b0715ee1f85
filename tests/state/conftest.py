"""Fixtures of the state tests."""

from tests.azurite import azurite

__all__ = ["azurite"]
