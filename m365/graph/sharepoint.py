"""SharePoint's own interface of one host, for what Graph does not have: files attached to rows.

Rules
- The host comes from the id of a site of the tenant and has to be one of SharePoint's, of the same
  cloud as Graph; where Graph is a simulator on this machine it is the machine's other name.
- What is given back has a Place of its own whose origin is that host: tokens are asked for that
  host and sent there, Graph's tokens stay with Graph, and no link leads from one to the other.
- SharePoint refuses application tokens that a client secret was given for: only an application
  with a certificate has a way there.
- A reader gets a reader, which has no method that writes; only who holds a writer gets one.

https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import replace
from typing import TypeVar
from urllib.parse import urlsplit

from m365.graph.auth import Certificate, Tokens
from m365.graph.client import GraphReader
from m365.graph.hosts import Place

# By the host of Microsoft Graph: https://learn.microsoft.com/graph/deployments
_DOMAINS = {
    "graph.microsoft.com": "sharepoint.com",
    "graph.microsoft.us": "sharepoint.us",
    "dod-graph.microsoft.us": "sharepoint-mil.us",
    "microsoftgraph.chinacloudapi.cn": "sharepoint.cn",
}
_WORLDWIDE = "https://login.microsoftonline.com"  # what a Place takes by itself
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_R = TypeVar("_R", bound=GraphReader)
JSON = {"Accept": "application/json;odata=nometadata"}


def at_sharepoint(graph: _R, host: str) -> _R | None:
    """The same reader or writer at the tenant's SharePoint host; None where the application has no
    certificate or the host is none of SharePoint's.
    """
    credential = graph.tokens.credential if isinstance(graph.tokens, Tokens) else None
    origin = _origin(graph.place, host.lower())
    if not isinstance(credential, Certificate) or not origin:
        return None
    own, link, found = graph.place, graph._exchange, copy(graph)
    login = own.login_url or (own.authority if own.authority != _WORLDWIDE else None)
    place = replace(own, graph_url=origin, login_url=login)
    GraphReader.__init__(found, place, credential, link.limiter, link.clock, link.purpose)
    found._exchange.counters = link.counters  # what is used here counts there
    return found


def _origin(place: Place, host: str) -> str:
    """Where a host is reached; "" where a token must not go."""
    graph = urlsplit(place.origin)
    if place.on_loopback:
        name = "127.0.0.1" if graph.hostname == "localhost" else "localhost"
        return f"https://{name}:{graph.port}" if graph.port else f"https://{name}"
    label, _, domain = host.partition(".")
    known = _DOMAINS.get(graph.hostname or "")
    if known is None or domain != known or not _LABEL.fullmatch(label):
        return ""
    return f"https://{host}"
