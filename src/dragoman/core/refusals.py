"""The catalogue of refusals: every named reason for which the core says no.

A refusal is raised after the commit that keeps its evidence, never inside a transaction. Each dialect holds one total
table from these classes to its own error; a test fails while one is missing.
"""

from __future__ import annotations

from dragoman.model import Mailed, Person, Status
from dragoman.storage.engine import StorageBusy, StorageUnavailable
from dragoman.storage.statement import UnstorableValue


class Refusal(Exception):
    """A named no. The text is for logs; wires use their own words."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text or (self.__doc__ or "").split("\n", 1)[0])


class Waiting(Refusal):
    """A refusal that time heals; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = max(1, retry_after)


# ---------------------------------------------------------------- signing in


class UnknownAccount(Refusal):
    """No account has this identifier. Raised only where a door may tell (decision 29); elsewhere WrongPassword."""


class WrongPassword(Refusal):
    """The password is not the account's; also said for unknown accounts where a door must not tell."""


class NoPasswordSet(Refusal):
    """The account has no password. Raised only where a door may tell; elsewhere WrongPassword."""


class AccountLocked(Waiting):
    """Too many failures against this account from where the client stands (table D)."""


class NetworkBlocked(Waiting):
    """Too many failures from this network (table D)."""


class Busy(Waiting):
    """More work waits than can be done in time; nothing was judged."""


class Unavailable(Waiting):
    """The database or the directory takes no call at the moment; nothing was kept."""


class NotActive(Refusal):
    """The password is right, but the account is not active. `status` says what it is."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.status = status


class NotVerified(Refusal):
    """The password is right, but the door wants an account that was verified once."""

    def __init__(self, person: Person) -> None:
        super().__init__()
        self.person = person


class NotAdmitted(Refusal):
    """The password is right, but the door does not admit the account's organization (decision 13)."""


class NoUsableFactor(Refusal):
    """A second factor is enrolled, but none that this door can carry (decision 2)."""


