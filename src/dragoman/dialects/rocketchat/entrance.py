"""From the form of a login to the gate: one way for REST and DDP."""

from __future__ import annotations

from dragoman.dialects.rocketchat.forms import ByPassword, ByToken
from dragoman.http import Call
from dragoman.model import Pending, SignedIn


async def enter(call: Call, form: ByPassword | ByToken) -> SignedIn | Pending:
    """Sign in with a form that was read. Raises what `signin.with_password` and `sessions.resume` raise."""
    if isinstance(form, ByToken):
        return await call.core.sessions.resume(call.door, form.token)
    return await call.core.signin.with_password(call.door, form.typed, form.password, call.client, code=form.code)
