"""Flashback's calls for outside providers (contract section 7, "Outside providers").

The client sets the provider's token as its bearer before them: whatever bearer comes along is ignored. The refresh
tokens that they hand out and take are the platform's own; the provider's are neither kept nor passed on.
"""

from __future__ import annotations

from dragoman.core.refusals import NotOffered
from dragoman.dialects.flashback import wire
from dragoman.dialects.flashback.routes import DOOR, Config
from dragoman.dialects.flashback.wire_providers import Exchange, Named, Provided, Token, provided
from dragoman.http import Call, operation
from dragoman.model import Secret, Wish


async def _with_token(call: Call, provider: Named, body: Token) -> Provided:
    wish, token = Wish(device=body.device()), Secret(body.token)
    arrival = await call.core.upstream.with_token(DOOR, provider.lower(), token, call.client, wish=wish)
    return provided(arrival, provider, call.config(Config).expires_at_unit, echoes=True)


async def _with_code(call: Call, provider: Named, body: Exchange) -> Provided:
    wish = Wish(device=body.device())
    arrival = await call.core.upstream.with_code(DOOR, provider.lower(), body.given(), call.client, wish=wish)
    return provided(arrival, provider, call.config(Config).expires_at_unit, echoes=False)


_TOKEN = {"token": {"token": "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.c2lnbmF0dXJl"}}
_REFRESH = {"client": {"refresh_token": "..."}}
_CODE = {"code": {"code": "4/0AX4XfWh"}}


@operation("POST", "/auth/google", body=Token, answers={200: Provided}, access="open", tag="auth", examples=_TOKEN)
async def google(call: Call, body: Token) -> Provided:
    """Sign in with a token that Google gave to the client: an ID token, or an access token made for us."""
    return await _with_token(call, "GOOGLE", body)


@operation(
    "POST", "/auth/google/exchange", body=Exchange, answers={200: Provided}, access="open", tag="auth", examples=_CODE
)
async def google_exchange(call: Call, body: Exchange) -> Provided:
    """Sign in with an authorization code of Google's."""
    return await _with_code(call, "GOOGLE", body)


@operation("POST", "/auth/github", body=Exchange, answers={200: Provided}, access="open", tag="auth", examples=_CODE)
async def github(call: Call, body: Exchange) -> Provided:
    """Sign in with an authorization code of GitHub's."""
    return await _with_code(call, "GITHUB", body)


@operation("POST", "/auth/microsoft", body=Token, answers={200: Provided}, access="open", tag="auth", examples=_TOKEN)
async def microsoft(call: Call, body: Token) -> Provided:
    """Sign in with an ID token that Microsoft gave to the client."""
    return await _with_token(call, "MICROSOFT", body)


@operation(
    "POST", "/auth/microsoft/exchange", body=Exchange, answers={200: Provided}, access="open", tag="auth",
    examples=_CODE,
)  # fmt: skip
async def microsoft_exchange(call: Call, body: Exchange) -> Provided:
    """Sign in with an authorization code of Microsoft's."""
    return await _with_code(call, "MICROSOFT", body)


async def _refreshed(call: Call, body: wire.Refresh) -> wire.Refreshed:
    outcome = await call.core.sessions.refresh(DOOR, body.token(), call.client)
    return wire.refreshed(outcome, call.config(Config).expires_at_unit)


@operation(
    "POST", "/auth/google/refresh", body=wire.Refresh, answers={200: wire.Refreshed}, access="open", tag="auth",
    examples=_REFRESH,
)  # fmt: skip
async def google_refresh(call: Call, body: wire.Refresh) -> wire.Refreshed:
    """Exchange the platform's refresh token for new tokens of the same session, as `POST /user/refresh` does."""
    return await _refreshed(call, body)


@operation(
    "POST", "/auth/github/refresh", body=wire.Refresh, answers={200: wire.Refreshed}, access="open", tag="auth",
    examples=_REFRESH,
)  # fmt: skip
async def github_refresh(call: Call, body: wire.Refresh) -> wire.Refreshed:
    """Exchange the platform's refresh token for new tokens of the same session, as `POST /user/refresh` does."""
    return await _refreshed(call, body)


@operation(
    "POST", "/auth/microsoft/refresh", body=wire.Refresh, answers={200: wire.Refreshed}, access="open", tag="auth",
    examples=_REFRESH,
)  # fmt: skip
async def microsoft_refresh(call: Call, body: wire.Refresh) -> wire.Refreshed:
    """Exchange the platform's refresh token for new tokens of the same session, as `POST /user/refresh` does."""
    return await _refreshed(call, body)


@operation("POST", "/auth/web3", access="open", answers={400: wire.Failure}, tag="auth")
async def web3(call: Call) -> None:
    """Refuse: signatures of wallets are not offered. Always `PROVIDER_NOT_AVAILABLE`."""
    raise NotOffered


OPERATIONS = (
    google, google_exchange, google_refresh, github, github_refresh, microsoft, microsoft_exchange, microsoft_refresh,
    web3,
)  # fmt: skip
