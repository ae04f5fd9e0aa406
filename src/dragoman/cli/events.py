"""`dragoman events`: the audit trail."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dragoman.cli.given import json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import plain, stamp, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.storage.events import Event

LOOK_EVERY = 0.5
"""Seconds between two looks for new lines."""


@click.command(short_help="Print the audit trail.")
@where_options
@json_option
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come, until interrupted.")
@click.option("--account", metavar="ACCOUNT", help="Lines about this account only.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=50, show_default=True, help="How many lines at most.")
def events(as_json: bool, follow: bool, account: str | None, limit: int) -> None:
    """Print the newest lines of the audit trail, oldest first. With --json, one object per line."""
    from dragoman.cli.running import with_core

    show = _print_json if as_json else _print_line

    async def work(core: Core) -> None:
        about = (await core.accounts.named(account)).id if account is not None else None
        last = max((event.id for event in await core.newest_events(1)), default=0)
        for event in reversed(await core.newest_events(limit, about)):
            show(event)
            last = max(last, event.id)
        while follow:
            new = await core.events_after(last)
            for event in new:
                last = event.id
                if about in (None, event.account):
                    show(event)
            if not new:
                await asyncio.sleep(LOOK_EVERY)

    with contextlib.suppress(KeyboardInterrupt):
        with_core(work)


def _print_json(event: Event) -> None:
    print_json(described(event))


def _print_line(event: Event) -> None:
    pairs = {
        "account": _uuid(event.account), "session": _uuid(event.session), "dialect": event.door,
        "address": event.address, **event.detail, "count": event.count if event.count > 1 else None,
    }  # fmt: skip
    said = " ".join(f"{name}={plain(str(value))}" for name, value in pairs.items() if value)
    click.echo(f"{when(event.at)}  {event.kind:<20} {said}")


def described(event: Event) -> dict[str, Any]:
    """Return an event as JSON prints it: stable names, ids as UUID, times in RFC 3339."""
    return {
        "number": event.id,
        "at": stamp(event.at),
        "kind": event.kind,
        "account": _uuid(event.account),
        "session": _uuid(event.session),
        "dialect": event.door,
        "address": event.address or None,
        "count": event.count,
        "detail": event.detail,
    }


def _uuid(id: bytes | None) -> str | None:
    return str(UUID(bytes=id)) if id else None
