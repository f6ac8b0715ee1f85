"""What every page is handed: somebody who is signed in, and the fields of a posted form."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

from api.auth import Principal


def signed_in_page(request: Request) -> Principal:
    """Like api.auth.signed_in, but sends a person to the sign-in page instead of an error."""
    principal: Principal | None = request.app.state.authenticator.principal(request)
    if principal is None:
        raise HTTPException(303, headers={"Location": "/signin"})
    return principal


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form, as lists: a field may be chosen several times."""
    return parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)


Who = Annotated[Principal, Depends(signed_in_page)]
Form = Annotated[dict[str, list[str]], Depends(_form)]
