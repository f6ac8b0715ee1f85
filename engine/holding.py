"""One attempt at a time for steps that must not run beside themselves, such as writes to a mailbox.

Rule 1: an attempt holds a short lease and renews it while it works; another attempt waits.
Rule 2: a dead attempt is missed within seconds: its renewing thread died with it.
Rule 3: the lease only makes doubles unlikely; what an attempt finds of an earlier one it adopts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from base.errors import Problem, Throttled
from base.ids import fresh_slug
from engine.assembly import App
from state.leases import Lease

LASTS = timedelta(seconds=8)
_RENEWALS = 4  # in the time that it lasts


@contextmanager
def holding(app: App, org: str, name: str) -> Iterator[Callable[[], None]]:
    """Holds `name` for the block, and gives what raises Throttled once it was lost.

    Raises Throttled while another attempt holds it.
    """
    now = app.clock.now()
    lease = app.leases.acquire(org, name, fresh_slug("attempt"), now, LASTS)
    if lease is None:
        held = app.leases.current(org, name)
        left = (held.expires - now).total_seconds() if held else 0.0
        raise Throttled("Another attempt of this step is at work.", max(1.0, left))
    ended, lost = threading.Event(), threading.Event()
    keeper = threading.Thread(target=_keep, args=(app, lease, ended, lost), daemon=True)
    keeper.start()

    def insist() -> None:
        if lost.is_set():
            raise Throttled("Another attempt of this step has taken over.", LASTS.total_seconds())

    try:
        yield insist
    finally:
        ended.set()
        keeper.join()
        app.leases.release(org, name, lease.holder)


def _keep(app: App, lease: Lease, ended: threading.Event, lost: threading.Event) -> None:
    while not ended.wait(LASTS.total_seconds() / _RENEWALS):
        try:
            if app.leases.renew(lease, app.clock.now(), LASTS) is None:
                lost.set()
                return
        except Problem:  # busy records: there are more renewals before it runs out
            continue
