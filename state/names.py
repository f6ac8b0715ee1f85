"""The names of all tables, and which of them hold what blobs could not rebuild."""

from __future__ import annotations

ORGANIZATIONS = "organizations"
POLICIES = "policies"
RUNS = "runs"
LEASES = "leases"
WORK = "work"
RESOURCES = "resources"
LEDGER = "ledger"
AUDIT = "audit"
CHUNKS = "chunks"
PROGRESS = "progress"
DIRECTORY = "directory"
THROTTLING = "throttling"

ALL = (
    ORGANIZATIONS, POLICIES, RUNS, LEASES, WORK, RESOURCES, LEDGER, AUDIT, CHUNKS, PROGRESS,
    DIRECTORY, THROTTLING,
)  # fmt: skip

# What a person decided or must be able to prove. Everything else is a cache of what the blobs say.
IRREPLACEABLE = frozenset({ORGANIZATIONS, POLICIES, AUDIT})
