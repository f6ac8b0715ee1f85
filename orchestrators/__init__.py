"""The stories: plain generators the durable engine replays from the top whenever a step has ended.

Laws: a story reads no clock, dice, file, environment or network and asks the context or a step
instead; outcomes decide, never the text of an exception; every loop ends in continue_as_new, so
that no history passes 500 events; nothing but ids, counts and codes goes in or out.
"""

from orchestrators.backup import backup_organization, drain_lane
from orchestrators.export import export_items
from orchestrators.restore import restore_items
from orchestrators.upkeep import collect_vault, rebuild_records, verify_vault

ALL = (
    backup_organization,
    drain_lane,
    restore_items,
    export_items,
    verify_vault,
    collect_vault,
    rebuild_records,
)
