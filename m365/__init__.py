"""What we know about Microsoft 365: one file per service, and the registry of them.

Everything that lists services - API, console, the list of permissions, coverage, tests - reads
SERVICES.
"""

from __future__ import annotations

from collections.abc import Mapping

from m365.archive import SERVICE as ARCHIVE
from m365.calendar import SERVICE as CALENDAR
from m365.chats import SERVICE as CHATS
from m365.contacts import SERVICE as CONTACTS
from m365.conversations import SERVICE as CONVERSATIONS
from m365.drive import SERVICE as DRIVE
from m365.lists import SERVICE as LISTS
from m365.mail import SERVICE as MAIL
from m365.mailbox_copies import SERVICE as MAILBOX_COPIES
from m365.notes import SERVICE as NOTES
from m365.pages import SERVICE as PAGES
from m365.planner import SERVICE as PLANNER
from m365.service import Service
from m365.settings import SERVICE as SETTINGS
from m365.tasks import SERVICE as TASKS
from m365.teams import SERVICE as TEAMS

_ALL = (
    MAIL,
    CALENDAR,
    CONTACTS,
    TASKS,
    DRIVE,
    SETTINGS,
    CONVERSATIONS,
    MAILBOX_COPIES,
    ARCHIVE,
    LISTS,
    PAGES,
    PLANNER,
    NOTES,
    TEAMS,
    CHATS,
)
SERVICES: Mapping[str, Service] = {service.name: service for service in _ALL}
