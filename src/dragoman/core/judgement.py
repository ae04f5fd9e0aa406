"""Judgements of the gate that need nothing but what was read: of a password's form, of a person at a door, of times."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dragoman.core import refusals
from dragoman.core.doors import Door
from dragoman.core.policy import ALWAYS
from dragoman.core.refusals import Refusal
from dragoman.core.tokens import Opaque, Signed
from dragoman.model import Millis, Password, Person, Session
from dragoman.storage.credentials import Credential

TELLING: Mapping[str, type[Refusal]] = {
    "unknown_account": refusals.UnknownAccount,
    "no_password": refusals.NoPasswordSet,
}
"""What is said of a refused password where a door tells (decision 29)."""


def may_send(door: Door, credential: Credential, password: Password) -> bool:
    """Tell whether the door takes the password in this form from this account (design 6)."""
    return password.plain is not None or door.digest == "always" or (door.digest == "seen" and credential.digest_seen)


def unfit(
    door: Door, person: Person, offers: tuple[str, ...], now: Millis, wants_verified: Collection[str] = ()
) -> Refusal | None:  # fmt: skip
    """Judge status, admission, verification, and whether a second factor can be asked for, in this order.

    :param wants_verified: doors at which an operator wants everybody but administrators verified.
    """
    account = person.account
    if account.status != "active":
        return refusals.NotActive(account.status)
    if not door.admits_all and not account.default_organization:
        return refusals.NotAdmitted()
    wants = door.requires_verified or (door.name in wants_verified and not account.administrator)
    if wants and account.first_verified_at is None:
        return refusals.NotVerified(person)
    if person.has_second_factor and door.asks_factors and not offers:
        return refusals.NoUsableFactor()
    if must_enrol(person, now) and not door.enrols:
        return refusals.NoUsableFactor()
    return None


def must_enrol(person: Person, now: Millis) -> bool:
    """Tell whether the organization wants a second factor by now of somebody who has none (decision 4)."""
    since = person.account.factor_from
    return since is not None and since <= now and not person.has_second_factor


def is_fresh(session: Session, client: bytes, now: Millis, remembered: Millis) -> bool:
    """Tell whether the last proof of a session still counts, in the hands of this client (decision 25).

    Of a key no proof counts; one that bypasses the second factor needs none (decision 17).

    :param client: `second_factor.client_print` of who asks.
    :param remembered: for how many milliseconds a proof counts; ALWAYS: nobody is asked for one.
    """
    if session.narrow:
        return bool(session.bypass)
    if remembered == ALWAYS:
        return True
    return session.proved_client == client and now - session.proved_at <= remembered


def derivable(door: Door, session: Session) -> Opaque:
    """Return the form of a token for another session like this. Raises NotForKeys, NotOffered (decision 17)."""
    if session.narrow:
        raise refusals.NotForKeys
    if not isinstance(door.token, Opaque) or session.token_use != door.token.use:
        raise refusals.NotOffered
    return door.token


def parental(door: Door, session: Session) -> None:
    """Judge whether a session may have others opened below it. Raises NotForKeys, NotAllowed, NotOffered."""
    if session.narrow:
        raise refusals.NotForKeys
    if session.parent is not None:
        raise refusals.NotAllowed("a session that hangs on another one")
    if not isinstance(door.token, Signed) or door.refreshes or session.token_use != door.token.use:
        raise refusals.NotOffered


def shorter(first: int | None, second: int | None) -> int | None:
    """Return the shorter of two times, None for no bound."""
    given: Collection[int] = [x for x in (first, second) if x is not None]
    return min(given) if given else None
