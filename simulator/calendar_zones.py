"""Time zones as Exchange names them, and the same moment in another one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator.web import GraphError

WINDOWS = {
    "UTC": "Etc/UTC", "GMT Standard Time": "Europe/London",
    "W. Europe Standard Time": "Europe/Berlin", "Romance Standard Time": "Europe/Paris",
    "Central Europe Standard Time": "Europe/Budapest", "FLE Standard Time": "Europe/Kiev",
    "Russian Standard Time": "Europe/Moscow", "India Standard Time": "Asia/Kolkata",
    "Nepal Standard Time": "Asia/Kathmandu", "Tokyo Standard Time": "Asia/Tokyo",
    "AUS Eastern Standard Time": "Australia/Sydney",
    "Lord Howe Standard Time": "Australia/Lord_Howe", "Hawaiian Standard Time": "Pacific/Honolulu",
    "Pacific Standard Time": "America/Los_Angeles", "Eastern Standard Time": "America/New_York",
    "Newfoundland Standard Time": "America/St_Johns",
    "Samoa Standard Time": "Pacific/Apia",
}  # fmt: skip
CUSTOM = "tzone://Microsoft/Custom"


def zone(name: str) -> ZoneInfo:
    """The rules of a zone; Graph's 400 when Exchange does not know the name."""
    if name == CUSTOM:
        return ZoneInfo("Etc/GMT-3")
    try:
        return ZoneInfo(WINDOWS.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = f"A valid TimeZone value must be specified. The TimeZone '{name}' is not known."
        raise GraphError(400, "TimeZoneNotSupportedException", text) from None


def to_utc(local: datetime, name: str) -> datetime:
    """A wall-clock time of a zone as a moment without tzinfo, in UTC."""
    return local.replace(tzinfo=zone(name)).astimezone(UTC).replace(tzinfo=None)


def from_utc(moment: datetime, name: str) -> datetime:
    """A moment in UTC as the wall-clock time of a zone."""
    return moment.replace(tzinfo=UTC).astimezone(zone(name)).replace(tzinfo=None)
