"""The audit catalogue: every kind of event, and the tally of refusals that are not worth a write each."""

from __future__ import annotations

from typing import Literal, get_args

from dragoman.model import Client, Id, Millis
from dragoman.storage import events as stored
from dragoman.storage.engine import Engine, Tx

Kind = Literal[
    "signed_in",  # a session was inserted; detail: proof, policy (client, child or key)
    "signed_in_by",  # an administrator opened a session of somebody else, the next line's; detail: by
    "password_refused",  # detail: reason
    "code_refused",  # a wrong code of the second factor
    "sign_in_refused",  # the credential was right, something else was not; detail: reason
    "second_factor_asked",  # detail: mailed (yes or no), whether a code was sent
    "code_asked_for",  # somebody asked for a code by mail without signing in; detail: sent (yes or no), name
    "locked_out",  # attempts refused by a budget, counted per minute; detail: budget
    "signed_out",
    "sessions_ended",  # detail: why, number
    "chain_stolen",  # a spent refresh token was presented; detail: reason
    "link_asked_for",  # somebody asked for a mailed link; detail: purpose, sent (yes or no)
    "link_sent",  # a link was mailed again, or by an operator; detail: purpose
    "link_used",  # detail: purpose
    "account_added",  # detail: by, where nobody's hand was on it (directory, registration, activation)
    "registration_refused",  # the address or name is another's; detail: reason, sent (whether its owner was told)
    "account_changed",  # detail: what; for a status also status, was, by
    "account_exported",  # everything held about it was handed out; detail: by
    "account_erased",  # the last line of an account: those before it were blanked
    "password_set",  # detail: by
    "provider_refused",  # an outside provider's token or code proved nobody; detail: provider, reason
    "provider_linked",  # detail: provider, by (address, owner, sign_up)
    "provider_unlinked",  # detail: provider, by (owner, operator, directory)
    "factor_enrolled",
    "factor_removed",
    "key_changed",  # a key was renewed; detail: permissions
    "device_changed",  # detail: what (trusted, untrusted, removed), by; for removed also number, of sessions ended
    "keys_rotated",  # detail: use
    "message_sent",  # a mail server took a letter over; detail: message (its kind), tries
    "message_dead",  # a letter is tried no more; detail: message, tries, fault
    "message_dropped",  # a letter was dropped unsent; detail: message, tries, fault
    "organization_changed",  # detail: what, status
    "setting_changed",  # what is in force was changed at run time; detail: name, from, to, by
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
HARMLESS = frozenset(
    (
        "budget", "by", "factor", "number", "policy", "proof", "provider", "purpose", "reason", "role", "sent",
        "status", "use", "was", "what", "why",
    )
)  # fmt: skip
"""Details whose values are words of ours or ids. Of the details of an erased account's lines nothing else is left."""
OF_THE_HOUSE: frozenset[str] = frozenset({"setting_changed", "keys_rotated"})
"""Kinds that tell of the installation and nobody's person: an erased account's lines of these keep all details."""


async def record(
    tx: Tx,
    kind: Kind,
    now: Millis,
    *,
    client: Client | None = None,
    account: Id | None = None,
    session: Id | None = None,
    door: str | None = None,
    **detail: str,
) -> None:
    """Add a line to the audit trail within the transaction of the act. `detail` never holds a secret."""
    address = client.address if client else ""
    await stored.insert(tx, stored.Event(now, kind, account, session, door, address, detail))


class Tally:
    """Counts refusals that come before the credential: one event per budget, subject and address a minute.

    Kept in memory and written by `flush`, so that being refused costs no write (threat 35).
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, Id | None], int] = {}

    def locked_out(self, budget: str, door: str, client: Client, account: Id | None) -> None:
        """Count one refusal by a budget."""
        key = (budget, door, client.address, account)
        if key in self._counts or len(self._counts) < 10_000:
            self._counts[key] = self._counts.get(key, 0) + 1

    async def flush(self, db: Engine, now: Millis) -> None:
        """Write what was counted and begin anew."""
        counts, self._counts = self._counts, {}
        if not counts:
            return

        async def fn(tx: Tx) -> None:
            for (budget, door, address, account), count in counts.items():
                detail = {"budget": budget}
                await stored.insert(tx, stored.Event(now, "locked_out", account, None, door, address, detail, count))

        await db.transaction(fn)
