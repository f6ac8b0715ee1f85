"""In-place archives of Contoso: old mail that left the mailbox, one of them grown into two."""

import random
from datetime import timedelta

from simulator.contoso_mail import Writer, some_message
from simulator.mailbox import Mailbox
from simulator.tenant import Tenant, User


def add_archive(
    tenant: Tenant, user: User, writer: Writer, count: int, dice: random.Random
) -> None:
    """An archive with `count` messages; the last third lies in the mailbox it expanded into."""
    writer.at -= timedelta(days=1_500)
    writer.until -= timedelta(days=700)
    first, further = (Mailbox(user.id, tenant.clock.stamp, dice.getrandbits(128)) for _ in range(2))
    years = [first.add_folder(name) for name in ("2022", "2023")]
    deep = first.add_folder("Verträge & Angebote", years[0].id)
    expanded = further.add_folder("Inbox (expanded)")
    below = further.add_folder("Größere Anlagen", expanded.id)
    near, far = [*years, deep], [expanded, below]
    for number in range(count):
        box, folders = (further, far) if number % 3 == 2 else (first, near)
        box.deliver(some_message(writer.letter()), folders[number // 3 % len(folders)].id)
    tenant.archives[user.id] = [first, further]
