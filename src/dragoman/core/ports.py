"""What the core asks of the outside: time and randomness, so that tests can move and fix both, and delivery."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from dragoman.model import Id, Secret


class Clock(Protocol):
    """Time. One per process."""

    def now(self) -> int:
        """Return milliseconds since 1970 UTC, never less than any earlier answer (threat 43)."""

    def monotonic(self) -> float:
        """Return seconds on a clock that only serves to measure durations."""


class Random(Protocol):
    """Randomness fit for secrets."""

    def bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound` - 1, each alike."""


class Letter(Struct, frozen=True):
    """One message to one destination, in no particular form yet."""

    id: Id
    """Stays the same however often it is handed over, so that whoever gets it twice can tell."""
    kind: str
    """A name of `core/letters.py`'s KINDS."""
    to: str
    """The address as its owner typed it."""
    language: str
    """`en` or `de`."""
    values: Mapping[str, str]
    """What KINDS lists for the kind, empty text for what is unknown. Free of nothing: markup and line ends may come."""


class DeliveryFailed(Exception):
    """A letter could not be handed over. The text is a reason for logs and never holds anything of the letter."""


class Refused(DeliveryFailed):
    """Nobody will ever take the letter like this: trying again is of no use."""


class Unreachable(DeliveryFailed):
    """Nobody took the letter just now: it is to be tried again."""


class Mailer(Protocol):
    """Delivers letters by mail."""

    async def send(self, letter: Letter) -> None:
        """Hand one letter over; it is taken when this returns. Raises Refused, Unreachable; ends in bounded time."""

    async def close(self) -> None:
        """Let go of what was kept open."""


class Entry(Struct, frozen=True):
    """One person as a directory knows them. Texts come as they are stored there: they are checked before use."""

    id: str
    """Hex of the attribute that never changes: the only thing by which an account is linked."""
    username: str
    emails: tuple[str, ...] = ()
    first_name: str = ""
    last_name: str = ""
    display_name: str | None = None


class DirectoryFailed(Exception):
    """A directory did not prove anybody. The text is a reason for logs and holds neither names nor passwords."""


class NoSuchEntry(DirectoryFailed):
    """The directory has nobody of this name, or several, or nobody who may sign in."""


class PasswordRefused(DirectoryFailed):
    """The directory knows the name and refused the password. `id` is whose entry that is."""

    def __init__(self, reason: str, id: str = "") -> None:
        super().__init__(reason)
        self.id = id


class DirectoryUnreachable(DirectoryFailed):
    """The directory gave no answer that can be judged: out of reach, too slow, or wrongly set up."""


class DirectoryBusy(DirectoryFailed):
    """More is asked than the directory answers in time: it is not out of reach, and nothing was judged."""


class Directory(Protocol):
    """Knows people and their passwords."""

    async def load(self) -> None:
        """Make ready what takes long at first use; returns at once afterwards."""

    async def prove(self, name: str, password: Secret, *, id: str = "") -> Entry:
        """Look somebody up and prove the password: one call, ended within its own time whatever the other side does.

        :param name: as typed, 1 to 256 characters; empty where `id` alone counts.
        :param id: whom the name is known to mean; where that entry does not bear the name any more, the name counts.

        Raises NoSuchEntry, PasswordRefused, DirectoryUnreachable, DirectoryBusy. An empty password is always refused.
        """

    async def find(self, name: str) -> Entry:
        """Look somebody up and prove nothing. Raises NoSuchEntry, DirectoryUnreachable, DirectoryBusy.

        :param name: as typed, 1 to 256 characters.
        """

    async def reach(self) -> None:
        """Try whether the directory can be reached as configured. Raises DirectoryUnreachable, DirectoryBusy."""

    async def close(self) -> None:
        """Let go of what is open."""


