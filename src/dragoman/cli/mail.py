"""`dragoman mail`: the mail settings, tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.given import fail, settings_given, where_options
from dragoman.cli.show import say

if TYPE_CHECKING:
    from dragoman.settings import Settings


@click.group(short_help="Try the mail settings out.")
@where_options
def mail() -> None:
    """Try the mail settings out."""


@mail.command()
@where_options
@click.argument("address")
def test(address: str) -> None:
    """Send one letter to ADDRESS, past the outbox, and say what became of it."""
    import asyncio

    settings = settings_given()
    from dragoman.cli.logs import configure  # isort: skip
    from dragoman.core.ports import DeliveryFailed, Refused

    configure(settings, serving=False)
    if settings.mail.transport == "off":
        fail("mail.transport is off: no mail is sent; set it to smtp, and mail.host and mail.sender")
    through = "the console" if settings.mail.transport == "console" else f"{settings.mail.host} (mail.host)"
    try:
        asyncio.run(_send(settings, address))
    except DeliveryFailed as why:
        word = "refused the letter" if isinstance(why, Refused) else "did not take the letter"
        fail(f"{through} {word}: {why}")
    say(f"{through} took the letter to {address}; whether it arrives is for others to say")


async def _send(settings: Settings, address: str) -> None:
    from dragoman import app
    from dragoman.core.letters import trial
    from dragoman.core.ports import SystemClock, SystemRandom

    clock, random = SystemClock(), SystemRandom()
    mailer = app.mailer(settings, clock)
    if mailer is None:
        return
    try:
        await mailer.send(trial(address, settings.accounts.issuer, settings.mail.language, clock, random))
    finally:
        await mailer.close()
