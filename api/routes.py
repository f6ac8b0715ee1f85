"""Every router of the API; api/app.py lets none of them answer somebody who is not signed in."""

from api import (
    backups,
    browse,
    collections,
    coverage,
    exports,
    keys,
    organizations,
    rebuilds,
    restores,
    upkeep,
)

ROUTERS = (
    organizations.router,
    keys.router,
    backups.router,
    browse.router,
    restores.router,
    exports.router,
    upkeep.router,
    collections.router,
    rebuilds.router,
    coverage.router,
)
