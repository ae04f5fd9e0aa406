"""A door: what a dialect asks of the gate, as one frozen value (decision 1, table A).

Rules that differ between dialects are fields here and nothing else. The core never compares a dialect's name.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from dragoman.core.tokens import ApiToken, Opaque, Sealed, Signed

DAY = 24 * 60 * 60
HOUR = 60 * 60


class Door(Struct, frozen=True):
    """Which factors a dialect's wire can carry, how long its sessions live, whom it admits.

    Times are in seconds; None means without that bound.
    """

    name: str
    token: Opaque | Signed | Sealed
    """The form of what the client holds for a session."""
    factors: tuple[str, ...] = ("totp", "recovery")
    """Second factors the wire can carry, best first: a code is mailed at once where `email` is the first enrolled."""
    links: bool = False
    """Whether a code that goes by mail goes together with a link that shows it (decision 5)."""
    enrols: bool = False
    """Whether an attempt of somebody who has yet to enrol a second factor can be paused to enrol it (decision 4)."""
    asks_factors: bool = True
    """False: the first factor is enough, whatever is enrolled. Under a dialect's test switch alone (threat 50)."""
    attempt: Literal["repeat", "handle"] | Signed = "repeat"
    """How a paused sign-in goes on: the whole login again with a code; a random handle of 20 hex characters; or a
    signed limited token that names the attempt (decision 4)."""
    ticket: Signed | None = None
    """The form of a mailed verification token where the contract names one; None for 43 random characters."""
    reset_ticket: Signed | None = None
    """The same for a mailed token to set a new password."""
    update_ticket: Signed | None = None
    """What such a token is exchanged for, where the contract has a step between the mail and the new password."""
    conceals: bool = False
    """Whether the contract wants nobody told at a registration that an address is taken (decision 29)."""
    mixed_password: bool = False
    """Whether a new password needs an upper-case letter, a lower-case one and a digit beside the policy of all doors,
    since the contract says so (decision 26)."""
    idle: int | None = None
    absolute: int | None = None
    cap: int = 50
    """Client sessions per account; the oldest beyond are ended (decision 21)."""
    digest: Literal["always", "seen", "never"] = "never"
    """Whether the SHA-256 of a password is accepted in its place: from all, from accounts that used it, from none."""
    admits_all: bool = True
    """False: members of the default organization only (decision 13)."""
    requires_verified: bool = False
    """True: an account that was never verified gets no session (Probe's `pending`)."""
    tells: bool = False
    """Whether the contract demands that unknown accounts are told apart, within the telling budget (decision 29)."""
    refreshes: bool = False
    """Whether sessions have a refresh chain (decision 19)."""
    repeats_step: bool = False
    """Whether the same client may use the last TOTP step once more within 60 s (decision 8)."""
    child: str | None = None
    """The name of a door in which a child session is opened with each sign-in (decision 20)."""
    key: ApiToken | None = None
    """A key that is shown with each sign-in and made at the first (decision 22)."""
    marks: bool = False
    """Whether a finished sign-in leaves a mark in the browser (decision 36)."""

    def ticket_of(self, purpose: str) -> Signed | None:
        """Return the form of tokens for a purpose of tickets; None for random characters."""
        return {"verify": self.ticket, "reset": self.reset_ticket, "update": self.update_ticket}.get(purpose)

    @property
    def chain_use(self) -> str:
        """The use of the keys from which the door's refresh tokens derive."""
        return f"{self.name}_refresh"
