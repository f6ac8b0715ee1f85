"""The steps of the stories: each decodes a message, calls the engine, encodes the outcome.

Law: a step may run twice, beside itself, or die at any line; it ends within minutes; its answer
holds ids, counts and codes only, because the platform keeps it in plain text. Its signature says
plain `dict`: the Functions worker refuses to load annotations that are no classes, such as
dict[str, Any].
"""

from activities.backup import close_run, drain, plan_backup, shard_resources
from activities.collect import collect_slice
from activities.export import close_export, write_export
from activities.rebuild import rebuild_slice
from activities.restore import close_restore, plan_restore, write_batch
from activities.verify import verify_slice

ALL = (
    plan_backup,
    shard_resources,
    drain,
    close_run,
    plan_restore,
    write_batch,
    close_restore,
    write_export,
    close_export,
    verify_slice,
    collect_slice,
    rebuild_slice,
)
