"""First factors other than a typed password, as values (decision 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from dragoman.core.refusals import Refusal
from dragoman.model import Account, Millis
from dragoman.storage.engine import Tx


class Proof(Struct, frozen=True):
    """What stands for the password of one sign-in. Made by the parts of the core that judge such a thing, only.

    Whatever takes time or is random was done before it is made.
    """

    account: Account
    """As it was read, or as `perform` will insert it."""
    methods: str
    """What was proved, as events and sessions name it: `mail`, `registration`, `upstream`, `administrator`."""
    now: Millis
    perform: Callable[[Tx], Awaitable[Refusal | None]]
    """What goes with it, in the transaction of the grant and before it: spends the proof, or refuses. It is kept even
    where the sign-in is refused or paused after it. May run twice."""
