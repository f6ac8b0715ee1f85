"""What can go wrong with the records' storage, each with a code and what to do about it."""

from __future__ import annotations

from base.errors import Problem


class StateNotWritable(Problem):
    """The place of the records cannot be opened or written."""

    code = "state-not-writable"
    status = 500
    hint = "Check the data folder: owner, permissions, free space, and that it is a local disk."


class StateDamaged(Problem):
    """The file of the records is not what it should be."""

    code = "state-damaged"
    status = 500
    hint = "Move the file away and rebuild the records from the vault; backups are not affected."


class StateTooNew(Problem):
    """A later version of Holdfast has written these records."""

    code = "state-too-new"
    status = 500
    hint = "Upgrade Holdfast to the version that wrote the records, or a later one."


class StateBusy(Problem):
    """Other writers kept the records locked for longer than we wait."""

    code = "state-busy"
    status = 503
    hint = "Try again; if it stays, look for a second program that keeps the data folder open."


class StateDenied(Problem):
    """The storage account refuses our identity."""

    code = "state-denied"
    status = 500
    hint = "Give the app's identity the role Storage Table Data Contributor on the state account."


class StateUnavailable(Problem):
    """The storage account cannot be reached, or failed to answer."""

    code = "state-unavailable"
    status = 503
    hint = "Check the address of the state account and the network between it and the app."
