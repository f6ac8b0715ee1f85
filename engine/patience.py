"""Which problems of our own storage pass by themselves, so that a step waits instead of failing."""

from __future__ import annotations

from base.errors import Problem
from engine.key_vault import KeyVaultUnreachable
from state.port import RowChanged
from state.problems import StateBusy, StateUnavailable
from vault import StoreProblem

WAIT_S = 60.0


def passes(problem: Problem) -> bool:
    """Whether the same step may well succeed in a minute.

    Of the store only the plain problem: its subclasses (full, not writable, forbidden) stay until
    somebody does something.
    """
    return type(problem) is StoreProblem or isinstance(
        problem, (StateBusy, StateUnavailable, RowChanged, KeyVaultUnreachable)
    )