class WrongCode(Refusal):
    """The code of the second factor is wrong, used or out of time. `person` is who proved the password, if known."""

    def __init__(
        self, person: Person | None = None, offers: tuple[str, ...] = (), mailed: Mailed | None = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.person = person
        self.offers = offers
        self.mailed = mailed


class CodeVoid(WrongCode):
    """The code is wrong, and so many were that the mailed one is void: the next sign-in mails another (table D)."""


class TooManyCodes(Waiting):
    """Too many wrong codes: this attempt or this lane's second step is closed (decision 8)."""

    def __init__(self, retry_after: int = 1, person: Person | None = None, offers: tuple[str, ...] = ()) -> None:
        super().__init__(retry_after)
        self.person = person
        self.offers = offers


class NoSuchAttempt(Refusal):
    """The attempt is unknown, used up or out of time; `expired` where only its time is over."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__()
        self.expired = expired


# ---------------------------------------------------------------- outside providers


class ProviderRefused(Refusal):
    """A provider's token or code proves nobody here: for another client, too old, used, forged; never told apart."""


class NotLinked(Refusal):
    """The provider vouches for somebody whom no account is linked to, and none is made (decision 24)."""


class LinkRequired(Refusal):
    """An account has the address that a provider vouches for, but has to be linked by its owner, signed in: it has a
    second factor, is an administrator's or a bot's, or a directory answers for it (threat 13).
    """


# ---------------------------------------------------------------- sessions


class NotSignedIn(Refusal):
    """No, bad, expired, ended or foreign token."""


class LimitedToken(Refusal):
    """The token names an attempt that still waits for a second factor."""


class BadRefreshToken(Refusal):
    """The refresh token is malformed, forged, foreign, spent or its session has ended."""


class RefreshTokenExpired(BadRefreshToken):
    """The session of the refresh token lay idle too long or reached its end."""


class ChainStolen(BadRefreshToken):
    """A spent refresh token was presented: the session has been ended and its owner is told."""


class FreshProofRequired(Refusal):
    """The act needs a credential proved in the last 10 minutes (decision 25)."""


class NotForKeys(Refusal):
    """A key may not do this (decision 17)."""


class VerificationRequired(Refusal):
    """The account must verify its address before it may do this (Flashback's write block, enrolling mailed codes)."""


class KeyTaken(Refusal):
    """The account has a key of this name already."""


class NoSuchKey(Refusal):
    """The account has no key of this name."""


class TooManyKeys(Refusal):
    """The account has as many keys as it may have; one has to be removed first."""


# ---------------------------------------------------------------- mailed links, settings


class BadTicket(Refusal):
    """A mailed token is unknown, used, void, or good for something else: never told apart."""


class TicketExpired(BadTicket):
    """A mailed token was good once; its time is over. Told to whoever holds it."""


class PasswordNeeded(Refusal):
    """The account has no password yet, and this act has to bring one."""


class SamePassword(Refusal):
    """The new password is the old one."""


class NotOffered(Refusal):
    """This installation does not offer it: switched off, or no mailer is configured."""


class RegistrationClosed(Refusal):
    """Nobody registers here, or not so: switched off, or it would have to be answered by mail and none is sent."""


class RegistrationSecret(Refusal):
    """Only whoever has the secret registers here, and this is not it."""


class TooSoon(Waiting):
    """The same was sent a moment ago; asked again later it will be sent again."""


class CaptchaRefused(Refusal):
    """The answer to a captcha is not good, or was used before."""


class SettingRefused(Refusal):
    """A setting cannot take this value: unknown, of the wrong kind, or looser than the configuration file allows."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


# ---------------------------------------------------------------- people


class LastAdministrator(Refusal):
    """Nobody else could administer this installation then."""


class LastOwner(Refusal):
    """Nobody else could own the organization, or act on the account's children, then."""


class NotToOneself(Refusal):
    """The caller may do this to others, not to himself."""


class WrongStatus(Refusal):
    """The act is for accounts of another status: invited ones are invited again, deleted ones brought back."""


class DocumentRefused(Refusal):
    """A document cannot be kept as it would be. `reason` is too_large, too_deep or out_of_range (a number in it)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the document is {reason.replace('_', ' ')}")
        self.reason = reason


class NotFound(Refusal):
    """No such object, or none that the caller may see (decision 12): the two are never told apart."""


class NotAllowed(Refusal):
    """The caller may see the object, but not do this to it. `permission` names the dialect's own that is missing."""

    def __init__(self, permission: str = "") -> None:
        super().__init__()
        self.permission = permission


class Ambiguous(Refusal):
    """Several accounts answer to the name; `candidates` are unambiguous spellings."""

    def __init__(self, candidates: tuple[str, ...]) -> None:
        super().__init__(f"matches several: {', '.join(candidates)}")
        self.candidates = candidates


class IdentifierTaken(Refusal):
    """Another account has this identifier. `kind` is email, username or phone."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the {kind} is taken")
        self.kind = kind


class BadIdentifier(Refusal):
    """The text cannot be an identifier of this kind. `kind` is email, username or phone."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"not a usable {kind}: {why}")
        self.kind = kind
        self.why = why


class WeakPassword(Refusal):
    """The new password breaks the policy; `reason` is too_short, too_long, too_plain or common (decision 26)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password is {reason.replace('_', ' ')}")
        self.reason = reason


class BadPicture(Refusal):
    """What was uploaded cannot be a picture here; `why` says what is wrong with it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not a usable picture: {why}")
        self.why = why


class AlreadyEnrolled(Refusal):
    """The factor is enrolled already, or the provider linked."""


class NotEnrolled(Refusal):
    """The factor is not enrolled, or the provider not linked."""


def of_storage(error: Exception) -> Refusal | None:
    """Return the refusal that an error of the storage amounts to, or None for any other error."""
    if isinstance(error, StorageBusy):
        return Busy(error.retry_after)
    if isinstance(error, UnstorableValue):
        return BadIdentifier("text", "it holds characters that cannot be stored")
    return Unavailable(1) if isinstance(error, StorageUnavailable) else None


def catalogue() -> frozenset[type[Refusal]]:
    """Return every refusal class that can be raised, for the total tables of the dialects."""
    found: set[type[Refusal]] = set()
    queue: list[type[Refusal]] = [Refusal]
    while queue:
        for kind in queue.pop().__subclasses__():
            found.add(kind)
            queue.append(kind)
    return frozenset(found - {Waiting})
