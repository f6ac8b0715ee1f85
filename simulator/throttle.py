"""The documented limits, checked before a request is served.

Outlook counts per app and mailbox: requests in flight, requests per ten minutes, bytes uploaded
per five. SharePoint counts resource units per app and tenant, per minute and per day, throttled
requests included. Identity counts resource units per ten seconds and writes per two and a half
minutes. An app as a whole has its requests counted per ten seconds. Who comes back before the
Retry-After he was given is over is noted as an offence: for the very same request everywhere,
and for any SharePoint request after half a second of grace (the documentation asks to pause all).
"""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from simulator.web import GraphError, Request, Route

if TYPE_CHECKING:
    from simulator.tenant import Tenant

_TOLERANCE_S = 0.05
_GRACE_S = 0.5
_DAY_S = 86_400.0
_MINUTE_S = 60.0
_NEAR = 0.8


class Window:
    """How much there was in the last window_s seconds."""

    def __init__(self, window_s: float, seconds: Callable[[], float]) -> None:
        self._window_s = window_s
        self._seconds = seconds
        self._entries: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, amount: int) -> int:
        """Count amount; the sum in the window."""
        now_s = self._seconds()
        while self._entries and self._entries[0][0] <= now_s - self._window_s:
            self._sum -= self._entries.popleft()[1]
        self._entries.append((now_s, amount))
        self._sum += amount
        return self._sum

    def reset_s(self) -> int:
        """Whole seconds until the oldest entry leaves the window, at least 1."""
        oldest_s = self._entries[0][0] if self._entries else self._seconds()
        return max(1, math.ceil(oldest_s + self._window_s - self._seconds()))


