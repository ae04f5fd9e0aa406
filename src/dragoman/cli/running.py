"""Running a command over an open Core: the loop around it, and what becomes of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from dragoman.cli.given import fail, settings_given

if TYPE_CHECKING:
    from dragoman.core import Core

T = TypeVar("T")


def with_core(work: Callable[[Core], Awaitable[T]]) -> T:
    """Open what the configuration names, run `work` on it and return its value.

    A refusal, and whatever keeps Dragoman from opening, ends the program with one line on stderr and exit code 1.
    """
    settings = settings_given()
    from dragoman.cli.logs import configure  # isort: skip
    from dragoman import app
    from dragoman.core.refusals import Refusal, of_storage

    configure(settings, serving=False)

    async def run() -> T:
        async with app.opened(settings) as core:
            return await work(core)

    try:
        return asyncio.run(run())
    except app.NotReady as why:
        fail(str(why))
    except Refusal as why:
        fail(words(why))
    except Exception as broken:
        refusal = of_storage(broken)
        if refusal is None:
            raise
        fail(f"the database takes no calls at the moment: {broken}")


def run_for_long(work: Coroutine[Any, Any, None]) -> None:
    """Run what goes on until it is told to stop, on the fast loop. Raises app.NotReady when the database is away."""
    import uvloop

    from dragoman import app
    from dragoman.core.refusals import of_storage

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except Exception as broken:
        if of_storage(broken) is None:
            raise
        raise app.NotReady(f"the database takes no calls: {broken}") from None


def words(refusal: Any) -> str:
    """Return a refusal as one line for an operator: the reason first, the remedy next."""
    from dragoman.core import refusals

    match refusal:
        case refusals.NotFound():
            return "no such account; `dragoman account list` names them all"
        case refusals.Ambiguous():
            return f"the name matches several accounts; say which: {', '.join(refusal.candidates)}"
        case refusals.WeakPassword():
            return f"{_WEAK.get(refusal.reason, str(refusal))}; --allow-weak takes it all the same"
        case refusals.IdentifierTaken():
            return f"another account has this {refusal.kind}"
        case refusals.SettingRefused():
            return f"{refusal}; `dragoman config show` lists them, the configuration file alone makes looser"
        case refusals.AlreadyEnrolled():
            return "the factor is enrolled already; disable it first"
        case refusals.LastAdministrator():
            return "nobody else is an active administrator; make one with `dragoman account set-role ACCOUNT admin`"
        case refusals.NotActive(status="deleted"):
            return "the account is deleted; `dragoman account restore` brings it back"
        case refusals.NotOffered():
            return "this installation sends no mail; set mail.transport"
        case refusals.NotActive():
            return f"the account is {refusal.status}, so no link would do anything"
        case refusals.NotEnrolled():
            return "the factor is not enrolled"
    return str(refusal)


_WEAK = {
    "too_short": "the password has fewer than 8 characters",
    "too_long": "the password has more than 256 characters",
    "common": "the password is one of those that are tried first",
}
