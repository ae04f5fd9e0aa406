"""GitHub's OAuth: no ID tokens, but a call that tells for which client an access token was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from dragoman.adapters.upstream.calls import Calls
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import Clock, Issued, ProviderUnreachable, TokenRefused, Whose
from dragoman.model import Secret

if TYPE_CHECKING:
    from dragoman.adapters.upstream.wire import Line

_MOST_ADDRESSES = 100


class _Application(Struct, frozen=True):
    client_id: str


class _Owner(Struct, frozen=True):
    id: int


class _Checked(Struct, frozen=True):
    """What "check a token" says (REST API, `POST /applications/{client_id}/token`)."""

    app: _Application
    user: _Owner


class _User(Struct, frozen=True):
    """What counts of `GET /user`."""

    id: int
    login: str = ""
    name: str | None = None
    avatar_url: str | None = None


class _Email(Struct, frozen=True):
    """One of `GET /user/emails`."""

    email: str
    primary: bool = False
    verified: bool = False


class GithubProvider:
    """GitHub, or GitHub Enterprise Server. Implements `IdentityProvider`."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._pages = place.issuer.rstrip("/")
        self._api = place.api.rstrip("/")
        self._calls = Calls(place, clock)

    async def issuer(self) -> str:
        """Return the address of its pages: it signs nothing, but its numbers need a name they are unique under."""
        return self._place.issuer

    async def keys(self, *, missing: str | None = None) -> tuple[Mapping[str, Any], ...]:
        """Return none: GitHub gives no ID tokens."""
        return ()

    async def page(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser goes to sign in. GitHub knows no nonce: its codes come with no signed token."""
        endpoint = f"{self._pages}/login/oauth/authorize"

        async def ask(line: Line) -> str:
            return line.page(endpoint, redirect_uri=redirect_uri, state=state, nonce=nonce, verifier=verifier)

        return await self._calls.within(ask)

    async def exchange(self, code: Secret, *, redirect_uri: str, verifier: str | None) -> Issued:
        """Exchange an authorization code. Raises TokenRefused, ProviderUnreachable, ProviderBusy."""
        endpoint = f"{self._pages}/login/oauth/access_token"
        given = await self._calls.within(lambda line: line.exchange(endpoint, code.reveal(), redirect_uri, verifier))
        token = given.get("access_token")
        if not isinstance(token, str):
            raise ProviderUnreachable("code exchange: no access token came")
        return Issued(Secret(token))

    async def whose(self, access_token: Secret) -> Whose:
        """Ask for which client a token was made, then who its owner is. Raises TokenRefused and the others."""
        return await self._calls.within(lambda line: self._whose(line, access_token.reveal()))

    async def reach(self) -> None:
        """Ask about a token that nobody has: the API answers 404 to a client that it knows."""
        await self._calls.within(self._reach)

    async def close(self) -> None:
        """Close kept connections."""
        await self._calls.close()

    async def _whose(self, line: Line, token: str) -> Whose:
        # Without this call a token made for any other application would do (threat 14).
        checked = _converted(await self._check(line, token), _Checked)
        user = _converted(await line.get(f"{self._api}/user", bearer=token), _User)
        if user.id != checked.user.id:
            raise ProviderUnreachable("the token's check and its owner do not agree")
        email = await self._email(line, token)
        return Whose(
            subject=str(user.id), audience=(checked.app.client_id,), email=email, email_verified=bool(email),
            name=user.name or user.login, picture=user.avatar_url or "",
        )  # fmt: skip

    async def _check(self, line: Line, token: str) -> Any:
        url = f"{self._api}/applications/{self._place.client_id}/token"
        return await line.post(url, json={"access_token": token}, as_client=True)

    async def _email(self, line: Line, token: str) -> str:
        """Return the primary address if it is verified; none where the token may not ask for it."""
        try:
            listed = _converted(await line.get(f"{self._api}/user/emails", bearer=token), list[_Email])
        except TokenRefused:
            return ""
        return next((one.email for one in listed[:_MOST_ADDRESSES] if one.primary and one.verified), "")

    async def _reach(self, line: Line) -> None:
        try:
            await self._check(line, "x")
        except TokenRefused as no:
            if "404" not in str(no) and "422" not in str(no):
                raise ProviderUnreachable(f"the API {no}: client id or secret is wrong") from None


def _converted(answer: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise ProviderUnreachable("the answer has not the expected shape") from None
