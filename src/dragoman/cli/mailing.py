"""`dragoman account invite` and `verify-email`: mails that an operator has sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say, stamp, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.core.accounts import NewAccount
    from dragoman.core.doors import Door
    from dragoman.core.tickets import Purpose
    from dragoman.model import Account, Millis, Person

dialect_option = click.option(
    "--dialect", metavar="NAME", help="Whose client the link leads to, where one is configured.  [default: our page]"
)


@click.command()
@where_options
@json_option
@click.option("--email", required=True, help="Where the invitation goes.")
@click.option("--username", help="Made from the address or the name when it is left out.")
@click.option("--first-name", default="")
@click.option("--last-name", default="")
@click.option("--organization", metavar="NAME", help="Made where there is none.  [default: Default]")
@click.option("--by", default="", help="Who invites, as the mail says it.")
@dialect_option
def invite(as_json: bool, organization: str | None, by: str, dialect: str | None, **given: Any) -> None:
    """Add an account without a password and mail its owner an invitation, good for 7 days.

    Whoever follows the link chooses a password, and the account is active. Somebody who was invited before and has not
    come yet gets another invitation.
    """
    from dragoman.cli.running import with_core
    from dragoman.core import refusals
    from dragoman.core.accounts import NewAccount

    async def work(core: Core) -> tuple[Person, Millis]:
        if not await core.recovery.sends_mail():
            raise refusals.NotOffered
        door = _door(core, dialect)
        place = await core.accounts.organization(organization) if organization is not None else None
        invited = await _invited(core, NewAccount(status="invited", organization=place, **given))
        await core.recovery.invite(invited, door.name if door is not None else "", by=by)
        return await core.accounts.person(invited), _end(core, "invite")

    person, end = with_core(work)
    if as_json:
        from dragoman.cli.account import described

        print_json(described(person) | {"linkEndsAt": stamp(end)})
        return
    say(f"invited {person.username} by mail to {person.email}; the link is good until {when(end)} UTC")


@click.command("verify-email")
@where_options
@json_option
@click.argument("account")
@dialect_option
def verify_email(account: str, as_json: bool, dialect: str | None) -> None:
    """Mail a link with which the owner verifies the account's address, good for 24 hours."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> tuple[str | None, Millis]:
        door, found = _door(core, dialect), await core.accounts.named(account)
        return await core.recovery.send_verification(found, door), _end(core, "verify")

    address, end = with_core(work)
    if as_json:
        print_json({"to": address, "linkEndsAt": stamp(end) if address is not None else None})
    elif address is None:
        say(f"{account} has nothing to verify; no mail was sent")
    else:
        say(f"mailed {address}; the link is good until {when(end)} UTC")


async def _invited(core: Core, new: NewAccount) -> Account:
    """Add the account; or return the one that was invited under the same address and is not taken up yet."""
    from dragoman.core import refusals

    try:
        return (await core.accounts.add(new, None)).account
    except refusals.IdentifierTaken as taken:
        held = await core.accounts.named(f"email:{new.email}") if taken.kind == "email" else None
        if held is None or held.status != "invited":
            raise
        return held


def _door(core: Core, dialect: str | None) -> Door | None:
    if dialect is None:
        return None
    if dialect not in core.doors:
        fail(f"there is no dialect {dialect!r} that is switched on; there are {', '.join(sorted(core.doors))}")
    return core.doors[dialect]


def _end(core: Core, purpose: Purpose) -> Millis:
    from dragoman.core.tickets import LIVES

    return core.clock.now() + LIVES[purpose]
