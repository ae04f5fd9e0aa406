"""The upstream credential: outside providers that vouch for people (decisions 5, 15, 24 and 25; threats 12 to 14).

What a provider says is judged here, before any transaction; whose account it opens is for `core/provider_links.py`, in
the transaction of the gate. Nothing of a provider is stored but issuer and subject: no token, neither ours to use nor
for others to find.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from dragoman.core import base64url, events, id_tokens, identifiers, refusals
from dragoman.core.doors import Door
from dragoman.core.id_tokens import BadIdToken, Demand, IdToken, UnknownKey
from dragoman.core.limits import lane_of
from dragoman.core.ports import IdentityProvider, ProviderBusy, ProviderUnreachable, TokenRefused, Whose
from dragoman.core.proofs import Proof
from dragoman.core.provider_links import Plan, Provider, ProviderLinks, Vouched
from dragoman.core.refusals import Refusal
from dragoman.core.signin import SignIn
from dragoman.core.tools import Tools
from dragoman.model import Account, Caller, Client, Millis, Pending, Secret, SignedIn, Wish
from dragoman.storage.engine import ConstraintViolated, Tx
from dragoman.storage.providers import Link
from dragoman.storage.sealing import SealBroken, where

RETRY_SECONDS = 5
FLOW_LIFE: Millis = 10 * 60_000
RACES = 3
_PURPOSE = "upstream flow"
_PLACE = where("flow", "ticket", 0, None)
MOST_TOKEN = id_tokens.MOST_CHARACTERS


class Offered(Struct, frozen=True):
    """One configured provider: how its word counts, and what asks it."""

    provider: Provider
    port: IdentityProvider


class Code(Struct, frozen=True):
    """An authorization code, and what its client used to get it."""

    code: Secret
    redirect_uri: str | None = None
    """One of the configured ones; None: the first of them."""
    verifier: str | None = None
    """Of PKCE (RFC 7636), where the client began with one."""
    nonce: str | None = None
    """The one that the ID token has to hold; None: not asked for (decision 24)."""


class Arrival(Struct, frozen=True):
    """A sign-in with a provider's word, and what the provider said, for dialects that echo it."""

    outcome: SignedIn | Pending
    provider: str
    whose: Whose
    token: str
    """The provider's own: the ID token or access token that came, or the access token that its code brought."""


class Begun(Struct, frozen=True):
    """A flow that we started in a browser."""

    page: str
    """Where the browser goes."""
    ticket: str
    """What this browser alone keeps, sealed, until it comes back: `finish` wants it."""


class _Flow(Struct, frozen=True):
    provider: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    ends_at: Millis


