"""How difficult the simulated tenant is: documented oddities as switches, and its limits.

calm() still does everything the documentation promises (hidden folders, moves as removal and
arrival, read flips as pieces); hostile() does in addition all it merely allows.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Quirks:
    """Switches; p_ fields are probabilities from 0 to 1."""

    p_empty_page: float = 0.0
    """A page without items that has a nextLink."""
    p_short_page: float = 0.0
    """A page with fewer items than asked for."""
    p_duplicate: float = 0.0
    """An item comes several times in a round, with an older state first."""
    removed_in_first_round: bool = False
    volatile_ids: bool = True
    """Without IdType="ImmutableId" every answer spells the ids of messages anew."""
    mixed_id_types: Literal["refused", "allowed"] = "refused"
    """A token got with one id type and used with the other."""
    delta_expand: Literal["honoured", "ignored", "refused"] = "honoured"
    """$expand=attachments on messages/delta; of lists of events the $select inside of it."""
    attachment_paging_broken: bool = False
    """Lists of attachments end at ten, and their nextLink gives the same ten for ever."""
    read_after_write_lag: bool = False
    """The first request for something below a message just created answers 404."""
    p_export_left_out: float = 0.0
    """exportItems says nothing of an item when it is asked for the first time."""
    http_date_retry_after: bool = False
    odd_link_spellings: bool = True
    """Links in the answer spell functions and keys in other documented ways."""
    rules_refused: bool = False
    """Inbox rules answer 403: Microsoft's permission table has no entry for applications."""
    lost_tokens: tuple[tuple[int, str], ...] = (
        (410, "SyncStateNotFound"),
        (410, "syncStateNotFound"),
    )
    """Status and code of the answers to lost delta tokens; they take turns."""
    default_contact_folder_listed: bool = True
    """Lists and the feed of contact folders show the default folder too."""
    default_contact_folder_named: bool = False
    """…/contactFolders/contacts is the default folder, as real tenants have it."""
    todo_extensions: Literal["kept", "refused"] = "kept"
    """Open extensions on tasks."""
    todo_completes_today: bool = False
    """The day a task was completed is the day it is written, whatever the request says."""
    todo_expand: Literal["honoured", "ignored", "refused"] = "honoured"
    """$expand on tasks and their feed."""
    todo_for_applications: Literal["allowed", "unauthorized", "forbidden"] = "allowed"
    """Some tenants answer 401 or 403 to every application that asks for To Do."""


@dataclass(slots=True)
class Limits:
    """Documented limits; tests make them small."""

    outlook_concurrent: int = 4
    outlook_requests: int = 10_000
    outlook_window_s: float = 600.0
    outlook_upload_bytes: int = 150_000_000
    outlook_upload_window_s: float = 300.0
    sharepoint_ru_per_minute: int = 1_250
    sharepoint_ru_per_day: int = 1_200_000
    sharing_calls: int = 300
    """Of one app to "specific sharing APIs", in five minutes."""
    app_requests: int = 130_000
    """Of one app, over everything it asks for."""
    app_window_s: float = 10.0
    identity_ru: int = 3_500
    identity_window_s: float = 10.0
    identity_writes: int = 3_000
    identity_write_window_s: float = 150.0
    retry_after_s: int = 1
    """What a 429 for concurrency and a fault's 429 or 503 ask for."""
    request_bytes_max: int = 4 * 1024 * 1024
    """Of one Outlook request."""


_LOST_TOKENS = (
    (410, "SyncStateNotFound"),
    (410, "syncStateNotFound"),
    (410, "ResyncRequired"),
    (400, "SyncStateInvalid"),
    (404, "syncStateNotFound"),
    (410, "resyncRequired"),
)


def calm() -> Quirks:
    """A well-behaved service."""
    return Quirks()


def hostile() -> Quirks:
    """Everything the documentation allows."""
    return Quirks(
        p_empty_page=0.15,
        p_short_page=0.3,
        p_duplicate=0.05,
        removed_in_first_round=True,
        attachment_paging_broken=True,
        read_after_write_lag=True,
        p_export_left_out=0.1,
        http_date_retry_after=True,
        lost_tokens=_LOST_TOKENS,
        default_contact_folder_listed=False,
        todo_expand="ignored",
    )
