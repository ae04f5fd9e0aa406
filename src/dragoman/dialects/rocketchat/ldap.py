"""Rocket.Chat's calls that try the directory out (its contract, section 9): for administrators."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from dragoman.core.ports import DirectoryFailed
from dragoman.dialects.rocketchat import permissions
from dragoman.dialects.rocketchat.errors import failure
from dragoman.http import Answer, Call, operation


class Sought(Struct):
    """Whom to look for."""

    username: Annotated[str, Meta(min_length=1, max_length=256)]


class Tried(Struct, frozen=True):
    """What came of it, by its name in the clients' catalogues."""

    message: str
    success: bool


_OFF = failure(400, "LDAP_disabled")
_NOT_OFFERED = failure(400, "Not allowed", "error-not-allowed")


@operation("POST", "/api/v1/ldap.testConnection", answers={200: Tried}, tag="administration")
async def test_connection(call: Call) -> Tried | Answer:
    """Connect to the directory and sign in to search there; with `test-admin-options`."""
    await permissions.needs(call, "test-admin-options")
    if not call.core.directory.on:
        return _OFF
    try:
        await call.core.directory.reach()
    except DirectoryFailed:
        return failure(400, "Connection_failed")
    return Tried("LDAP_Connection_successful", True)


@operation(
    "POST",
    "/api/v1/ldap.testSearch",
    body=Sought,
    answers={200: Tried},
    tag="administration",
    examples={"by name": {"username": "ada"}},
)
async def test_search(call: Call, body: Sought) -> Tried | Answer:
    """Look for one person in the directory, as a sign-in does; with `test-admin-options`."""
    await permissions.needs(call, "test-admin-options")
    if not call.core.directory.on:
        return _OFF
    try:
        await call.core.directory.find(body.username)
    except DirectoryFailed:
        return failure(400, "LDAP_search_failed")
    return Tried("LDAP_User_Found", True)


@operation("POST", "/api/v1/ldap.syncNow", answers={200: Tried}, fresh="always", tag="administration")
async def sync_now(call: Call) -> Tried | Answer:
    """Refuse, after a proof in the call: people are taken over when they sign in, and never all at once.

    With `sync-auth-services-users`, like in the original, where it is not part of the community edition.
    """
    await permissions.needs(call, "sync-auth-services-users")
    return _NOT_OFFERED if call.core.directory.on else _OFF


OPERATIONS = (test_connection, test_search, sync_now)