class Whose(Struct, frozen=True):
    """Whom a provider says a token was given to. Texts come as the provider sent them: they are checked before use."""

    subject: str
    """What the provider calls the person for ever: never an address, never a name."""
    audience: tuple[str, ...]
    """The client ids that the token was made for."""
    email: str = ""
    email_verified: bool = False
    """Whether the provider calls the address verified; what that is worth is the operator's to say."""
    domain: str = ""
    """The domain that the provider runs for the person's organization (Google's `hd`)."""
    first_name: str = ""
    last_name: str = ""
    name: str = ""
    picture: str = ""


class Issued(Struct, frozen=True):
    """What a provider gave for an authorization code."""

    access_token: Secret
    id_token: Secret | None = None


class ProviderFailed(Exception):
    """A provider did not vouch for anybody. The text is a reason for logs and never holds a token."""


class TokenRefused(ProviderFailed):
    """The provider knows the token or code not, or not any more, or will not tell whom it was made for."""


class ProviderUnreachable(ProviderFailed):
    """The provider gave no answer that can be judged: out of reach, too slow, too large, or wrongly set up."""


class ProviderBusy(ProviderFailed):
    """More is asked than the provider answers in time: nothing was judged."""


class IdentityProvider(Protocol):
    """Vouches for people (OpenID Connect, or OAuth with a call that names a token's audience).

    Each call ends within its own time whatever the other side does. All raise ProviderUnreachable and ProviderBusy.
    """

    async def issuer(self) -> str:
        """Return who signs: what ID tokens name as `iss`. May hold `{tenantid}` for the token's own `tid`."""

    async def keys(self, *, missing: str | None = None) -> tuple[Mapping[str, Any], ...]:
        """Return the public keys (RFC 7517) that ID tokens are signed with, as last fetched.

        :param missing: a key id that was not among them. They are fetched again then, once a minute at most.
        """

    async def page(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser goes to sign in (RFC 6749 section 4.1.1, RFC 7636 with S256)."""

    async def exchange(self, code: Secret, *, redirect_uri: str, verifier: str | None) -> Issued:
        """Exchange an authorization code (RFC 6749 section 4.1.3). Raises TokenRefused."""

    async def whose(self, access_token: Secret) -> Whose:
        """Ask the provider whom an access token was given to, and for which client. Raises TokenRefused, also where
        the provider has no call that names the client (decision 24).
        """

    async def reach(self) -> None:
        """Try whether the provider can be reached as configured."""

    async def close(self) -> None:
        """Let go of what is open."""


class Captcha(Protocol):
    """Tells whether a person solved a puzzle that a page showed."""

    async def check(self, answer: Secret, address: str) -> None:
        """Ask whether an answer is good; ends in bounded time whatever the other side does.

        :param address: of the client, empty where it is not known. Raises TokenRefused where the answer is not good,
            ProviderUnreachable, ProviderBusy.
        """

    async def close(self) -> None:
        """Let go of what is open."""


class SystemClock:
    """The machine's clock, kept from going back within this process."""

    def __init__(self) -> None:
        self._largest = 0

    def now(self) -> int:
        """Return milliseconds since 1970 UTC; a clock set back stands still until it has caught up."""
        now = time.time_ns() // 1_000_000
        if now < self._largest:
            return self._largest
        self._largest = now
        return now

    def monotonic(self) -> float:
        """Return seconds for measuring durations."""
        return time.monotonic()


class SystemRandom:
    """The operating system's generator."""

    def bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return os.urandom(size)

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound` - 1, each alike."""
        return secrets.randbelow(bound)


def new_id(clock: Clock, random: Random) -> bytes:
    """Return a fresh UUIDv7 as 16 bytes (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits."""
    value = bytearray(clock.now().to_bytes(6, "big") + random.bytes(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return bytes(value)


def text(random: Random, alphabet: str, length: int) -> str:
    """Return `length` characters drawn evenly from `alphabet`."""
    return "".join(alphabet[random.below(len(alphabet))] for _ in range(length))
