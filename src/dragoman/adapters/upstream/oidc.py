"""Providers of OpenID Connect: discovery, keys, code exchange, and Google's call that names a token's audience."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from dragoman.adapters.upstream.calls import Calls
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import Clock, Issued, ProviderBusy, ProviderUnreachable, TokenRefused, Whose
from dragoman.model import Secret

if TYPE_CHECKING:
    from dragoman.adapters.upstream.wire import Line

DISCOVERY = "/.well-known/openid-configuration"
FRESH_SECONDS = 3600.0
"""For how long discovery and keys hold before they are fetched again."""
STALE_SECONDS = 86_400.0
"""For how long they hold while the provider cannot be reached."""
AGAIN_SECONDS = 60.0
"""How soon keys are fetched again for a token whose key is not among them: no flood of such tokens is passed on."""
MOST_KEYS = 64


class _Discovered(Struct, frozen=True):
    """What counts of a discovery document (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    authorization_endpoint: str = ""


class _Set(Struct, frozen=True):
    """A set of keys (RFC 7517, section 5)."""

    keys: list[dict[str, Any]]


class _Told(Struct, frozen=True):
    """What `tokeninfo` says of an access token. Google writes numbers and truth as text."""

    aud: str
    sub: str
    email: str = ""
    email_verified: str | bool = False
    hd: str = ""


class _Known(Struct, frozen=True):
    """What was fetched, and when."""

    discovered: _Discovered
    keys: tuple[Mapping[str, Any], ...]
    at: float


class OidcProvider:
    """A provider of OpenID Connect. Implements `IdentityProvider`."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._calls = Calls(place, clock)
        self._fetching = asyncio.Lock()
        self._known: _Known | None = None
        self._tried_at = -FRESH_SECONDS
        """When it was last tried to fetch, whatever came of it."""

    async def issuer(self) -> str:
        """Return who signs, as discovered. Raises ProviderUnreachable, ProviderBusy."""
        return (await self._fetched()).discovered.issuer

    async def keys(self, *, missing: str | None = None) -> tuple[Mapping[str, Any], ...]:
        """Return the keys as last fetched; see `IdentityProvider.keys`."""
        known = await self._fetched()
        if missing is not None and self._seconds() - self._tried_at >= AGAIN_SECONDS:
            known = await self._fetched(after=known.at)
        return known.keys

    async def page(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser goes to sign in. Raises ProviderUnreachable, ProviderBusy."""
        endpoint = (await self._fetched()).discovered.authorization_endpoint
        if not self._place.allows(endpoint):
            raise ProviderUnreachable("discovery: authorization_endpoint is not a configured place")

        async def ask(line: Line) -> str:
            return line.page(endpoint, redirect_uri=redirect_uri, state=state, nonce=nonce, verifier=verifier)

        return await self._calls.within(ask)

    async def exchange(self, code: Secret, *, redirect_uri: str, verifier: str | None) -> Issued:
        """Exchange an authorization code. Raises TokenRefused, ProviderUnreachable, ProviderBusy."""
        endpoint = (await self._fetched()).discovered.token_endpoint
        given = await self._calls.within(lambda line: line.exchange(endpoint, code.reveal(), redirect_uri, verifier))
        access, id_token = given.get("access_token"), given.get("id_token")
        if not isinstance(access, str) or not isinstance(id_token, str):
            raise ProviderUnreachable("code exchange: no access token or no ID token came; is the scope openid there?")
        return Issued(Secret(access), Secret(id_token))

    async def whose(self, access_token: Secret) -> Whose:
        """Ask whom an access token was given to, and for which client (Google's `tokeninfo`).

        Raises TokenRefused, ProviderUnreachable, ProviderBusy.
        """
        if not self._place.tokeninfo:
            raise TokenRefused("the audience of its access tokens cannot be asked for")
        form = {"access_token": access_token.reveal()}
        answer = await self._calls.within(lambda line: line.post(self._place.tokeninfo, form=form))
        told = _converted(answer, _Told, "tokeninfo")
        return Whose(
            subject=told.sub, audience=(told.aud,), email=told.email,
            email_verified=told.email_verified in (True, "true"), domain=told.hd,
        )  # fmt: skip

    async def reach(self) -> None:
        """Fetch discovery and keys anew. Raises ProviderUnreachable, ProviderBusy."""
        await self._calls.within(self._fetch)

    async def close(self) -> None:
        """Close kept connections."""
        await self._calls.close()

    # ------------------------------------------------------------ discovery and keys

    async def _fetched(self, *, after: float | None = None) -> _Known:
        """Return discovery and keys, fetched by one caller for all where they are not fresh.

        :param after: what was fetched then or before does not do.
        """
        if (found := self._good(after)) is not None:
            return found
        async with self._fetching:
            if (found := self._good(after)) is not None:
                return found
            self._tried_at = self._seconds()
            try:
                self._known = await self._calls.within(self._fetch)
            except (ProviderUnreachable, ProviderBusy):
                if self._known is None or self._seconds() - self._known.at > STALE_SECONDS:
                    raise
            return self._known

    def _good(self, after: float | None) -> _Known | None:
        known = self._known
        if known is None:
            return None
        if after is not None:
            # Whoever waited for another's try has its outcome, whatever came of it.
            recent = self._seconds() - self._tried_at < AGAIN_SECONDS
            return known if known.at > after or recent else None
        return known if self._seconds() - known.at < FRESH_SECONDS else None

    def _seconds(self) -> float:
        return self._clock.now() / 1000

    async def _fetch(self, line: Line) -> _Known:
        issuer = self._place.issuer
        try:
            found = _converted(await line.get(issuer.rstrip("/") + DISCOVERY), _Discovered, "discovery")
            templated = "{tenantid}" in found.issuer and self._place.allows(found.issuer.replace("{tenantid}", "x"))
            if found.issuer != issuer and not templated:
                raise ProviderUnreachable("discovery: the document names another issuer than the configured one")
            for name, url in (("token_endpoint", found.token_endpoint), ("jwks_uri", found.jwks_uri)):
                if not self._place.allows(url):
                    raise ProviderUnreachable(f"discovery: {name} is not a configured place")
            keys = _converted(await line.get(found.jwks_uri), _Set, "keys").keys
        except TokenRefused as why:
            raise ProviderUnreachable(f"discovery: {why}") from None
        return _Known(found, tuple(keys[:MOST_KEYS]), self._seconds())


def _converted(answer: Any, kind: type[Any], step: str) -> Any:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise ProviderUnreachable(f"{step}: the answer has not the expected shape") from None
