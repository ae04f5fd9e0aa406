"""`dragoman outbox`: letters that wait to be sent. What they say and to whom is sealed, and never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dragoman.cli.given import fail, json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say, stamp, table, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.storage.outbox import Listed


@click.group(short_help="List, retry and drop letters that wait to be sent.")
@where_options
def outbox() -> None:
    """List, retry and drop letters that wait to be sent. What they say and to whom they go is never shown."""


@outbox.command("list")
@where_options
@json_option
@click.option("--dead", is_flag=True, help="Only those that were given up.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many at most.")
def list_(dead: bool, limit: int, as_json: bool) -> None:
    """List the letters, oldest first. One that was sent is gone; `dragoman events` remembers it."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> list[Listed]:
        return await core.outbox.listed(limit, dead=dead)

    found = with_core(work)
    if as_json:
        print_json([described(one) for one in found])
        return
    table(
        ("id", "kind", "account", "since", "state", "next", "tries", "fault"),
        (
            (UUID(bytes=o.id), o.kind, _uuid(o.account), when(o.created_at), state(o), when(o.due_at), o.tries, o.fault)
            for o in found
        ),
    )


@outbox.command()
@where_options
@click.argument("id", type=UUID, required=False)
@click.option("--all", "everything", is_flag=True, help="Every letter that was given up or put off.")
def retry(id: UUID | None, everything: bool) -> None:
    """Try a letter again at once that was given up or put off, and then for two days as if it were new."""
    from dragoman.cli.running import with_core

    if everything == (id is not None):
        raise click.UsageError("give one ID, or --all")
    wanted = id.bytes if id is not None else None

    async def work(core: Core) -> int:
        return await core.outbox.retry(wanted)

    number = with_core(work)
    if id is not None and not number:
        fail(f"no letter {id} was given up or put off; `dragoman outbox list` names them all")
    say(f"{number} letter{'' if number == 1 else 's'} will be tried at once")


@outbox.command()
@where_options
@click.argument("id", type=UUID)
def drop(id: UUID) -> None:
    """Drop a letter unsent. One that is just being handed over may still arrive."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> bool:
        return await core.outbox.forget(id.bytes)

    if not with_core(work):
        fail(f"there is no letter {id}; `dragoman outbox list` names them all")
    say(f"letter {id} dropped")


def state(one: Listed) -> str:
    """Return `dead`, `leased` (somebody is handing it over, or was when he died) or `waiting`."""
    if one.due_at is None:
        return "dead"
    return "leased" if one.lease is not None else "waiting"


def described(one: Listed) -> dict[str, Any]:
    """Return a letter as JSON prints it: stable names, ids as UUID, times in RFC 3339."""
    return {
        "id": str(UUID(bytes=one.id)),
        "channel": one.channel,
        "kind": one.kind,
        "account": _uuid(one.account),
        "state": state(one),
        "createdAt": stamp(one.created_at),
        "nextAt": stamp(one.due_at),
        "expiresAt": stamp(one.expires_at),
        "deadAt": stamp(one.dead_at),
        "tries": one.tries,
        "fault": one.fault,
    }


def _uuid(id: bytes | None) -> str | None:
    return str(UUID(bytes=id)) if id else None
