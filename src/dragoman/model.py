"""The frozen values that every part of Dragoman speaks of. Imports nothing of ours.

Times are integers in milliseconds since 1970 UTC; ids are 16 bytes (UUIDv7) unless a line says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Id = bytes
Millis = int


def uuid_text(id: Id) -> str:
    """Return an id in the usual spelling of a UUID, four times as fast as the library's class."""
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Secret:
    """Text that must not be seen: prints, compares and pickles as nothing. `reveal()` gives it up."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


# ---------------------------------------------------------------- people

SECOND_FACTORS = frozenset({"totp", "email", "passkey"})
"""Factors that are asked for once they are enrolled. Recovery codes stand in for one, they ask for nothing."""

AccountKind = Literal["person", "bot"]
Status = Literal["invited", "active", "deactivated", "suspended", "deleted"]
IdentifierKind = Literal["email", "username", "phone"]
AddressState = Literal["claimed", "vouched", "verified"]
Language = Literal["en", "de"]


class Account(Struct, frozen=True, gc=False):
    """A person or bot that can sign in, with its place in its organization."""

    id: Id
    organization: Id
    kind: AccountKind
    status: Status
    administrator: bool
    root: bool
    """Made at set-up; Probe calls it `root` (table B)."""
    parent: Id | None
    first_name: str
    last_name: str
    display_name: str | None
    auth_epoch: int
    """Raised by everything that must undo a sign-in under way."""
    facts: int
    """Raised by every change of identifiers, aliases and credentials: what was read under one number holds."""
    first_verified_at: Millis | None
    created_at: Millis
    updated_at: Millis
    signed_in_at: Millis | None
    rank: int
    """0 to 255 in its organization."""
    default_organization: bool
    """Whether its organization is the one made at set-up."""
    business: bool
    """Whether its organization is a business."""
    factor_from: Millis | None = None
    """From then on its organization wants a second factor of its members; None while it does not."""


class Identifier(Struct, frozen=True, gc=False):
    """One name by which an account is found."""

    kind: IdentifierKind
    shown: str
    state: AddressState
    primary: bool


class Person(Struct, frozen=True):
    """An account with everything a dialect shows of it. Never holds a secret."""

    account: Account
    identifiers: tuple[Identifier, ...]
    aliases: Mapping[str, str]
    """The names other systems know it by: `rocketchat`, `probe`, `pocketm8` (decision 16)."""
    factors: frozenset[str]
    """Enrolled second factors: `totp`, `email`, `passkey`, and `recovery` while a code of it is left."""
    has_password: bool
    initial_password: bool = False
    """The password was set by somebody else and is to be replaced (table C)."""
    labels: Mapping[str, tuple[str, ...]] = {}
    """Words that a dialect shows beside the roles it derives, by the dialect's name; no authority (decision 11)."""

    @property
    def username(self) -> str:
        """The username as typed by its owner. Every account has one (decision 14)."""
        return next(i.shown for i in self.identifiers if i.kind == "username")

    @property
    def emails(self) -> tuple[Identifier, ...]:
        """The e-mail addresses, the primary one first."""
        return tuple(i for i in self.identifiers if i.kind == "email")

    @property
    def email(self) -> str | None:
        """The primary e-mail address as typed, or None."""
        return next((i.shown for i in self.identifiers if i.kind == "email"), None)

    @property
    def phone(self) -> str | None:
        """The phone number in E.164 form, or None. One that was replaced is none: it is kept to be brought back."""
        return next((i.shown for i in self.identifiers if i.kind == "phone" and i.primary), None)

    @property
    def has_second_factor(self) -> bool:
        """Whether a sign-in asks for a code."""
        return not self.factors.isdisjoint(SECOND_FACTORS)

    @property
    def proved_email(self) -> str | None:
        """The address that codes may go to, as typed: the first that is vouched or verified (decision 15), or None."""
        return next((i.shown for i in self.emails if i.state != "claimed"), None)

    @property
    def claimed_only(self) -> bool:
        """Whether it has e-mail addresses and none was ever proved: it may hold a password and sessions only (15)."""
        return bool(self.emails) and self.proved_email is None

    @property
    def name(self) -> str:
        """The display name, else first and last name, else the username."""
        full = f"{self.account.first_name} {self.account.last_name}".strip()
        return self.account.display_name or full or self.username


