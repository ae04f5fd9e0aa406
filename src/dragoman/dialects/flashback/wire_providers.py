"""The shapes of Flashback's calls for outside providers (contract section 7)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core.upstream import MOST_TOKEN, Arrival, Code
from dragoman.dialects.flashback import wire
from dragoman.model import Pending, Secret, uuid_text

ProviderToken = Annotated[str, Meta(min_length=1, max_length=MOST_TOKEN)]
Named = Literal["GOOGLE", "GITHUB", "MICROSOFT"]


class Token(wire.Device, rename="camel", kw_only=True):
    """The body of `POST /auth/google` and `/auth/microsoft`."""

    token: ProviderToken
    """The ID token that the provider gave to the client, or an access token."""


class Exchange(wire.Device, rename="camel", kw_only=True):
    """The body of the calls that bring an authorization code. Beside `code`, what the client began the flow with."""

    code: ProviderToken
    redirect_uri: Annotated[str, Meta(max_length=2048)] | None = None
    code_verifier: Annotated[str, Meta(min_length=43, max_length=128)] | None = None
    nonce: Annotated[str, Meta(min_length=1, max_length=256)] | None = None

    def given(self) -> Code:
        """Return the code as the core takes it."""
        return Code(Secret(self.code), self.redirect_uri, self.code_verifier, self.nonce)


class StateUser(Struct, frozen=True, rename="camel", kw_only=True):
    """Whom the provider vouches for."""

    email: str
    name: str
    image_url: str


class AuthState(Struct, frozen=True, rename="camel", kw_only=True):
    """What the client keeps of a sign-in with a provider: the platform's tokens, and the provider's own."""

    user: StateUser
    token: str
    """The platform's access token."""
    access_token: str | None
    """The provider's own; null while a second factor is asked for."""
    refresh_token: str | None
    expires_at: int
    provider: Named


class Provided(wire.LoggedIn, frozen=True, rename="camel", kw_only=True):
    """A sign-in with an outside provider: a login's answer, with what pages and client want beside it."""

    token: str | UnsetType = UNSET
    """The provider's own, as it came, where a token came; the platform's access token where a code came."""
    auth_state: AuthState


def provided(arrival: Arrival, provider: Named, unit: wire.Unit, *, echoes: bool) -> Provided:
    """Return the answer of a sign-in with a provider, finished or waiting for a second factor.

    :param echoes: `token` repeats the provider's.
    """
    outcome, whose = arrival.outcome, arrival.whose
    paused = isinstance(outcome, Pending)
    said = wire.logged_in(outcome, unit)
    user = StateUser(email=outcome.person.email or whose.email, name=outcome.person.name, image_url=whose.picture)
    state = AuthState(
        user=user,
        token=said.access_token,
        access_token=None if paused else arrival.token,
        refresh_token=None if isinstance(outcome, Pending) else outcome.refresh_token,
        expires_at=said.expires_at,
        provider=provider,
    )
    return Provided(
        access_token=said.access_token,
        refresh_token=said.refresh_token,
        token_id=UNSET if isinstance(outcome, Pending) else uuid_text(outcome.session.id),
        expires_at=said.expires_at,
        message=said.message if paused else "Signed in",
        user=said.user,
        token=arrival.token if echoes else said.access_token,
        auth_state=state,
    )
