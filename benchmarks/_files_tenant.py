"""python -m benchmarks._files_tenant: a tenant whose files are those of one case of bench files.

Prints what `python -m simulator` prints. Cases: "units" (an organization of ordinary drives, sites
and lists), "copies" (one file a hundred times), "edit" (one file that is changed in its middle when
it is put again), "large" (one file of any size), "million" (any number of items).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from simulator import contoso, quirks
from simulator.contoso import Cast, Profile
from simulator.drive_later import LaterDrive
from simulator.drive_state import Drive
from simulator.filebytes import SeededBytes
from simulator.serving import prepare
from simulator.tenant import Tenant

KEEPER = "Build Service"  # whose OneDrive holds the files of a case
FILE = "model.bin"
EDIT_BYTES = 1_000  # in the middle of the file
_PROFILE = "benchmark files"
_ENDLESS = 1_000_000_000
_LIMITS = (
    "sharepoint_ru_per_minute", "sharepoint_ru_per_day", "identity_ru", "outlook_requests",
    "app_requests",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Builds the tenant of a case and serves it until it is ended."""
    options = _parser().parse_args(arguments)
    tenant = _build(options.case, options.count, options.bytes)
    prepared = prepare(tenant, ca_out=options.ca_out)

    def announce() -> None:
        prepared.wait_until_started()
        print(json.dumps(prepared.running.facts()), flush=True)

    threading.Thread(target=announce, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        prepared.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks._files_tenant", description=__doc__)
    parser.add_argument("--case", choices=("units", *_CASES), required=True)
    parser.add_argument("--count", type=int, default=0, help="files, copies or items")
    parser.add_argument("--bytes", type=int, default=0, help="size of a file")
    parser.add_argument("--ca-out", type=Path, required=True)
    return parser


def _build(case: str, count: int, size: int) -> Tenant:
    if case == "units":
        contoso.PROFILES[_PROFILE] = Profile(
            (Cast("Adele Vance", -1, count), Cast("Jörg Müller", -1, count)),
            mean_file_bytes=size,
        )
    else:
        contoso.PROFILES[_PROFILE] = Profile((Cast(KEEPER, -1, 0),), mean_file_bytes=1_000)
    tenant = contoso.build(_PROFILE)
    tenant.quirks = quirks.calm()
    tenant.faults.calm()
    for name in _LIMITS:
        setattr(tenant.limits, name, _ENDLESS)
    if case != "units":
        _CASES[case](tenant, tenant.drives[_keeper(tenant)], count, size)
    return tenant


def _keeper(tenant: Tenant) -> str:
    """The only OneDrive."""
    return next(key for key, one in tenant.drives.items() if one.drive_type == "business")


def _copies(tenant: Tenant, drive: Drive, count: int, size: int) -> None:
    now = tenant.clock.now() - timedelta(days=1)
    for number in range(count):
        name = f"Copy {number:03}.bin"
        drive.put_file(drive.root, name, SeededBytes("copied", size), "fail", drive.owner, now)


def _edit(tenant: Tenant, drive: Drive, count: int, size: int) -> None:
    """Before the edit: what put_file of the control API writes differs from it in the middle."""
    now = tenant.clock.now() - timedelta(days=1)
    drive.put_file(drive.root, FILE, _Unedited(f"{FILE} 0", size), "fail", drive.owner, now)


def _large(tenant: Tenant, drive: Drive, count: int, size: int) -> None:
    """Without a hash, which would be made of all of it before the first byte is sent."""
    now = tenant.clock.now() - timedelta(days=1)
    made, _ = drive.put_file(drive.root, FILE, SeededBytes("large", size), "fail", drive.owner, now)
    made.hashless = True


def _million(tenant: Tenant, drive: Drive, count: int, size: int) -> None:
    tenant.drives[drive.id] = LaterDrive(drive.id, drive.owner, drive.created, count)


class _Unedited(SeededBytes):
    """A file as it was before its middle was overwritten."""

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        start = self.size // 2 - offset
        first, last = max(start, 0), min(start + EDIT_BYTES, len(data))
        if first >= last:
            return data
        return data[:first] + bytes(last - first) + data[last:]


_CASES: Mapping[str, Callable[[Tenant, Drive, int, int], None]] = {
    "copies": _copies,
    "edit": _edit,
    "large": _large,
    "million": _million,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
