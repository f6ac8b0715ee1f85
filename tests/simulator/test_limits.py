"""The limits of a tenant that belong to no single mailbox or drive."""

from __future__ import annotations

import pytest

from simulator import licences
from simulator.tenant import Tenant
from simulator.throttle import Throttle, violations
from simulator.web import Answer, GraphError, Headers, Request, Route


def sent(tenant: Tenant, method: str = "GET", limits: str = "identity") -> tuple[Route, Request]:
    route = Route(method, "/groups", Answer, ("Any",), limits)  # type: ignore[arg-type]
    app = tenant.backup_app
    return route, Request(method, "/groups", ("groups",), {}, Headers({}), b"", app, "")


def test_an_app_as_a_whole_has_its_requests_counted() -> None:
    tenant = Tenant(1)
    tenant.limits.app_requests = 3
    throttle = Throttle(tenant)
    for limits in ("identity", "sharepoint", "none"):
        throttle.enter(*sent(tenant, limits=limits), None)
    with pytest.raises(GraphError) as refused:
        throttle.enter(*sent(tenant, limits="sharepoint"), None)
    assert refused.value.status == 429
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 10
    assert violations(tenant) == tenant.counters.throttled["app-requests"] == 1
    tenant.clock.advance(10.1)
    throttle.enter(*sent(tenant), None)


def test_writes_to_the_directory_have_a_quota_of_their_own() -> None:
    tenant = Tenant(1)
    tenant.limits.identity_writes = 2
    throttle = Throttle(tenant)
    for _ in range(2):
        throttle.enter(*sent(tenant, "PATCH"), None)
    throttle.enter(*sent(tenant), None)
    with pytest.raises(GraphError) as refused:
        throttle.enter(*sent(tenant, "POST"), None)
    assert refused.value.headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    assert refused.value.headers["x-ms-throttle-scope"].startswith("Tenant_Application/ReadWrite/")
    tenant.clock.advance(151)
    throttle.enter(*sent(tenant, "POST"), None)


def test_from_eight_tenths_on_the_directory_says_how_much_is_used() -> None:
    tenant = Tenant(1)
    tenant.limits.identity_ru = 10
    throttle = Throttle(tenant)
    told = [
        throttle.enter(*sent(tenant), None).headers.get("x-ms-throttle-limit-percentage")
        for _ in range(10)
    ]
    assert told == [None] * 8 + ["0.9", "1.0"]


def test_sharepoints_limits_follow_what_the_tenant_has_bought() -> None:
    tenant = Tenant(1)
    licences.buy(tenant, 1_000)
    assert tenant.limits.sharepoint_ru_per_minute == 1_250
    licences.buy(tenant, 60_000)
    assert tenant.limits.sharepoint_ru_per_minute == 6_250
    assert tenant.limits.sharepoint_ru_per_day == 6_000_000
