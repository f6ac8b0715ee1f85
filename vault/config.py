"""config/0001: what every reader and writer must know of a vault before it touches anything else.

Rule 1: written once, in plain JSON; its SHA-256 lies inside the sealed key list, so nobody can swap
        it.
Rule 2: what a vault needs of whoever reads, writes or collects are words: "features" here, and
        those that a later version adds in the key list. An unknown one refuses the operation.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from base.clock import iso
from vault.problems import UnknownFeature, VaultDamaged

NAME = "config/0001"
MAGIC = "holdfast vault"
FORMAT = 1
CREATED_BY = "holdfast 0.1"
KNOWN_FEATURES: dict[str, frozenset[str]] = {
    "read": frozenset({"packs-1", "catalog-1"}),
    "write": frozenset({"packs-1", "catalog-1"}),
    "collect": frozenset({"two-phase-1"}),
}
ALGORITHMS = {
    "id": "hmac-sha256",
    "seal": "aes-256-gcm",
    "derive": "hkdf-sha256",
    "compress": "zstd",
    "cut": "fastcdc-2020-seeded",
}
KIB = 1024
SMALL_BYTES = 64 * KIB  # below: grouped per chain, never looked up
WHOLE_BYTES = 256 * KIB  # up to here: one box, not cut
T_MAX_S = 6 * 3600  # one file of some hundred gigabytes is one step
WAIT_S = 8 * T_MAX_S


@dataclass(frozen=True, slots=True)
class Chunking:
    """Parameters of the cut function, in bytes; fixed for a vault's life."""

    min_bytes: int = 256 * KIB
    average_bytes: int = 1024 * KIB
    max_bytes: int = 4096 * KIB
    normalization: int = 2


@dataclass(frozen=True, slots=True)
class Config:
    """The parsed config/0001 with the bytes it came from."""

    vault_id: bytes
    chunking: Chunking
    t_max_s: int  # a step commits within this time of its first look-up or stored pack
    wait_s: int  # a collector deletes a condemned pack after this time
    raw: bytes

    @classmethod
    def new(cls, vault_id: bytes, chunking: Chunking, created: datetime) -> Self:
        """The config of a vault made now."""
        document = {
            "magic": MAGIC,
            "format": FORMAT,
            "vault_id": vault_id.hex(),
            "features": {op: sorted(known) for op, known in KNOWN_FEATURES.items()},
            "algorithms": ALGORITHMS,
            "chunking": {
                "min_bytes": chunking.min_bytes,
                "average_bytes": chunking.average_bytes,
                "max_bytes": chunking.max_bytes,
                "normalization": chunking.normalization,
                "small_bytes": SMALL_BYTES,
                "whole_bytes": WHOLE_BYTES,
            },
            "t_max_s": T_MAX_S,
            "wait_s": WAIT_S,
            "created": iso(created),
            "created_by": CREATED_BY,
        }
        return cls.parse(json.dumps(document, indent=1).encode())

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises VaultDamaged for what is no config, UnknownFeature for a newer vault."""
        try:
            document: dict[str, Any] = json.loads(raw)
            if document["magic"] != MAGIC:
                raise VaultDamaged("config/0001 is not a vault's config.", name=NAME)
            _refuse_unknown(document)
            chunking = document["chunking"]
            return cls(
                vault_id=bytes.fromhex(document["vault_id"]),
                chunking=Chunking(
                    chunking["min_bytes"],
                    chunking["average_bytes"],
                    chunking["max_bytes"],
                    chunking["normalization"],
                ),
                t_max_s=document["t_max_s"],
                wait_s=document["wait_s"],
                raw=raw,
            )
        except (ValueError, KeyError, TypeError) as damage:
            raise VaultDamaged("config/0001 cannot be read.", name=NAME) from damage

    def insist_on(self, operation: str) -> None:
        """Raises UnknownFeature when an operation needs what this version does not know."""
        insist_on_known(json.loads(self.raw)["features"], operation)


def insist_on_known(features: Mapping[str, Collection[str]], *operations: str) -> None:
    """Raises UnknownFeature. `features`: words by operation; a missing one needs nothing."""
    for operation in operations:
        unknown = set(features.get(operation, ())) - KNOWN_FEATURES[operation]
        if unknown:
            raise UnknownFeature("The vault needs unknown features.", features=sorted(unknown))


def _refuse_unknown(document: dict[str, Any]) -> None:
    if document["format"] != FORMAT:
        raise UnknownFeature("The vault has a newer format.", format=document["format"])
    insist_on_known(document["features"], "read", "write")
    for purpose, algorithm in document["algorithms"].items():
        if ALGORITHMS.get(purpose) != algorithm:
            raise UnknownFeature("The vault uses an unknown algorithm.", purpose=purpose)
