"""What an operator chose of the core's behaviour, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from dragoman.core.limits import Budgets
from dragoman.model import Millis

Registering = Literal["disabled", "secret", "private", "public"]

PATHS: Mapping[str, str] = {
    "reset": "/reset-password/",
    "verify": "/verify/",
    "invite": "/invite/",
    "undo": "/undo/",
    "open": "/open/",
    "magic": "/magic/",
}
"""Where our own page for each purpose of a mailed link lies; the token follows."""


ALWAYS: Millis = 2**62
"""How long a proof is remembered where every session counts as proved: under the test switch alone."""


class Mailing(Struct, frozen=True):
    """What is mailed, and where its links lead."""

    enabled: bool = False
    """Whether a mailer is configured."""
    language: Literal["en", "de"] = "en"
    """For accounts that named none."""
    notices_off: frozenset[str] = frozenset()
    """Kinds of notices that the operator does not want sent."""
    base: str = "http://127.0.0.1:8080"
    """The public address of this installation, without a slash at its end."""
    links: Mapping[str, str] = {}
    """Templates with `{token}` of links that lead elsewhere, by `<door>.<purpose>` (decision 43)."""

    def link(self, door: str, purpose: str, token: str) -> str:
        """Return the link for a mail. It comes from the configuration alone, never from a request (threat 15)."""
        template = self.links.get(f"{door}.{purpose}") or f"{self.base}{PATHS[purpose]}{{token}}"
        return template.replace("{token}", token)


class PasskeyPlace(Struct, frozen=True):
    """Where passkeys are made and used (WebAuthn)."""

    rp: str
    """The name that they are made for, `id.example.com` (the RP id)."""
    origins: tuple[str, ...]
    """The pages that may ask for them, `https://id.example.com`."""


class Policy(Struct, frozen=True):
    """What an operator may set of the core's behaviour."""

    budgets: Budgets = Budgets()
    conceal_accounts: bool = False
    """Uniform answers everywhere, against the contracts that tell who exists (decision 29)."""
    issuer: str = "Dragoman"
    """The name that authenticator apps and mails show."""
    mail: Mailing = Mailing()
    password_reset: bool = True
    """Whether a forgotten password may be reset by mail."""
    email_codes: bool = True
    """Whether mailed codes may serve as a second factor to those who enabled them (decision 9)."""
    code_life: Millis = 10 * 60_000
    """How long a mailed code is good, in milliseconds (decision 44)."""
    remembered: Millis = 10 * 60_000
    """How long a proof counts as fresh, in milliseconds (decision 25); ALWAYS: whether there was one or not."""
    totp_steps: int = 1
    """How many steps of 30 seconds a code of an app may be early or late (decision 8)."""
    passkeys: PasskeyPlace | None = None
    """None where passkeys cannot be made: no name that browsers take for them."""
    enrol_within: Millis = 7 * 24 * 60 * 60_000
    """How long members may take to enrol a second factor that their organization wants, in milliseconds."""
    registration: Registering = "disabled"
    """Who may register into the default organization: nobody, whoever has the secret, everybody without being told
    whether an address is taken, everybody (decision 13)."""
    sign_up: Registering = "public"
    """The same for those who register with an organization of their own (decision 10)."""
    registration_secret: bytes = b""
    """SHA-256 of what opens `secret` registration; while it is empty nothing does."""
    approval: bool = False
    """Whoever registers waits, suspended, until an operator activates the account."""
    wants_verified: frozenset[str] = frozenset()
    """Doors that let nobody but administrators in who never verified an address, beside those that always do."""
    test: bool = False
    """The test switch: the first to register becomes administrator, where there is none (decision 13); weak passwords
    are taken (decision 26)."""
