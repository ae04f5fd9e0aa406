"""`dragoman session`: who is signed in, and putting an end to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dragoman.cli.given import fail, json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say, stamp, table, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.model import Session


@click.group(short_help="List and end the sessions of an account.")
@where_options
def session() -> None:
    """List and end the sessions and keys of an account, in all dialects."""


@session.command("list")
@where_options
@json_option
@click.argument("account")
def list_(account: str, as_json: bool) -> None:
    """List the live sessions and keys, newest first."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> list[Session]:
        return await core.sessions.list_own((await core.accounts.named(account)).id)

    found = with_core(work)
    if as_json:
        print_json([described(one) for one in found])
        return
    table(
        ("id", "dialect", "kind", "proved", "address", "client", "since", "last seen", "until"),
        (
            (UUID(bytes=s.id), s.door, s.kind, s.methods, s.address, s.user_agent, when(s.created_at),
             when(s.seen_at), when(_end(s)))
            for s in found
        ),
    )  # fmt: skip


@session.command()
@where_options
@click.argument("account")
@click.option("--session", "id", type=UUID, metavar="ID", help="End this one only, with its children.")
def end(account: str, id: UUID | None) -> None:
    """End every session and key of an account, or one of them. The next call of each is refused."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> int | None:
        found = await core.accounts.named(account)
        if id is None:
            return await core.sessions.end_everything(found, "operator")
        return 1 if await core.sessions.end_by_operator(id.bytes, of=found) else None

    number = with_core(work)
    if number is None:
        fail(f"{account} has no live session {id}; `dragoman session list` names them all")
    say(f"{number} session{'' if number == 1 else 's'} of {account} ended")


def described(one: Session) -> dict[str, Any]:
    """Return a session as JSON prints it: stable names, ids as UUID, times in RFC 3339."""
    return {
        "id": str(UUID(bytes=one.id)),
        "account": str(UUID(bytes=one.account)),
        "dialect": one.door,
        "kind": one.kind,
        "parent": str(UUID(bytes=one.parent)) if one.parent else None,
        "methods": one.methods.split(","),
        "address": one.address,
        "userAgent": one.user_agent,
        "createdAt": stamp(one.created_at),
        "seenAt": stamp(one.seen_at),
        "endsAt": stamp(_end(one)),
    }


def _end(one: Session) -> int | None:
    return min((at for at in (one.idle_until, one.ends_at) if at is not None), default=None)
