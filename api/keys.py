"""Keys of an organization: who opens its vault, rotation, the recovery kit, and their destruction.

Whoever is signed in may do this until there are roles per organization (api/auth.py); it is meant
for the owner, and each act is in the audit log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from api.auth import SignedIn
from api.deps import Org, TheApp
from api.key_answers import KeysChangedOut, KeysOut, ShreddedOut, SlotAddedOut
from api.models import RotateIn, ShredIn, SlotIn, SlotTerms
from engine import audit, keys

router = APIRouter(tags=["keys"])

# The page brings its own style, so that it is whole when it is saved; api/guard.py allows none.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

Slot = Annotated[str, Path(max_length=20, description="id of the slot")]


@router.get("/organizations/{org}/keys", response_model=KeysOut)
def read_keys(org: Org, app: TheApp) -> dict[str, Any]:
    """Slots and data keys with their dates, and whether there is a way in without the service."""
    return keys.show(app, org)


@router.post("/organizations/{org}/keys/rotate", response_model=KeysChangedOut)
def rotate_keys(org: Org, body: RotateIn, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Makes a fresh data key, or wraps a fresh master secret for every slot. Backups go on."""
    if body.layer == "data":
        return keys.rotate_data(app, org, who.id)
    return keys.rotate_slots(app, org, who.id, _terms(body))


@router.post("/organizations/{org}/keys/slots", status_code=201, response_model=SlotAddedOut)
def add_slot(org: Org, body: SlotIn, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Adds a slot, and takes the one it replaces away. A made passphrase is in this answer only."""
    wanted = keys.SlotWanted(
        kind=body.kind,
        purpose=body.purpose,
        passphrase=body.passphrase.get_secret_value() if body.passphrase else "",
        public_key=body.public_key,
        key_id=body.key_id,
        replaces=body.replaces,
    )
    return keys.add_slot(app, org, who.id, wanted, _terms(body))


@router.delete("/organizations/{org}/keys/slots/{slot}", response_model=KeysChangedOut)
def drop_slot(
    org: Org, slot: Slot, who: SignedIn, app: TheApp, body: SlotTerms | None = None
) -> dict[str, Any]:
    """Takes a slot away: never the last one for recovery, never the one the service uses."""
    return keys.drop_slot(app, org, who.id, slot, _terms(body or SlotTerms()))


@router.post("/organizations/{org}/keys/shred", response_model=ShreddedOut)
def shred_keys(org: Org, body: ShredIn, who: SignedIn, app: TheApp) -> dict[str, Any]:
    """Destroys every key of the organization: nothing opens its vault ever after. No way back."""
    return keys.shred(app, org, who.id, body.confirm)


@router.get("/organizations/{org}/keys/recovery-kit", response_class=HTMLResponse)
def read_recovery_kit(
    org: Org, who: SignedIn, app: TheApp, form: Literal["html", "text"] = "html"
) -> Response:
    """A page to print: where the blobs are, who opens them, and the commands that read them."""
    kit = keys.recovery_kit(app, org)
    audit.note(app, org, who.id, "recovery-kit-made")
    if form == "text":
        return PlainTextResponse(kit.text())
    return HTMLResponse(kit.html(), headers={"Content-Security-Policy": _PAGE_POLICY})


def _terms(body: SlotTerms) -> keys.Terms:
    texts = [one.get_secret_value() for one in body.passphrases]
    return keys.Terms(texts, body.keep_master)
