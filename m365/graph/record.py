"""The small record through which workers share limits: what m365/ asks of it, and one in memory."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Protocol


class SharedRecord(Protocol):
    """Where workers keep what they share: one small JSON object per tenant and name.

    Raises a Problem where the storage does not answer.
    """

    def read(self, tenant: str, name: str) -> tuple[Mapping[str, Any], str]:
        """The object and its etag; ({}, "") where there is none."""
        ...

    def write(self, tenant: str, name: str, content: Mapping[str, Any], etag: str) -> bool:
        """Writes it unless somebody else did since ("": made it since); whether it worked."""
        ...

    def remove(self, tenant: str, name: str, etag: str) -> bool:
        """Removes it unless somebody wrote it since; whether it worked."""
        ...


class MemoryRecord:
    """A record for one process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[dict[str, Any], int]] = {}

    def read(self, tenant: str, name: str) -> tuple[Mapping[str, Any], str]:
        content, version = self._kept.get((tenant, name), ({}, 0))
        return deepcopy(content), str(version or "")

    def write(self, tenant: str, name: str, content: Mapping[str, Any], etag: str) -> bool:
        _, version = self._kept.get((tenant, name), ({}, 0))
        if etag != str(version or ""):
            return False
        self._kept[tenant, name] = (deepcopy(dict(content)), version + 1)
        return True

    def remove(self, tenant: str, name: str, etag: str) -> bool:
        return etag == str(self._kept.pop((tenant, name), ({}, 0))[1] or "")
