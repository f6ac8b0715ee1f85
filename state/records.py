"""All records of an installation in one hand: what the engine is given."""

from __future__ import annotations

from base.clock import Clock
from state.audit import Audit
from state.chunks import Chunks
from state.columns import Sealing
from state.directory import DirectoryRecords
from state.leases import Leases
from state.ledger import Ledger
from state.organizations import Organizations
from state.policies import Policies
from state.port import Tables
from state.progress import ProgressRows
from state.resources import Resources
from state.runs import Runs
from state.throttling import ThrottlingRecords
from state.work import Work


class Records:
    """One collection per kind of record, over the same tables.

    `sealing` encrypts names, addresses and selections; without it they are stored as they are.
    """

    def __init__(self, tables: Tables, clock: Clock, sealing: Sealing | None = None) -> None:
        self.tables = tables
        self.organizations = Organizations(tables)
        self.policies = Policies(tables, sealing)
        self.runs = Runs(tables, sealing)
        self.leases = Leases(tables)
        self.work = Work(tables)
        self.progress = ProgressRows(tables)
        self.resources = Resources(tables, sealing)
        self.directory = DirectoryRecords(tables, sealing)
        self.ledger = Ledger(tables)
        self.chunks = Chunks(tables)
        self.throttling = ThrottlingRecords(tables)
        self.audit = Audit(tables, clock)