class Picture(Struct, frozen=True, gc=False):
    """A picture of an account, ready to be sent."""

    media: str
    """Its media type, `image/jpeg`."""
    etag: str
    """Tells it from any other: the beginning of its SHA-256 in hex."""
    image: bytes


# ---------------------------------------------------------------- who asks


class Client(Struct, frozen=True, gc=False):
    """The program at the other end of a request."""

    address: str
    """Its network address as text, empty while addresses cannot be trusted."""
    network: str
    """IPv4 /32 or IPv6 /64 as text, empty while addresses cannot be trusted (decision 36)."""
    user_agent: str
    """At most 512 characters, without control characters."""
    mark: bytes | None = None
    """SHA-256 of the mark cookie that came along."""


class Typed(Struct, frozen=True, gc=False):
    """An identifier as somebody typed it. `any` looks for an address when there is an @, else a username."""

    kind: Literal["email", "username", "phone", "any"]
    text: str


class Password(Struct, frozen=True):
    """A password as it arrived: plain, or only the lower-case hex SHA-256 of its UTF-8 bytes (design 6)."""

    hexdigest: Secret
    plain: Secret | None

    @classmethod
    def from_plain(cls, text: str) -> Password:
        """Take a plain password, exactly the characters received. Lone surrogates are kept apart, never refused."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return cls(Secret(digest), Secret(text))

    @classmethod
    def from_digest(cls, hexdigest: str) -> Password:
        """Take the hex SHA-256 that Rocket.Chat's clients send, in any letter case (decision 26)."""
        return cls(Secret(hexdigest.lower()), None)


# ---------------------------------------------------------------- sessions

SessionKind = Literal["client", "key"]
DeviceType = Literal["DESKTOP", "MOBILE", "TABLET"]


class Session(Struct, frozen=True, gc=False):
    """One signed-in client (or key) of one account, whatever the dialect."""

    id: Id
    account: Id
    organization: Id
    door: str
    kind: SessionKind
    parent: Id | None
    token_use: str
    created_at: Millis
    seen_at: Millis
    idle_until: Millis | None
    ends_at: Millis | None
    address: str
    user_agent: str
    methods: str
    """What was proved, comma-separated: `password`, `totp`, `email`, `recovery`, ..."""
    proved_at: Millis
    """When a credential was last proved in it; fresh for 10 minutes (decision 25)."""
    generation: int
    """Of its refresh chain; 0 before the first refresh and for sessions without a chain."""
    confirmed_generation: int
    bypass: int = 0
    """1 of a key that stands for the second factor, too (decision 17)."""
    proved_client: bytes | None = None
    """Eight bytes that stand for the client which gave the last proof."""
    permissions: str | None = None
    """The words of its dialect that it is held to, parted by spaces; None: it may what its account may."""

    @property
    def narrow(self) -> bool:
        """Whether it stands for less than its owner: a key, or a session that is held to permissions (threat 27)."""
        return self.kind == "key" or self.permissions is not None

    def may(self, word: str) -> bool:
        """Tell whether it is held to nothing, or to permissions among which this word of its dialect is."""
        return self.permissions is None or word in self.permissions.split()

    @property
    def runs_out(self) -> Millis | None:
        """When it ends by itself, by lying idle or by its absolute end; None for never."""
        ends = [end for end in (self.idle_until, self.ends_at) if end is not None]
        return min(ends) if ends else None


class Device(Struct, frozen=True, gc=False):
    """A device of an account, as its clients described it at their sign-ins. None of it is believed."""

    id: Id
    fingerprint: bytes
    """The same for what looks like the same device of the same account; keyed, so that nobody can work it out."""
    name: str
    type: DeviceType
    os: str
    browser: str
    user_agent: str
    address: str
    """At the last sign-in."""
    created_at: Millis
    seen_at: Millis
    trusted_until: Millis | None
    """A mark of its owner's, which nothing asks for."""
    used_at: Millis | None
    """When one of its live sessions was used last, as coarse as that is known."""

    @property
    def last_seen(self) -> Millis:
        """When it signed in or was used last."""
        return max(self.seen_at, self.used_at or 0)


class Caller(Struct, frozen=True, gc=False):
    """Who made an authenticated request."""

    session: Session
    account: Account


