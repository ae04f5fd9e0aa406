"""Probe's API tokens: several per account, held to permissions and with an end if their owner says so (section 7).

The path names a token by itself, or by its `id`, which gives nothing away to a proxy's log. It is shown in clear to
itself, and to its owner within ten minutes of a proof; to others its last six characters are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from dragoman.core import refusals
from dragoman.dialects.probe import permissions
from dragoman.dialects.probe.door import API_TOKEN, BASE
from dragoman.dialects.probe.permissions import Name
from dragoman.dialects.probe.routes import UUID
from dragoman.dialects.probe.scopes import Grants, granted, held_to
from dragoman.dialects.probe.wire import Time, Uuid, time_text
from dragoman.http import Call, Invalid, Problem, operation
from dragoman.model import Id, Key, KeyChange, Millis, NewKey, uuid_text

LONGEST = 2**31 - 1
"""Seconds that may be asked for."""
HIDDEN = "*"

Ttl = Annotated[int, Meta(ge=0, le=LONGEST)]
Permissions = Annotated[list[Name], Meta(max_length=50)]


class Listing(Struct, rename="kebab"):
    """Which tokens are asked for."""

    include_expired: bool = False


class NewToken(Struct, rename="kebab"):
    """What a new token is held to."""

    permissions: Permissions | None = None
    """None: whatever the account may, now and later."""
    ttl: Ttl = 0
    """Seconds; 0: it never ends."""
    name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """What its owner calls it. The original has none."""


class TokenChange(Struct, rename="kebab"):
    """What becomes of a token. It is renewed in any case."""

    permissions: Permissions | None = None
    """In the place of those it was held to."""
    restrictions: dict[str, Any] | None = None
    """Nobody documents what they are; any but an empty object is refused."""
    reset_permissions: bool = False
    """Hold it to nothing but `permissions`; without these, to whatever the account may."""
    ttl: Ttl | None = None
    """Seconds from now, 0 for ever; None: as many as it had."""


class Token(Struct, frozen=True, rename="kebab"):
    """An API token."""

    token: str
    id: Uuid
    name: str
    created: Time
    updated: Time
    expired: bool
    expires_at: Time | None
    permissions: Grants
    restrictions: dict[str, str]


class TokenList(Struct, frozen=True, rename="kebab"):
    """An account's API tokens."""

    api_tokens: list[Token]


@operation("GET", f"{BASE}/auth/api-token", query=Listing, answers={200: TokenList}, tag="Auth")
async def list_api_tokens(call: Call, query: Listing) -> TokenList:
    """List the account's API tokens, the one that sign-ins show among them.

    They are in clear within ten minutes of a sign-in, else their last characters are.
    """
    account = call.signed_in.account
    keys = await call.core.access_keys.of(account, API_TOKEN, expired=query.include_expired)
    return TokenList(await _dressed(call, keys))


@operation(
    "POST", f"{BASE}/auth/api-token", body=NewToken, answers={200: Token}, fresh=True, tag="Auth",
    examples={"for a month": {"permissions": ["read:media"], "ttl": 2_592_000}, "for ever": {"ttl": 0}},
)  # fmt: skip
async def create_api_token(call: Call, body: NewToken) -> Token:
    """Make an API token; its owner is told by mail. Wants a proof not older than ten minutes."""
    held = await held_to(call, body.permissions)
    name = body.name or f"token {call.core.random.bytes(4).hex()}"
    new = NewKey(name, life=body.ttl or None, permissions=held)
    minted = await call.core.access_keys.add(call.signed_in, API_TOKEN, new, call.client)
    key = await call.core.access_keys.by_id(call.signed_in.account, API_TOKEN, minted.session.id)
    return _token(key, minted.token, granted(await permissions.whole(call), key.permissions), call.core.clock.now())


@operation(
    "GET", f"{BASE}/auth/api-token/{{token}}", query=Listing, answers={200: Token}, access="any", tag="Auth"
)  # fmt: skip
async def get_api_token(call: Call, query: Listing) -> Token:
    """Show one API token. A token sees nobody but itself."""
    key, now = await _meant(call), call.core.clock.now()
    if key.expired(now) and not query.include_expired:
        raise refusals.NoSuchKey
    return (await _dressed(call, [key]))[0]


@operation(
    "PUT", f"{BASE}/auth/api-token/{{token}}", body=TokenChange, answers={200: Token}, fresh=True, tag="Auth",
    examples={"renew": {}, "read media for a day": {"permissions": ["read:media"], "ttl": 86_400}},
)  # fmt: skip
async def renew_api_token(call: Call, body: TokenChange) -> Token:
    """Begin the life of an API token anew, also of one that has run out, and change what it is held to.

    The token itself stays. Wants a proof not older than ten minutes.
    """
    key = await _meant(call)
    if body.restrictions:
        raise Invalid((Problem("restrictions", "format", "restrictions are not kept here"),))
    change = KeyChange(
        life=UNSET if body.ttl is None else body.ttl or None,
        permissions=UNSET if body.permissions is None and not body.reset_permissions
        else await held_to(call, body.permissions),
    )  # fmt: skip
    key = await call.core.access_keys.renew(call.signed_in, API_TOKEN, key.id, change, call.client)
    return (await _dressed(call, [key]))[0]


@operation("DELETE", f"{BASE}/auth/api-token/{{token}}", answers={204: None}, tag="Auth")
async def delete_api_token(call: Call) -> None:
    """End an API token. In the place of the one that sign-ins show, the next sign-in makes another."""
    key = await _meant(call)
    await call.core.access_keys.remove_one(call.signed_in, API_TOKEN, key.id, call.client)


async def _meant(call: Call) -> Key:
    """Return the key that the path names. Raises NoSuchKey, also where a key names another than itself."""
    caller, named, keys = call.signed_in, call.path["token"], call.core.access_keys
    if UUID.fullmatch(named):
        key = await keys.by_id(caller.account, API_TOKEN, uuid.UUID(named).bytes)
    else:
        key = await keys.by_token(caller.account, API_TOKEN, named)
    if caller.session.narrow and key.id != caller.session.id:
        raise refusals.NoSuchKey
    return key


async def _dressed(call: Call, keys: Collection[Key]) -> list[Token]:
    """Dress keys, in clear for whoever may see them so: a key that asks for itself, and an owner freshly proved."""
    caller, now = call.signed_in, call.core.clock.now()
    tokens: Mapping[Id, str] = {}
    if caller.session.narrow or await call.core.proving.is_fresh(caller, call.client):
        tokens = await call.core.access_keys.tokens(caller.account, API_TOKEN, {key.id for key in keys})
    whole = await permissions.whole(call)
    return [_token(key, tokens.get(key.id) or hidden(key.hint), granted(whole, key.permissions), now) for key in keys]


def hidden(hint: str) -> str:
    """Return a token of which only the end is told, as long as it is."""
    return hint.rjust(64, HIDDEN)


def _token(key: Key, token: str, permissions: Grants, now: Millis) -> Token:
    return Token(
        token=token,
        id=uuid_text(key.id),
        name=key.name,
        created=time_text(key.created_at),
        updated=time_text(key.updated_at or key.created_at),
        expired=key.expired(now),
        expires_at=None if key.ends_at is None else time_text(key.ends_at),
        permissions=permissions,
        restrictions={},
    )


OPERATIONS = (list_api_tokens, create_api_token, get_api_token, renew_api_token, delete_api_token)
