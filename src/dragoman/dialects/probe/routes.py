"""Probe's operations around sign-in (contract section 3)."""

from __future__ import annotations

import re
import uuid

from msgspec import UNSET

from dragoman.core import refusals
from dragoman.dialects.probe import carriers, errors, permissions, restoring, users, wire
from dragoman.dialects.probe.door import BASE, DOOR, PASSWORD_PATH, SHORT_LIFE
from dragoman.http import Answer, Call, Invalid, Operation, Problem, operation
from dragoman.model import Caller, Id, Password, Pending, Person, Typed, Wish

CODE_HEADER = "x-2fa-code"
UUID = re.compile(r"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_NOT_SENT = Password.from_digest("")
"""Stands for a password that did not come: the door takes no digests, so the gate does its work and refuses it."""


@operation(
    "POST", f"{BASE}/auth/sign-in", body=wire.SignIn, answers={200: wire.SignInAnswer}, access="open", tag="Auth",
    headers=("X-2FA-Code",), cookies=(carriers.JWT_COOKIE,),
    examples={"example": {"email": "ada@example.com", "password": "correct horse battery", "long-term-token": True}},
)  # fmt: skip
async def sign_in(call: Call, body: wire.SignIn) -> wire.SignInAnswer | Answer:
    """Sign in with email and password.

    With a second factor the first answer is 401 and names it in `context`; send the same again with a `code`, in the
    body or in the header `X-2FA-Code`. An account that was never verified gets its status, a mail with which to verify
    its address, and no token.
    """
    if carriers.from_foreign_page(call):
        raise refusals.NotAllowed("a page of another origin signs in")
    password = _NOT_SENT if body.password is UNSET else Password.from_plain(body.password)
    wish = Wish(life=None if body.long_term_token else SHORT_LIFE, end_others=body.logout_other)
    code = body.code or call.header(CODE_HEADER) or None
    typed = Typed("email", body.email)
    current_user = await carriers.confirmed_user(call, body.current_user)  # before `logout-other` ends its session
    try:
        outcome = await call.core.signin.with_password(DOOR, typed, password, call.client, code=code, wish=wish)
    except refusals.NotVerified as refusal:
        return await pending(call, refusal.person)
    if isinstance(outcome, Pending):
        return errors.second_factor(call, outcome.offers)
    carriers.set_cookies(call, outcome, call.core.clock.now())
    return wire.signed_in(outcome, current_user, carriers.return_url(call, body.ret_url))


async def pending(call: Call, person: Person) -> wire.SignInAnswer:
    """Answer somebody who must verify an address first. There is no call to ask for the mail, so it goes out now."""
    await call.core.recovery.remind(DOOR, person, call.client)
    return wire.pending(person)


@operation(
    "GET", f"{BASE}/auth/session", query=wire.SessionQuery, answers={200: wire.SessionList}, access="any", tag="Auth"
)
async def list_sessions(call: Call, query: wire.SessionQuery) -> wire.SessionList:
    """List the caller's active sessions, newest first, whatever API they signed in by.

    With `user-id`, which can be repeated, those of sub users, each with its user's id.
    """
    if not query.user_id:
        return wire.listed(await call.core.sessions.list_clients(call.signed_in.account.id))
    numbers: dict[Id, int] = {}
    targets = [await users.listed_for(call, number, numbers) for number in dict.fromkeys(query.user_id)]
    found = await call.core.family.sessions_of(targets)
    return wire.listed_with_users((numbers[account.id], session) for account, session in found)


@operation("DELETE", f"{BASE}/auth/session", answers={204: None}, tag="Auth")
async def end_sessions(call: Call) -> None:
    """End all of the caller's active sessions, this one too. The API token stays valid and cannot call this."""
    await call.core.sessions.end_clients(call.signed_in, call.client)
    carriers.clear_cookie(call)


@operation(
    "GET", f"{BASE}/auth/session/{{session_id}}", answers={200: wire.SessionItem}, access="any", tag="Auth"
)  # fmt: skip
async def get_session(call: Call) -> wire.SessionItem:
    """Show one active session of the caller or of a sub user, whatever API it signed in by.

    An unknown id and one out of reach are answered alike.
    """
    caller, id = call.signed_in, _session_id(call)
    found = await call.core.family.session(caller, id)
    if found.account.id != caller.account.id:
        await permissions.need_for(call, found.account, "read")
    return wire.item(found.session)


@operation("DELETE", f"{BASE}/auth/session/{{session_id}}", answers={204: None}, tag="Auth")
async def end_session(call: Call) -> None:
    """End one active session of the caller or of a sub user, whatever API it signed in by.

    An unknown id and one out of reach are answered alike.
    """
    caller, id = call.signed_in, _session_id(call)
    found = await call.core.family.session(caller, id)
    if found.account.id != caller.account.id:
        await permissions.need_for(call, found.account, "write")
    await call.core.sessions.end_one(caller, id, call.client)
    if id == caller.session.id:
        carriers.clear_cookie(call)


@operation(
    "DELETE", f"{BASE}/auth/sign-out", query=wire.SignOut, answers={200: wire.SignOutAnswer}, access="any", tag="Auth"
)
async def sign_out(call: Call, query: wire.SignOut) -> wire.SignOutAnswer:
    """End the presented session, or with `logout-all` every session of the caller.

    An API token is no session: with it, `success` is true only where `logout-all` ended the others.
    """
    caller, ended = call.signed_in, True
    if query.logout_all:
        await call.core.sessions.end_clients(caller, call.client)
    elif caller.session.kind == "client":
        await call.core.sessions.sign_out(caller, call.client)
    else:
        ended = False
    if ended:
        carriers.clear_cookie(call)
    return wire.SignOutAnswer(carriers.return_url(call, query.ret_url), ended)


@operation(
    "PUT", PASSWORD_PATH, body=wire.ChangePassword, query=wire.ChangePasswordQuery, answers={204: None},
    access="optional", tag="Auth",
    examples={"example": {"old-password": "the old horse battery", "new-password": "another horse battery"}},
)  # fmt: skip
async def change_password(call: Call, body: wire.ChangePassword, query: wire.ChangePasswordQuery) -> None:
    """Change the caller's own password. This session stays; with `logout-all` every other one ends, in all APIs.

    With a `password-update-token` neither the old password nor a session is needed; then every session and API token of
    the account ends.
    """
    new = Password.from_plain(body.new_password)
    if body.password_update_token is not None:
        own = call.caller.account.id if call.caller is not None else None
        await restoring.set_password(call, body.password_update_token, new, of=own)
        return
    caller, old = _session(call), restoring.old_password(call, body)
    await call.core.accounts.change_password(caller, old, new, call.client, end_others=query.logout_all)


def _session(call: Call) -> Caller:
    """Return who changes a password without an update token: somebody signed in. Raises NotSignedIn, NotForKeys."""
    if call.caller is None:
        raise refusals.NotSignedIn
    if call.caller.session.narrow:
        raise refusals.NotForKeys
    return call.caller


@operation(
    "POST", f"{BASE}/auth/verify", body=wire.Verify, answers={200: wire.Verified}, access="optional", tag="Auth",
    headers=(carriers.CAPTCHA_HEADER,),
    examples={"example": {"verify-token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoidmVyaWZ5In0.AAAA"}},
)  # fmt: skip
async def verify(call: Call, body: wire.Verify) -> wire.Verified:
    """Verify an address with the token that was mailed to it. Signs nobody in.

    A token that is expired, used or not ours is answered with `success` false.
    """
    await carriers.captcha(call)
    try:
        password = Password.from_plain(body.password) if body.password is not None else None
        person = await call.core.recovery.use(
            "verify", body.verify_token, call.client, password=password, door=DOOR, by=call.caller
        )
    except refusals.BadTicket:
        return wire.NOT_VERIFIED
    return wire.verified(person)


def _session_id(call: Call) -> Id:
    """Return the id in the path. Raises Invalid unless it is a UUID as we print them."""
    text = call.path["session_id"]
    if UUID.fullmatch(text) is None:
        raise Invalid((Problem("session-id", "format", "must be a UUID", "path"),))
    return uuid.UUID(text).bytes


OPERATIONS: tuple[Operation, ...] = (
    sign_in, list_sessions, end_sessions, get_session, end_session, sign_out, change_password, verify,
)  # fmt: skip