class Grant(Struct, frozen=True):
    """Leave to insert one session row. Only core/signin.py makes one (threat 1)."""

    id: Id
    account: Id
    organization: Id
    door: str
    kind: SessionKind
    parent: Id | None
    token_use: str
    token_hash: bytes | None
    """SHA-256 of an opaque token; None for signed and sealed forms, which name the session's id."""
    sealed_token: bytes | None
    """The token itself, sealed, where the dialect shows it again (Probe's API token)."""
    created_at: Millis
    idle: Millis | None
    """How long it may lie idle, in milliseconds; None for no bound."""
    ends_at: Millis | None
    client: Client
    methods: str
    proved_at: Millis
    seed: bytes | None
    """16 random bytes from which the refresh tokens of the chain derive (decision 19)."""
    key_id: int | None
    """The refresh key the chain's next token is derived with."""
    name: str | None
    device: str | None
    device_id: Id | None = None
    """The device that the client says it is."""
    hint: str | None = None
    """Of a key: the last characters of its token, by which its owner tells it from others."""
    bypass: bool = False
    """Of a key: it stands for the second factor, too (decision 17)."""
    proved_client: bytes | None = None
    """Who gave the proof, where that was another client than the session's."""
    permissions: str | None = None
    """What it is held to; None: it may what its account may."""


class Wish(Struct, frozen=True):
    """What a client may ask of its own sign-in."""

    life: int | None = None
    """Seconds; can only shorten what the door gives."""
    end_others: bool = False
    """End the account's other client sessions in all dialects (table C, "others")."""
    device: str | None = None
    """What the client says of its device, JSON text of at most 4 KiB."""


class SignedIn(Struct, frozen=True):
    """A finished sign-in: the session is on disk."""

    session: Session
    person: Person
    token: str
    """What the client holds for the session."""
    token_ends_at: Millis | None
    """When the token stops working; None where it has no end of its own."""
    refresh_token: str | None = None
    child: SignedIn | None = None
    """The child session a door asks for (Pocketm8's chat block, decision 20)."""
    key: str | None = None
    """The account's key a door shows with each sign-in (Probe's API token, decision 22)."""
    mark: str | None = None
    """A fresh mark cookie for a door that sets one (decision 36)."""


class NewKey(Struct, frozen=True):
    """What the owner of a key to be made says of it."""

    name: str
    bypass: bool = False
    """It stands for the second factor, too."""
    life: int | None = None
    """Seconds until it stops working; None: it never does."""
    permissions: str | None = None
    """Words of its dialect that it is held to, parted by spaces; None: it may what its account may."""


class KeyChange(Struct, frozen=True):
    """What the owner of a key makes of it. The key is renewed in any case: its life begins anew."""

    life: int | UnsetType | None = UNSET
    """Seconds from now; None: it never ends; unset: as many as it had."""
    permissions: str | UnsetType | None = UNSET


class ChildWish(Struct, frozen=True):
    """What somebody signed in says of a session to be opened below the own one."""

    life: int
    """Seconds; it ends with its parent in any case."""
    permissions: str | None = None
    """Words of its dialect that it is held to, parted by spaces; None: it may what its account may."""
    claims: Mapping[str, Any] = {}
    """What its token says besides, all below one claim `claims` (decision 22)."""


class Key(Struct, frozen=True, gc=False):
    """One key of an account, without what opens it."""

    id: Id
    """Of its session."""
    name: str
    hint: str
    """The last characters of its token; empty where none are kept."""
    bypass: bool
    """It stands for the second factor, too."""
    created_at: Millis
    seen_at: Millis
    """When it was last used, to within some minutes."""
    ends_at: Millis | None = None
    updated_at: Millis | None = None
    """When its owner changed it last."""
    permissions: str | None = None

    def expired(self, now: Millis) -> bool:
        """Tell whether it has stopped working by itself."""
        return self.ends_at is not None and self.ends_at <= now


class Minted(Struct, frozen=True):
    """A key that was made: its session, and the token that is shown once."""

    session: Session
    token: str


class Mailed(Struct, frozen=True, gc=False):
    """What a client may know of the code that was mailed for its sign-in."""

    to: str
    """The address as its owner typed it."""
    sent: bool
    """Whether a code was sent just now."""
    ends_at: Millis | None
    """When the code that is out stops working; None while none is out."""


class Pending(Struct, frozen=True):
    """A sign-in that waits for a second factor. No session exists."""

    person: Person
    offers: tuple[str, ...]
    """Factors that may be tried next, best first: `totp`, `email`, `recovery`."""
    attempt: str | None
    """What the client presents to go on; None where the whole login is sent again (decision 4)."""
    ends_at: Millis
    mailed: Mailed | None = None
    """Of the code by mail, where that is among the offers."""
