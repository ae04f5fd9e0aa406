"""Requests to a provider over HTTP: only where the configuration allows, within sizes, no redirect followed.

Imported in a thread at the first call: the libraries take long to load, and no start waits for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import msgspec
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from dragoman.adapters.upstream.calls import Silent
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import ProviderUnreachable, TokenRefused

MOST_BYTES = 256 * 1024
"""Of one answer. The largest honest ones, sets of keys, have some ten thousand."""
_HEADERS = {"accept": "application/json", "user-agent": "dragoman"}


class Forbidden(httpx2.RequestError):
    """A request would have gone where nobody configured."""


class TooLarge(httpx2.RequestError):
    """An answer is larger than any honest one."""


class Line:
    """HTTP to one provider, as our client there. The time of a call is for whoever makes it to bound."""

    def __init__(self, place: Place) -> None:
        self._place = place
        limits = httpx2.Limits(max_connections=place.connections, keepalive_expiry=30.0)
        # `trust_env` is off: no proxy or certificate of the environment stands between us and the provider.
        transport = _Fenced(httpx2.AsyncHTTPTransport(limits=limits, trust_env=False), place)
        self._client = AsyncOAuth2Client(
            place.client_id, place.client_secret.reveal() or None, scope=" ".join(place.scopes),
            code_challenge_method="S256", transport=transport, follow_redirects=False, trust_env=False,
            timeout=place.timeout,
        )  # fmt: skip

    async def get(self, url: str, *, bearer: str | None = None) -> Any:
        """Return the JSON of a GET. Raises TokenRefused where the provider says no, ProviderUnreachable."""
        headers = _HEADERS if bearer is None else {**_HEADERS, "authorization": f"Bearer {bearer}"}
        return await self._ask("GET", url, headers=headers, auth=None)

    async def post(
        self, url: str, *, form: Mapping[str, str] | None = None, json: Any = None, as_client: bool = False
    ) -> Any:
        """Return the JSON of a POST, sent as ourselves with `as_client` (RFC 7617). Raises as `get` does."""
        known = (self._place.client_id, self._place.client_secret.reveal()) if as_client else None
        return await self._ask("POST", url, headers=_HEADERS, data=form, json=json, auth=known)

    async def exchange(self, endpoint: str, code: str, redirect_uri: str, verifier: str | None) -> Mapping[str, Any]:
        """Return what the token endpoint gives for a code. Raises TokenRefused, ProviderUnreachable."""
        given = {"code": code, **({"redirect_uri": redirect_uri} if redirect_uri else {})}
        if verifier is not None:
            given["code_verifier"] = verifier
        try:
            answer = await self._client.fetch_token(endpoint, grant_type="authorization_code", **given)
        except OAuthError as no:
            # Whoever has the wrong secret is told so in the same way as whoever has a wrong code.
            if no.error in ("invalid_client", "unauthorized_client", "incorrect_client_credentials"):
                raise ProviderUnreachable(f"code exchange: {no.error}: client id or secret is wrong") from None
            raise TokenRefused("code exchange: refused") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as why:
            raise _failure(why, "code exchange: ") from None
        except (ValueError, RecursionError):
            raise ProviderUnreachable("code exchange: the answer is no JSON object") from None
        return dict(answer)

    def page(self, endpoint: str, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return the address of the provider's page with our request in it."""
        url, _ = self._client.create_authorization_url(
            endpoint, state=state, code_verifier=verifier, redirect_uri=redirect_uri, nonce=nonce
        )
        return str(url)

    async def close(self) -> None:
        """Close kept connections."""
        await self._client.aclose()

    async def _ask(self, method: str, url: str, **given: Any) -> Any:
        try:
            answer = await self._client.request(method, url, withhold_token=True, **given)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as why:
            raise _failure(why) from None
        if answer.status_code in (400, 401, 403, 404, 422):
            raise TokenRefused(f"answered {answer.status_code}")
        if answer.status_code != 200:
            raise ProviderUnreachable(f"answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, RecursionError):
            raise ProviderUnreachable("the answer is no JSON") from None


class _Fenced(httpx2.AsyncBaseTransport):
    """Lets requests through to configured places alone, and no more of an answer than is honest."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, place: Place) -> None:
        self._inner = inner
        self._place = place

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self._place.allows(str(request.url)):
            raise Forbidden("not a configured place", request=request)
        request.headers["accept-encoding"] = "identity"  # what is small on the wire may be huge here
        answer = await self._inner.handle_async_request(request)
        stream = answer.stream
        if answer.headers.get("content-encoding", "identity") != "identity":
            await answer.aclose()
            raise TooLarge("the answer is packed", request=request)
        if not isinstance(stream, httpx2.AsyncByteStream):
            raise TooLarge("the answer cannot be read piece by piece", request=request)
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=_Counted(stream, request), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    """A body that ends with an error where it is larger than any honest one."""

    def __init__(self, inner: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._inner = inner
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._inner:
            read += len(piece)
            if read > MOST_BYTES:
                raise TooLarge("the answer is too large", request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


def _failure(why: Exception, step: str = "") -> ProviderUnreachable:
    """Say what went wrong in our own words: the library's may hold an address with a token in it."""
    if isinstance(why, (Forbidden, TooLarge)):
        return ProviderUnreachable(f"{step}{why}")
    if isinstance(why, httpx2.HTTPStatusError):
        return ProviderUnreachable(f"{step}answered {why.response.status_code}")
    if isinstance(why, httpx2.TransportError):
        return Silent(f"{step}no answer: {type(why).__name__}")
    return ProviderUnreachable(f"{step}{type(why).__name__}")
