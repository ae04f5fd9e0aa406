"""Probe's JWTs for others: sessions below one's own, with claims and permissions of their own (section 7)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from dragoman.core import preferences
from dragoman.dialects.probe import wire
from dragoman.dialects.probe.door import BASE, LONG_LIFE, SHORT_LIFE
from dragoman.dialects.probe.permissions import Name
from dragoman.dialects.probe.scopes import held_to
from dragoman.http import Call, operation
from dragoman.model import ChildWish

CLAIMS = 2048
"""Bytes of JSON that claims may be: the token goes into headers."""
DEPTH = 5


class NewJwt(Struct, rename="kebab"):
    """What a JWT is to say and may do."""

    claims: dict[str, Any] | None = None
    """Goes below the token's claim `claims`, and means nothing here."""
    long_term_token: bool = True
    permissions: Annotated[list[Name], Meta(max_length=50)] | None = None
    """What it is held to; None: whatever the account may."""


@operation(
    "POST", f"{BASE}/auth/jwt", body=NewJwt, answers={200: wire.JwtToken}, fresh=True, tag="Auth",
    examples={"for a player": {"claims": {"player": "lobby"}, "long-term-token": False, "permissions": ["read:media"]}},
)  # fmt: skip
async def generate_jwt(call: Call, body: NewJwt) -> wire.JwtToken:
    """Make a JWT of the own account for another program. It ends with the session that made it, at the latest.

    Wants a proof not older than ten minutes, and a session of one's own: neither an API token nor a JWT made this way.
    """
    new = ChildWish(
        life=LONG_LIFE if body.long_term_token else SHORT_LIFE,
        permissions=await held_to(call, body.permissions),
        claims=preferences.within(body.claims or {}, CLAIMS, DEPTH),
    )
    made = await call.core.signin.child(call.signed_in, new, call.client)
    return wire.JwtToken(wire.time_text(made.token_ends_at or 0), made.token)


OPERATIONS = (generate_jwt,)
