"""A Microsoft 365 tenant on loopback, built from Microsoft's documentation only.

It imports nothing of Holdfast: a fake that shares our beliefs proves nothing.
"""

from simulator.quirks import Limits, Quirks, calm, hostile
from simulator.serving import Running, serve
from simulator.tenant import AppRegistration, Clock, Tenant, User

__all__ = [
    "AppRegistration", "Clock", "Limits", "Quirks", "Running", "Tenant", "User", "calm",
    "hostile", "serve",
]  # fmt: skip
