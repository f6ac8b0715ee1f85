"""The control plane through msgraph-sdk: connection test and directory pickers, never bulk.

Rules
- A few objects at a time: typed models cost 9 s of CPU per thousand messages and lose a page over
  one odd field. So even here answers are taken natively, as JSON.
- Our token source, our allow-list, no redirects, no retries that sleep; problems as on the wire.
- The SDK is imported when first used: it is heavy, and workers that only copy never need it.

Theory of operation
The SDK is async. One daemon thread of the process runs an event loop for it; calls are handed over
and waited for with a time-out.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from base.errors import InvalidInput, Throttled
from m365.graph.errors import ForeignHost, TransientFailure, Unauthorized, problem_of
from m365.graph.exchange import Counters, TokenSource
from m365.graph.hosts import Place
from m365.graph.throttle import Limiter, Scope
from m365.graph.wire import tls_context

if TYPE_CHECKING:
    from msgraph.graph_service_client import GraphServiceClient

_Call = Callable[["GraphServiceClient"], Awaitable[Any]]
_CALL_S = 30.0
PEOPLE = ("id", "displayName", "mail", "userPrincipalName", "accountEnabled", "userType")
_GROUPS = ("id", "displayName", "mail", "resourceProvisioningOptions")
_SITES = ("id", "displayName", "webUrl")
_TEAMS_ONLY = "resourceProvisioningOptions/Any(x:x eq 'Team')"


class ControlPlane:
    """A GraphServiceClient for one tenant, called from ordinary threads."""

    def __init__(
        self, place: Place, tokens: TokenSource, limiter: Limiter, counters: Counters
    ) -> None:
        self._place = place
        self._tokens = tokens
        self._limiter = limiter
        self._counters = counters

    def organization(self) -> dict[str, Any]:
        """The tenant: id, displayName. Raises what a GET on the wire raises."""
        return _first(self._run(self._organization))

    def search(self, kind: str, text: str, limit: int) -> list[dict[str, Any]]:
        """At most `limit` users, groups, teams or sites whose name matches, as JSON."""
        calls = {
            "users": self._users,
            "groups": self._groups,
            "teams": self._teams,
            "sites": self._sites,
        }
        if kind not in calls:
            raise InvalidInput("There is no such kind of directory entry.", field="kind")
        plain = text.replace('"', " ").replace("\\", " ").strip()
        found = self._run(lambda client: calls[kind](client, plain, limit)).get("value", [])
        return [entry for entry in found if isinstance(entry, dict)][:limit]

    def _run(self, call: _Call) -> dict[str, Any]:
        stale = self._tokens.token()
        try:
            return self._once(call)
        except Unauthorized:
            self._tokens.refresh(stale, "")
            return self._once(call)

    def _once(self, call: _Call) -> dict[str, Any]:
        self._counters.sent("control", 0)
        with self._limiter.enter(self._tokens.tenant, Scope.directory(), 1):
            pending = asyncio.run_coroutine_threadsafe(self._called(call), _loop())
            try:
                return pending.result(timeout=_CALL_S)
            except TimeoutError as error:
                pending.cancel()
                raise TransientFailure("Microsoft Graph took too long to answer.") from error

    async def _called(self, call: _Call) -> dict[str, Any]:
        import httpx

        http, client = self._client()
        try:
            response: httpx.Response = await call(client)
            return self._judged(response)
        except httpx.HTTPError as error:
            raise TransientFailure(
                "Microsoft Graph gave no whole answer.", graph_code=type(error).__name__
            ) from error
        finally:
            await http.aclose()

    def _judged(self, response: Any) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in response.headers.items()}
        status = int(response.status_code)
        if status in (429, 503):
            after = headers.get("retry-after", "")
            asked_s = float(after) if after.isdecimal() else None
            wait_s = self._limiter.refused(self._tokens.tenant, Scope.directory(), asked_s)
            raise Throttled("Microsoft 365 asks for a pause.", wait_s, scope="directory")
        if status >= 300:
            path = response.request.url.path
            raise problem_of(status, headers, response.content, path)
        try:
            value = response.json()
        except ValueError as error:
            raise TransientFailure("An answer of Microsoft Graph is not JSON.") from error
        return value if isinstance(value, dict) else {}

    def _client(self) -> tuple[Any, GraphServiceClient]:
        """A client for one call: there are few, and connections do not outlive their loop."""
        import httpx
        from kiota_abstractions.authentication import BaseBearerTokenAuthenticationProvider
        from kiota_http.middleware.options import RedirectHandlerOption, RetryHandlerOption
        from msgraph.graph_request_adapter import GraphRequestAdapter
        from msgraph.graph_service_client import GraphServiceClient
        from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]

        http = GraphClientFactory.create_with_default_middleware(
            client=httpx.AsyncClient(
                verify=_context(self._place),
                timeout=_CALL_S,
                trust_env=False,
                headers={"User-Agent": self._place.user_agent},
            ),
            options={
                RetryHandlerOption.get_key(): RetryHandlerOption(max_retries=0, should_retry=False),
                RedirectHandlerOption.get_key(): RedirectHandlerOption(should_redirect=False),
            },
        )
        provider = BaseBearerTokenAuthenticationProvider(_provider(self._place, self._tokens))
        adapter = GraphRequestAdapter(provider, http)
        adapter.base_url = f"{self._place.origin}/v1.0"
        return http, GraphServiceClient(request_adapter=adapter)

    async def _organization(self, client: GraphServiceClient) -> Any:
        from msgraph.generated.organization.organization_request_builder import (
            OrganizationRequestBuilder as Builder,
        )

        query = Builder.OrganizationRequestBuilderGetQueryParameters(select=["id", "displayName"])
        return await client.organization.get(_native(query))

    async def _users(self, client: GraphServiceClient, text: str, limit: int) -> Any:
        from msgraph.generated.users.users_request_builder import UsersRequestBuilder as Builder

        query = Builder.UsersRequestBuilderGetQueryParameters(
            select=list(PEOPLE),
            top=limit,
            search=_anywhere(text, "displayName", "mail", "userPrincipalName"),
        )
        return await client.users.get(_native(query, eventual=True))

    async def _groups(
        self, client: GraphServiceClient, text: str, limit: int, only: str | None = None
    ) -> Any:
        from msgraph.generated.groups.groups_request_builder import GroupsRequestBuilder as Builder

        query = Builder.GroupsRequestBuilderGetQueryParameters(
            select=list(_GROUPS),
            top=limit,
            search=_anywhere(text, "displayName", "mail"),
            filter=only,
            count=True if only else None,
        )
        return await client.groups.get(_native(query, eventual=True))

    async def _teams(self, client: GraphServiceClient, text: str, limit: int) -> Any:
        return await self._groups(client, text, limit, only=_TEAMS_ONLY)

    async def _sites(self, client: GraphServiceClient, text: str, limit: int) -> Any:
        from msgraph.generated.sites.sites_request_builder import SitesRequestBuilder as Builder

        query = Builder.SitesRequestBuilderGetQueryParameters(
            select=list(_SITES), top=limit, search=text or "*"
        )
        return await client.sites.get(_native(query))


def _native(query: Any, *, eventual: bool = False) -> Any:
    """A request configuration that hands back the HTTP answer itself, before any model is made."""
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_abstractions.native_response_handler import NativeResponseHandler
    from kiota_http.middleware.options import ResponseHandlerOption

    configuration = RequestConfiguration(query_parameters=query)
    configuration.options = [ResponseHandlerOption(NativeResponseHandler())]
    configuration.headers.add("x-ms-throttle-priority", "low")
    if eventual:
        configuration.headers.add("ConsistencyLevel", "eventual")
    return configuration


def _provider(place: Place, tokens: TokenSource) -> Any:
    """Our tokens for the SDK, for the configured Graph only."""
    from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator

    class Provider(AccessTokenProvider):
        async def get_authorization_token(
            self, uri: str, additional_authentication_context: dict[str, Any] | None = None
        ) -> str:
            if not uri.startswith(f"{place.origin}/"):
                raise ForeignHost("A token is for Microsoft Graph only.")
            return await asyncio.to_thread(tokens.token)

        def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
            return AllowedHostsValidator([place.origin.removeprefix("https://")])

    return Provider()


def _anywhere(text: str, *properties: str) -> str | None:
    """A $search over some properties; https://learn.microsoft.com/graph/search-query-parameter."""
    return " OR ".join(f'"{name}:{text}"' for name in properties) if text else None


def _first(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer.get("value")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise TransientFailure("The tenant does not say who it is.")
    return found[0]


_contexts: dict[Place, ssl.SSLContext] = {}
_running: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def _context(place: Place) -> ssl.SSLContext:
    with _lock:
        if place not in _contexts:
            _contexts[place] = tls_context(place)
        return _contexts[place]


def _loop() -> asyncio.AbstractEventLoop:
    """The private event loop of the process, started once."""
    global _running
    with _lock:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(
                target=_running.run_forever, name="graph-control-plane", daemon=True
            ).start()
        return _running
