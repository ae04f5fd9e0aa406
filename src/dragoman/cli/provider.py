"""`dragoman provider`: outside providers tried out, and whom they know accounts as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, json_option, settings_given, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import plain, say, stamp

if TYPE_CHECKING:
    from dragoman.core import Core


@click.group(short_help="Try outside providers out, show and remove links to them.")
@where_options
def provider() -> None:
    """Try outside providers out, show whom they know accounts as, and remove such links."""


@provider.command()
@where_options
@json_option
def check(as_json: bool) -> None:
    """Ask every configured provider whether it can be used as configured. Exit code 1 if one cannot."""
    import asyncio

    found = asyncio.run(reached())
    if as_json:
        print_json(found)
    elif not found:
        say("no provider is configured; name a client id under [providers.google], for one")
    else:
        for name, fault in found.items():
            click.echo(f"{name}: {plain(fault) if fault else 'it can be used'}")
    if any(found.values()):
        raise click.exceptions.Exit(1)


async def reached() -> dict[str, str]:
    """Ask every configured provider; return what is wrong with each, empty where nothing is."""
    from dragoman import app
    from dragoman.core.ports import ProviderFailed, SystemClock

    found = {}
    for name, offered in app.providers(settings_given(), SystemClock()).items():
        found[name] = ""
        try:
            await offered.port.reach()
        except ProviderFailed as why:
            found[name] = str(why)
        finally:
            await offered.port.close()
    return found


@provider.command("list")
@where_options
@json_option
@click.argument("account")
def list_links(account: str, as_json: bool) -> None:
    """Show whom outside providers know an account as."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> list[dict[str, Any]]:
        links = await core.upstream.links(await core.accounts.named(account))
        return [
            {"provider": one.provider, "issuer": one.issuer, "subject": one.subject, "address": one.address,
             "linked": stamp(one.created_at), "used": stamp(one.last_at)}
            for one in links
        ]  # fmt: skip

    found = with_core(work)
    if as_json:
        print_json(found)
    elif not found:
        say("no provider lets anybody into this account")
    else:
        for one in found:
            click.echo(plain(f"{one['provider']}  {one['subject']} at {one['issuer']}  last used {one['used']}"))


@provider.command()
@where_options
@click.argument("account")
@click.argument("name")
def unlink(account: str, name: str) -> None:
    """Let a provider in to an account no more. Its sessions stay, and its owner is told."""
    from dragoman.cli.running import with_core
    from dragoman.core.refusals import NotEnrolled

    async def work(core: Core) -> str | None:
        found = await core.accounts.named(account)
        try:
            await core.upstream.unlink_for(found, name)
        except NotEnrolled:
            return None
        return (await core.accounts.person(found)).username

    username = with_core(work)
    if username is None:
        fail(f"the account is not linked to {name}; `dragoman provider list` shows its links")
    say(f"{name} lets nobody into {username}'s account any more")
