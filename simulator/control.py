"""The control API: what tests and the demo ask and order, outside Graph."""

from simulator.tenant import Tenant
from simulator.web import Answer, Json


def answer(
    tenant: Tenant, method: str, path: str, query: dict[str, str], body: bytes, allowed: bool
) -> Answer:
    """One control request."""
    if not allowed:
        return Answer(401, {"error": "control token missing or wrong"})
    return Answer(404, {"error": "unknown"})


def counters_json(tenant: Tenant) -> Json:
    """The counters."""
    return {}
