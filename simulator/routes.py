"""Every route of every service: whoever adds a service adds its routes here."""

import importlib
import importlib.util

from simulator import (
    applications,
    calendar,
    calendar_attachments,
    calendar_delta,
    chats,
    contacts_routes,
    conversations,
    directory,
    licences,
    lists,
    lists_content_types,
    lists_rest,
    login,
    mail,
    mail_attachments,
    mail_delta,
    mail_folders,
    mailbox_export,
    mailbox_transfer,
    notes,
    pages,
    planner,
    settings,
    sites,
    teams,
    teams_messages,
    teams_migration,
    todo_attachments,
    todo_routes,
)
from simulator.web import Route


def routes() -> tuple[Route, ...]:
    """Every route of every service."""
    found = [
        *login.ROUTES, *directory.ROUTES, *applications.ROUTES, *mail_folders.ROUTES, *mail.ROUTES,
        *mail_delta.ROUTES, *mail_attachments.ROUTES, *calendar.ROUTES, *calendar_delta.ROUTES,
        *calendar_attachments.ROUTES, *settings.ROUTES, *conversations.ROUTES,
        *mailbox_export.ROUTES, *mailbox_transfer.ROUTES,
        *contacts_routes.ROUTES, *todo_routes.ROUTES, *todo_attachments.ROUTES, *licences.ROUTES,
        *notes.ROUTES, *pages.ROUTES, *planner.ROUTES, *sites.ROUTES, *lists.ROUTES,
        *lists_content_types.ROUTES,
        *lists_rest.ROUTES, *teams.ROUTES, *teams_messages.ROUTES, *teams_migration.ROUTES,
        *chats.ROUTES,
    ]  # fmt: skip
    if importlib.util.find_spec("simulator.drive") is not None:
        found += importlib.import_module("simulator.drive").ROUTES
    return tuple(found)
