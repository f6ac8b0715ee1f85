"""Where requests may go: one Microsoft Graph with our token, content hosts without it, nobody else.

Rules
- A token goes to the configured Graph and nowhere else: scheme, host and port all equal. A link is
  taken apart and put together again with our own origin, so no two parsers can disagree about its
  host.
- A pre-authenticated address (content, upload session) may lie on any https host, as those of the
  real service do, but not at a private address and not at a port of its own. Only where the
  configured Graph is itself on loopback (a simulator) may content be there too. It never gets a
  token.
- Names are resolved by the connection, so the address it got is checked there too (wire.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from base.errors import ConfigurationProblem
from base.settings import GRAPH_HOSTS
from m365.graph.errors import ForeignHost

VERSION = "0.1"
_DEFAULT_LOGIN = "https://login.microsoftonline.com"
_UNSAFE = re.compile(r"[\s\\\x00-\x1f\x7f]")
_VERSIONED = re.compile(r"/(?:v1\.0|beta)/")
_HTTPS_PORT = 443


@dataclass(frozen=True)
class Place:
    """Which Microsoft Graph, and how we introduce ourselves to it.

    `graph_url` is without version. `login_url` and `ca_file` (PEM, trusted beside the system's) are
    for simulators; a login URL also turns instance discovery off.
    """

    graph_url: str
    login_url: str | None = None
    ca_file: Path | None = None
    company: str = "Holdfast"

    @cached_property
    def origin(self) -> str:
        """Such as https://graph.microsoft.com; URLs that get a token begin with it and a slash."""
        parts = _parts(self.graph_url)
        if parts is None or parts.path.strip("/") not in ("", "v1.0") or parts.query:
            raise ConfigurationProblem(
                "The address of Microsoft Graph has to be https://host[:port]."
            )
        return f"https://{parts.netloc.lower()}"

    @cached_property
    def on_loopback(self) -> bool:
        """Whether the configured Graph is a simulator on this machine."""
        return is_loopback(urlsplit(self.origin).hostname or "")

    @property
    def authority(self) -> str:
        """The token service."""
        host = urlsplit(self.origin).hostname or ""
        return self.login_url or GRAPH_HOSTS.get(host, _DEFAULT_LOGIN)

    @property
    def token_scope(self) -> str:
        """What tokens are asked for: all consented application permissions."""
        return f"{self.origin}/.default"

    @property
    def user_agent(self) -> str:
        """Decorated traffic is preferred by SharePoint; see its throttling page."""
        company = re.sub(r"[^A-Za-z0-9 ._-]", "", self.company).strip() or "Holdfast"
        return f"NONISV|{company}|Holdfast/{VERSION}"

    def graph_link(self, path_or_link: str) -> str:
        """The URL for a path or a link of an answer.

        A path ("/users/…") is of v1.0 unless it begins with /beta/.

        Raises ForeignHost for a link to anywhere else.
        """
        if path_or_link.startswith("/") and not path_or_link.startswith("//"):
            if _UNSAFE.search(path_or_link):
                raise ForeignHost("A path holds characters that no path of Graph has.")
            version = "" if _VERSIONED.match(path_or_link) else "/v1.0"
            return f"{self.origin}{version}{path_or_link}"
        parts = _parts(path_or_link)
        if parts is None or _origin(parts) != _origin(urlsplit(self.origin)):
            raise ForeignHost("A link in an answer leads away from Microsoft Graph; not followed.")
        query = f"?{parts.query}" if parts.query else ""
        return f"{self.origin}{parts.path}{query}"

    def content_link(self, url: str) -> str:
        """Checks a pre-authenticated address. Raises ForeignHost."""
        parts = _parts(url)
        if parts is None:
            raise ForeignHost("A content address is not a plain https address; not followed.")
        host, port = _origin(parts)
        if self.on_loopback and is_loopback(host):
            return url
        if port != _HTTPS_PORT or is_loopback(host) or _is_private(host):
            raise ForeignHost("A content address leads into a private network; not followed.")
        return url


def is_loopback(host: str) -> bool:
    """Whether a host name or literal address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:  # a name: judged again by the address it resolves to
        return "." not in host


def _parts(url: str) -> SplitResult | None:
    """The parts of a plain https URL; None for one with a user, a fragment, odd characters."""
    if _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        port_is_sane = parts.port != 0
    except ValueError:
        return None
    plain = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
    return parts if plain and port_is_sane and not parts.fragment else None


def _origin(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "").rstrip("."), parts.port or _HTTPS_PORT