class Upstream:
    """Signs in, links and unlinks by what outside providers say."""

    def __init__(self, tools: Tools, signin: SignIn, offered: Mapping[str, Offered]) -> None:
        self._t = tools
        self._signin = signin
        self._offered = offered
        self._links = ProviderLinks(tools)

    @property
    def names(self) -> tuple[str, ...]:
        """The providers that are configured."""
        return tuple(self._offered)

    # ------------------------------------------------------------ signing in

    async def with_token(
        self, door: Door, name: str, token: Secret, client: Client, *, address: str | None = None,
        code: str | None = None, wish: Wish | None = None,
    ) -> Arrival:  # fmt: skip
        """Sign in with a token that a client got from the provider: an ID token, or an access token where the provider
        tells for which client it was made (decision 24).

        :param address: an e-mail address that came along; it can only narrow, never choose.
        :param code: of the second factor, where the whole call is sent again with it.

        Raises NotOffered for a provider that is not configured, ProviderRefused, NotLinked, LinkRequired,
        NetworkBlocked, Busy, Unavailable; then as `SignIn.with_proof`.
        """
        vouched = await self._vouched(door, name, token, client)
        return await self._arrive(door, vouched, client, address=address, code=code, wish=wish)

    async def with_code(
        self, door: Door, name: str, given: Code, client: Client, *, wish: Wish | None = None
    ) -> Arrival:
        """Sign in with an authorization code that a client got from the provider. Raises as `with_token` does."""
        vouched = await self._exchanged(door, name, given, client)
        return await self._arrive(door, vouched, client, wish=wish)

    async def try_token(
        self, door: Door, name: str, token: Secret, client: Client, *, address: str | None = None
    ) -> Whose:  # fmt: skip
        """Judge a token as `with_token` does, up to the gate: nobody is signed in or added, and it stays good.

        Raises as `with_token` does before the gate; LinkRequired and NotActive are the gate's to say.
        """
        vouched = await self._vouched(door, name, token, client)
        await self._links.plan(door, vouched, client, address=address)
        return vouched.whose

    # ------------------------------------------------------------ a flow of our own

    async def begin(self, name: str, redirect_uri: str) -> Begun:
        """Start a flow in a browser, with state, nonce and PKCE of our own.

        :param redirect_uri: one of the configured ones. Raises NotOffered, Busy, Unavailable.
        """
        t, offered = self._t, self._named(name)
        state, nonce, verifier = (base64url.encode(t.random.bytes(32)) for _ in range(3))
        uri = _redirect(offered.provider, redirect_uri)
        try:
            page = await offered.port.page(redirect_uri=uri, state=state, nonce=nonce, verifier=verifier)
        except ProviderBusy:
            raise refusals.Busy(1) from None
        except ProviderUnreachable:
            raise refusals.Unavailable(RETRY_SECONDS) from None
        flow = _Flow(name, state, nonce, verifier, uri, t.clock.now() + FLOW_LIFE)
        sealed = t.sealer.seal(_PURPOSE, _PLACE, msgspec.json.encode(flow))
        return Begun(page, base64url.encode(sealed))

    async def finish(
        self, door: Door, ticket: str, state: str, code: Secret, client: Client, *, wish: Wish | None = None
    ) -> Arrival:  # fmt: skip
        """Sign in with what the browser that began a flow came back with. Raises as `with_token` does."""
        flow = self._flow(ticket)
        if flow is None or flow.ends_at <= self._t.clock.now() or not hmac.compare_digest(
            flow.state.encode(), state.encode("utf-8", "surrogatepass")
        ):  # fmt: skip
            raise refusals.ProviderRefused
        nonce = flow.nonce if self._named(flow.provider).provider.signs else None
        given = Code(code, flow.redirect_uri, flow.verifier, nonce)
        return await self.with_code(door, flow.provider, given, client, wish=wish)

    def _flow(self, ticket: str) -> _Flow | None:
        sealed = base64url.decode(ticket)
        try:
            return msgspec.json.decode(self._t.sealer.open(_PURPOSE, _PLACE, sealed or b""), type=_Flow)
        except SealBroken:
            return None

    # ------------------------------------------------------------ linking

    async def links(self, account: Account) -> list[Link]:
        """Return whom providers know an account as, oldest first."""
        return await self._links.of(account)

    async def link(self, caller: Caller, name: str, token: Secret, client: Client) -> None:
        """Let a provider's word open the caller's account from now on, with a notice.

        Raises NotOffered, also where a directory answers for the account, ProviderRefused, FreshProofRequired,
        NotForKeys, NotSignedIn, VerificationRequired while the account has claimed addresses only (decision 15),
        AlreadyEnrolled when the provider or its subject is linked already, NetworkBlocked, Busy, Unavailable.
        """
        door = self._t.doors[caller.session.door]
        vouched = await self._vouched(door, name, token, client)
        await self._links.link(caller, vouched, client)

    async def unlink(self, caller: Caller, name: str, client: Client) -> None:
        """Let a provider's word open the caller's account no more, with a notice.

        Raises NotEnrolled, FreshProofRequired, NotForKeys, NotSignedIn, NotAllowed when nothing else would let the
        owner in.
        """
        await self._links.unlink(caller, name, client)

    async def unlink_for(self, account: Account, name: str) -> None:
        """Do the same on an operator's word. Raises NotEnrolled."""
        await self._links.unlink_for(account, name)

    async def counts(self) -> dict[str, int]:
        """Return how many accounts each provider opens, those that are not configured any more included."""
        return await self._links.counts()

    # ------------------------------------------------------------ what a provider says

    def _named(self, name: str) -> Offered:
        offered = self._offered.get(name)
        if offered is None:
            raise refusals.NotOffered
        return offered

    async def _exchanged(self, door: Door, name: str, given: Code, client: Client) -> Vouched:
        offered = self._named(name)
        await self._refuse_when_blocked(door, name, client)
        uri = _redirect(offered.provider, given.redirect_uri)
        if not 0 < len(given.code.reveal()) <= MOST_TOKEN or not identifiers.storable(given.code.reveal()):
            await self._refused(door, name, "shape", client)
        try:
            issued = await offered.port.exchange(given.code, redirect_uri=uri, verifier=given.verifier)
            if issued.id_token is None:
                whose = await offered.port.whose(issued.access_token)
                vouched = await self._judged(offered, whose, issued.access_token)
            else:
                read = await self._read(offered, issued.id_token.reveal(), given.nonce)
                vouched = _of_id_token(offered.provider, read, issued.access_token)
        except (TokenRefused, BadIdToken) as no:
            await self._refused(door, name, _reason(no), client)
            raise
        except ProviderBusy:
            raise refusals.Busy(1) from None
        except ProviderUnreachable:
            raise refusals.Unavailable(RETRY_SECONDS) from None
        return vouched

    async def _vouched(self, door: Door, name: str, token: Secret, client: Client) -> Vouched:
        """Return whom a provider's token vouches for. Raises NotOffered, ProviderRefused, Busy, Unavailable."""
        offered, text = self._named(name), token.reveal()
        await self._refuse_when_blocked(door, name, client)
        try:
            if not 0 < len(text) <= MOST_TOKEN or not text.isascii() or not text.isprintable():
                raise BadIdToken("shape")
            if offered.provider.signs and id_tokens.looks_like_one(text):
                return _of_id_token(offered.provider, await self._read(offered, text, None), token)
            return await self._judged(offered, await offered.port.whose(token), token)
        except (TokenRefused, BadIdToken) as no:
            await self._refused(door, name, _reason(no), client)
            raise
        except ProviderBusy:
            raise refusals.Busy(1) from None
        except ProviderUnreachable:
            raise refusals.Unavailable(RETRY_SECONDS) from None

    async def _read(self, offered: Offered, token: str, nonce: str | None) -> IdToken:
        """Judge an ID token, with newer keys where its own is not among those known."""
        provider, now = offered.provider, self._t.clock.now()
        demand = Demand(await offered.port.issuer(), provider.clients, provider.algorithms, nonce)
        try:
            return id_tokens.read(token, await offered.port.keys(), demand, now)
        except UnknownKey as unknown:
            return id_tokens.read(token, await offered.port.keys(missing=unknown.id), demand, now)

    async def _judged(self, offered: Offered, whose: Whose, token: Secret) -> Vouched:
        """Judge what a provider said of an access token."""
        provider = offered.provider
        if not whose.audience or any(one not in provider.clients for one in whose.audience):
            raise BadIdToken("audience")
        if not 0 < len(whose.subject) <= id_tokens.SUBJECT_LENGTH or not identifiers.storable(whose.subject):
            raise BadIdToken("subject")
        return Vouched(provider, await offered.port.issuer(), whose, token)

    # ------------------------------------------------------------ evidence

    def _subject(self, name: str) -> bytes:
        """Return what a network's failures with a provider are counted as."""
        return self._t.sealer.mac("unknown-name", f"provider:{name}".encode())[:16]

    async def _refuse_when_blocked(self, door: Door, name: str, client: Client) -> None:
        """Raise NetworkBlocked without asking anybody or writing anything (decision 36)."""
        t, now, subject = self._t, self._t.clock.now(), self._subject(name)
        await t.policy()
        lane = await lane_of(t.db, subject, None, client, now)
        judged = await t.limits.judge(t.db, lane, client, subject, now)
        if judged.network_wait:
            t.tally.locked_out("network", door.name, client, None)
            raise refusals.NetworkBlocked(judged.network_wait)

    async def _refused(self, door: Door, name: str, reason: str, client: Client) -> None:
        """Count what proved nobody against the network and write its event; raise ProviderRefused."""
        t, now, subject = self._t, self._t.clock.now(), self._subject(name)

        async def fn(tx: Tx) -> None:
            await t.limits.password_failed(tx, None, client, who=subject, account=None, now=now)
            await events.record(
                tx, "provider_refused", now, client=client, door=door.name, provider=name, reason=reason
            )  # fmt: skip

        await t.db.transaction(fn)
        raise refusals.ProviderRefused

    # ------------------------------------------------------------ the gate

    async def _arrive(
        self, door: Door, vouched: Vouched, client: Client, *, address: str | None = None, code: str | None = None,
        wish: Wish | None = None,
    ) -> Arrival:  # fmt: skip
        """Go through the gate with what was vouched for; again where somebody else changed the account meanwhile."""
        outcome: SignedIn | Pending | Refusal = refusals.Busy(1)
        for _ in range(RACES):
            plan = await self._links.plan(door, vouched, client, address=address)
            try:
                outcome = await self._signin.with_proof(door, self._proof(plan), client, code=code, wish=wish)
                break
            except (ConstraintViolated, refusals.Busy):
                continue
        if isinstance(outcome, Refusal):
            raise outcome
        return Arrival(outcome, vouched.provider.name, vouched.whose, vouched.token.reveal())

    def _proof(self, plan: Plan) -> Proof:
        return Proof(plan.account, "upstream", plan.at, lambda tx: self._links.perform(tx, plan))


def _of_id_token(provider: Provider, read: IdToken, token: Secret) -> Vouched:
    return Vouched(provider, read.issuer, read.whose, token, (read.spent, read.ends_at))


def _reason(no: TokenRefused | BadIdToken) -> str:
    return no.reason if isinstance(no, BadIdToken) else "provider_says_no"


def _redirect(provider: Provider, wanted: str | None) -> str:
    """Return the redirect URI of a code: a configured one, never the request's own. Raises ProviderRefused."""
    known = provider.redirect_uris
    if wanted is None:
        return known[0] if known else ""
    if wanted not in known:
        raise refusals.ProviderRefused
    return wanted
