"""Flashback's calls about refresh tokens and sessions (contract section 7; decisions 16, 19, 21 and table C)."""

from __future__ import annotations

import uuid

from dragoman.core.refusals import NotFound
from dragoman.dialects.flashback import wire, wire_sessions
from dragoman.dialects.flashback.routes import DOOR
from dragoman.http import Call, operation
from dragoman.model import Id


def id_in(call: Call, name: str) -> Id:
    """Return the id that the path names. Raises NotFound where it is none: ids of strangers are answered alike."""
    try:
        return uuid.UUID(call.path[name]).bytes
    except ValueError:
        raise NotFound from None


@operation("GET", "/token", answers={200: wire_sessions.Tokens}, tag="token")
async def list_tokens(call: Call) -> wire_sessions.Tokens:
    """List the caller's live chains of refresh tokens, newest first: one for each sign-in by this API."""
    caller = call.signed_in
    held = await call.core.sessions.list_clients(caller.account.id)
    return wire_sessions.Tokens(
        tokens=[wire_sessions.token(each, caller.session) for each in held if each.door == DOOR.name]
    )


@operation("DELETE", "/token/{token_id}", answers={200: wire_sessions.Removed}, tag="token")
async def revoke_token(call: Call) -> wire_sessions.Removed:
    """End one of the caller's chains by its `tokenId`, and with it the session and its access tokens."""
    await call.core.sessions.end_own(call.signed_in, id_in(call, "token_id"), call.client, door=DOOR)
    return wire_sessions.Removed()


@operation("GET", "/sessions", answers={200: wire_sessions.Items}, tag="sessions")
async def list_sessions(call: Call) -> wire_sessions.Items:
    """List the caller's signed-in clients, newest first, whatever API they signed in by."""
    account = call.signed_in.account.id
    held, links = await call.core.sessions.list_clients(account), await call.core.devices.of_sessions(account)
    return wire_sessions.Items(sessions=[wire_sessions.item(each, links) for each in held])


@operation("POST", "/sessions/{session_id}/revoke", answers={200: wire.Done}, tag="sessions")
async def revoke_session(call: Call) -> wire.Done:
    """End one of the caller's signed-in clients at once, whatever API it signed in by."""
    await call.core.sessions.end_own(call.signed_in, id_in(call, "session_id"), call.client)
    return wire.Done(message="The session was ended")


@operation("POST", "/sessions/revoke-all", answers={200: wire.Done}, tag="sessions")
async def revoke_all_sessions(call: Call) -> wire.Done:
    """End every signed-in client of the caller at once, in all APIs, this one too. Keys stay."""
    await call.core.sessions.end_clients(call.signed_in, call.client)
    return wire.Done(message="All sessions were ended")


@operation("POST", "/sessions/{session_id}/heartbeat", answers={200: wire_sessions.Extended}, tag="sessions")
async def heartbeat(call: Call) -> wire_sessions.Extended:
    """Say that one of the caller's clients is still in use: it lives on as after a refresh, never beyond its end."""
    runs_out = await call.core.sessions.stay(call.signed_in, id_in(call, "session_id"))
    return wire_sessions.Extended(message="The session goes on", new_expiry=wire_sessions.moment(runs_out))


OPERATIONS = (list_tokens, revoke_token, list_sessions, revoke_session, revoke_all_sessions, heartbeat)