@dataclass(slots=True)
class Ticket:
    """A request that was let in; headers belong into its answer."""

    mailbox: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Throttle:
    """Counts requests of every app against the limits of a tenant."""

    def __init__(self, tenant: "Tenant") -> None:
        self._tenant = tenant
        self._in_flight: Counter[str] = Counter()
        self._windows: dict[str, Window] = {}
        self._told: dict[str, tuple[float, float]] = {}
        self._dates = 0

    def watch(self, app_id: str, target: str, limits: str) -> None:
        """Note it when a client comes back too early."""
        now_s = self._tenant.clock.elapsed_s()
        _, until_s = self._told.pop(f"{app_id} {target}", (0.0, 0.0))
        if now_s < until_s - _TOLERANCE_S:
            self._tenant.counters.offences["retry-after-ignored"] += 1
            return
        if limits == "sharepoint":
            told_s, until_s = self._told.get(f"{app_id} sharepoint", (0.0, 0.0))
            if told_s + _GRACE_S < now_s < until_s - _TOLERANCE_S:
                self._tenant.counters.offences["sharepoint-pause-ignored"] += 1

    def tell(self, app_id: str, target: str, limits: str, wait_s: float) -> None:
        """Remember that a client was asked to wait."""
        now_s = self._tenant.clock.elapsed_s()
        self._told[f"{app_id} {target}"] = (now_s, now_s + wait_s)
        if limits == "sharepoint":
            self._told[f"{app_id} sharepoint"] = (now_s, now_s + wait_s)

    def retry_after(self, wait_s: int, *, as_date: bool | None = None) -> dict[str, str]:
        """The header, as seconds or, now and then in a hostile tenant, as a date."""
        if as_date is None:
            self._dates += 1
            as_date = self._tenant.quirks.http_date_retry_after and self._dates % 3 == 0
        if not as_date:
            return {"Retry-After": str(wait_s)}
        until = self._tenant.clock.now() + timedelta(seconds=wait_s)
        return {"Retry-After": format_datetime(until.replace(microsecond=0), usegmt=True)}

    def enter(self, route: Route, request: Request, mailbox: str | None) -> Ticket:
        """Let a request in, or raise its 429."""
        app_id = request.app.app_id if request.app is not None else "anonymous"
        if route.permissions:
            self._count_app(app_id)
        if route.limits == "outlook" and mailbox is not None:
            return self._enter_outlook(f"{app_id} {mailbox}", mailbox, request)
        if route.limits == "sharepoint":
            return self._enter_sharepoint(app_id, route.cost)
        if route.limits == "identity":
            return self._enter_identity(app_id, request)
        return Ticket()

    def leave(self, ticket: Ticket) -> None:
        """A request is done."""
        if ticket.mailbox is not None:
            self._in_flight[ticket.mailbox] -= 1

    def charge(self, app_id: str, amount: int) -> None:
        """Further resource units of a SharePoint request that was served."""
        for name, window_s in (("minute", _MINUTE_S), ("day", _DAY_S)):
            self._window(f"{app_id} {name}", window_s).add(amount)
        self._tenant.counters.sharepoint_units += amount

    def _count_app(self, app_id: str) -> None:
        """Any request, over all tenants: https://learn.microsoft.com/graph/throttling-limits."""
        limits = self._tenant.limits
        window = self._window(f"{app_id} app", limits.app_window_s)
        if window.add(1) > limits.app_requests:
            self._tenant.counters.throttled["app-requests"] += 1
            raise GraphError(
                429, "TooManyRequests", "Too many requests.", self.retry_after(window.reset_s())
            )

    def _enter_outlook(self, scope: str, mailbox: str, request: Request) -> Ticket:
        limits, counters = self._tenant.limits, self._tenant.counters
        used = self._window(scope, limits.outlook_window_s).add(1)
        if used > limits.outlook_requests:
            self._refuse("ErrorTooManyRequests", "outlook-requests", scope)
        if request.method in ("POST", "PUT", "PATCH"):
            sent = self._window(f"{scope} upload", limits.outlook_upload_window_s)
            if sent.add(len(request.body)) > limits.outlook_upload_bytes:
                self._refuse("ErrorTooManyRequests", "outlook-upload", f"{scope} upload")
        if self._in_flight[scope] >= limits.outlook_concurrent:
            counters.throttled["mailbox-concurrency"] += 1
            raise GraphError(
                429,
                "ApplicationThrottled",
                "Application is over its MailboxConcurrency limit.",
                self.retry_after(limits.retry_after_s),
            )
        self._in_flight[scope] += 1
        highest = counters.highest_concurrency.get(mailbox, 0)
        counters.highest_concurrency[mailbox] = max(highest, self._in_flight[scope])
        return Ticket(scope)

    def _refuse(self, code: str, kind: str, scope: str) -> None:
        self._tenant.counters.throttled[kind] += 1
        wait_s = self._windows[scope].reset_s()
        raise GraphError(429, code, "Too many requests for this mailbox.", self.retry_after(wait_s))

    def _enter_sharepoint(self, app_id: str, cost: int) -> Ticket:
        limits = self._tenant.limits
        minute = self._window(f"{app_id} minute", _MINUTE_S)
        day = self._window(f"{app_id} day", _DAY_S)
        used, used_today = minute.add(cost), day.add(cost)
        self._tenant.counters.sharepoint_units += cost
        over_minute = used > limits.sharepoint_ru_per_minute
        headers = {}
        if used >= _NEAR * limits.sharepoint_ru_per_minute:
            headers = {
                "RateLimit-Limit": str(limits.sharepoint_ru_per_minute),
                "RateLimit-Remaining": str(max(0, limits.sharepoint_ru_per_minute - used)),
                "RateLimit-Reset": str(minute.reset_s()),
            }
        if over_minute or used_today > limits.sharepoint_ru_per_day:
            self._tenant.counters.throttled["sharepoint-units"] += 1
            wait_s = minute.reset_s() if over_minute else day.reset_s()
            raise GraphError(
                429,
                "activityLimitReached",
                "The request has been throttled",
                self.retry_after(wait_s) | (headers if over_minute else {}),
                "throttledRequest",
            )
        return Ticket(None, headers)

    def _enter_identity(self, app_id: str, request: Request) -> Ticket:
        limits = self._tenant.limits
        cost = identity_cost(request)
        window = self._window(f"{app_id} identity", limits.identity_window_s)
        share = window.add(cost) / limits.identity_ru
        scope = f"Tenant_Application/ReadWrite/{app_id}/{self._tenant.id}"
        headers = {"x-ms-resource-unit": str(cost)}
        if share > _NEAR:
            headers["x-ms-throttle-limit-percentage"] = f"{min(share, 1.8):.1f}"
            headers["x-ms-throttle-scope"] = scope
        if request.method in ("POST", "PUT", "PATCH", "DELETE"):
            self._count_identity_write(app_id, headers | {"x-ms-throttle-scope": scope})
        if share > 1:
            self._tenant.counters.throttled["identity"] += 1
            raise GraphError(
                429,
                "TooManyRequests",
                "Too many requests.",
                headers
                | self.retry_after(window.reset_s())
                | {"x-ms-throttle-information": "ResourceUnitLimitExceeded"},
            )
        return Ticket(None, headers)

    def _count_identity_write(self, app_id: str, headers: dict[str, str]) -> None:
        limits = self._tenant.limits
        window = self._window(f"{app_id} identity-writes", limits.identity_write_window_s)
        if window.add(1) > limits.identity_writes:
            self._tenant.counters.throttled["identity-writes"] += 1
            raise GraphError(
                429,
                "TooManyRequests",
                "Too many requests.",
                headers
                | self.retry_after(window.reset_s())
                | {"x-ms-throttle-information": "WriteLimitExceeded"},
            )

    def _window(self, name: str, window_s: float) -> Window:
        found = self._windows.get(name)
        if found is None:
            found = self._windows[name] = Window(window_s, self._tenant.clock.elapsed_s)
        return found


def violations(tenant: "Tenant") -> int:
    """How often a limit was exceeded or a pause cut short."""
    return tenant.counters.throttled.total() + tenant.counters.offences.total()


def identity_cost(request: Request) -> int:
    """Resource units: users 2, members 3, transitiveMembers 5, else 1; $select, $expand, $top."""
    last = request.segments[-1].lower() if request.segments else ""
    if last == "transitivemembers":
        cost = 5
    elif last in ("members", "getbyids"):
        cost = 3
    elif request.segments[:1] == ("users",) and len(request.segments) <= 2:
        cost = 2
    else:
        cost = 1
    cost -= "$select" in request.query
    cost += "$expand" in request.query
    top = request.query.get("$top", "")
    cost -= top.isdigit() and int(top) < 20
    return max(1, cost)
