"""`dragoman account`: what an operator does to accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from dragoman.cli import life
from dragoman.cli.given import json_option, where_options
from dragoman.cli.passwords import given_password, password_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import facts, say, stamp, table, when

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dragoman.core import Core
    from dragoman.model import Account, Identifier, Person

UNDATED = 1 << 53
"""A lapse from here on has no date yet: it follows when the address that took the place is verified."""


@click.group(short_help="Add, show and change accounts.")
@where_options
def account() -> None:
    """Add, show and change accounts.

    ACCOUNT is any identifier or alias: an e-mail address, a username, a phone number, an id, the name another system
    knows. Where several accounts answer to it, say which: `email:...`, `username:...`, `phone:...`, `id:...`,
    `rocketchat:...`, `probe:1`, `pocketm8:...`.
    """


@account.command()
@where_options
@json_option
@click.option("--email", help="E-mail address.")
@click.option("--username", help="Made from the address or the name when it is left out.")
@click.option("--first-name", default="")
@click.option("--last-name", default="")
@click.option("--role", type=click.Choice(["admin", "user"]), default="user", show_default=True)
@click.option("--verified", is_flag=True, help="The address counts as verified.")
@click.option("--phone", help="Phone number in E.164 form, +14155550100.")
@click.option("--kind", type=click.Choice(["person", "bot"]), default="person", show_default=True)
@click.option("--organization", metavar="NAME", help="Made where there is none.  [default: Default]")
@click.option("--language", type=click.Choice(["en", "de"]), help="Of its mail.  [default: mail.language]")
@password_options
def add(as_json: bool, role: str, organization: str | None, **given: Any) -> None:
    """Add an account."""
    from dragoman.cli.running import with_core
    from dragoman.core.accounts import NewAccount
    from dragoman.model import Password

    if given["email"] is None and given["username"] is None:
        raise click.UsageError("give --email, --username, or both")
    text, drawn = given_password(given.pop("password_stdin"), given.pop("generate_password"))
    allow_weak, initial = given.pop("allow_weak"), given.pop("initial")

    async def work(core: Core) -> Person:
        place = await core.accounts.organization(organization) if organization is not None else None
        wanted = NewAccount(administrator=role == "admin", organization=place, **given)
        return await core.accounts.add(wanted, Password.from_plain(text), allow_weak=allow_weak, initial=initial)

    person = with_core(work)
    if as_json:
        print_json(described(person) | ({"password": text} if drawn else {}))
        return
    say(f"added {person.username} ({_uuid(person.account.id)})")
    if drawn:
        click.echo(f"password: {text}")


@account.command("list")
@where_options
@json_option
def list_(as_json: bool) -> None:
    """List all accounts in order of creation."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> list[Person]:
        return [await core.accounts.person(account) async for account in _all(core)]

    people = with_core(work)
    if as_json:
        print_json([described(person) for person in people])
        return
    table(
        ("id", "username", "e-mail", "name", "role", "status", "added"),
        (
            (_uuid(p.account.id), p.username, p.email, p.name, _role(p.account), p.account.status,
             when(p.account.created_at))
            for p in people
        ),
    )  # fmt: skip


@account.command()
@where_options
@json_option
@click.argument("account")
def show(account: str, as_json: bool) -> None:
    """Show everything about one account but its secrets."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> tuple[Person, int, str | None, dict[str, int | None]]:
        found = await core.accounts.named(account)
        sessions = len(await core.sessions.list_own(found.id))
        lapses = {one.shown: one.lapses_at for one in await core.addresses.held(found)}
        return await core.accounts.person(found), sessions, await core.accounts.language(found), lapses

    person, sessions, language, lapses = with_core(work)
    if as_json:
        shown = described(person) | {"sessions": sessions, "language": language}
        for one in shown["identifiers"]:
            at = lapses.get(one["value"])
            one["lapsesAt"] = stamp(at) if at is not None and at < UNDATED else None
        print_json(shown)
        return
    held = person.account
    facts(
        [
            ("id", _uuid(held.id)),
            ("username", person.username),
            ("name", person.name),
            *((i.kind, _reached(i, lapses.get(i.shown))) for i in person.identifiers if i.kind != "username"),
            *((f"{system} alias", value) for system, value in person.aliases.items()),
            ("kind", held.kind),
            ("role", _role(held)),
            ("status", held.status),
            ("organization", f"{_uuid(held.organization)}{' (Default)' if held.default_organization else ''}"),
            ("rank", held.rank),
            ("password", "set" if person.has_password else "none"),
            ("second factors", ", ".join(sorted(person.factors)) or "none"),
            ("sessions", sessions),
            ("language", language),
            ("first verified", when(held.first_verified_at)),
            ("last sign-in", when(held.signed_in_at)),
            ("added", when(held.created_at)),
        ]
    )


@account.command()
@where_options
@click.argument("account")
@click.argument("username")
def rename(account: str, username: str) -> None:
    """Change the username."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> None:
        await core.accounts.rename(await core.accounts.named(account), username)

    with_core(work)
    say(f"{account} has the username {username}")


@account.command("set-email")
@where_options
@click.argument("account")
@click.argument("address")
@click.option("--verified", is_flag=True, help="The address counts as verified.")
def set_email(account: str, address: str, verified: bool) -> None:
    """Change the e-mail address on behalf of the owner. Ends every client session of the account.

    It is in force at once. A proved address before it stays for 7 days, and its owner is told how to undo the change.
    """
    from dragoman.cli.running import with_core

    async def work(core: Core) -> Person:
        found = await core.accounts.named(account)
        return await core.addresses.change_email(found, address, state="verified" if verified else "vouched")

    say(f"{account} has the e-mail address {with_core(work).email}")


@account.command("set-phone")
@where_options
@click.argument("account")
@click.argument("number", required=False)
@click.option("--none", "none", is_flag=True, help="Let the account have no phone number.")
def set_phone(account: str, number: str | None, none: bool) -> None:
    """Change the phone number on behalf of the owner; NUMBER is in E.164 form, +14155550100.

    A proved number before it is kept for 7 days, and the owner is told by mail how to undo the change.
    """
    from dragoman.cli.running import with_core

    if (number is None) is not none:
        raise click.UsageError("give a number, or --none")

    async def work(core: Core) -> Person:
        found = await core.accounts.named(account)
        if number is None:
            return await core.addresses.remove_phone(found)
        return await core.addresses.change_phone(found, number, state="vouched")

    say(f"{account} has the phone number {with_core(work).phone or '-'}")


@account.command("set-password")
@where_options
@json_option
@click.argument("account")
@password_options
def set_password(account: str, as_json: bool, **given: bool) -> None:
    """Set the password on behalf of the owner. Ends every session and key of the account."""
    from dragoman.cli.running import with_core
    from dragoman.model import Password

    text, drawn = given_password(given["password_stdin"], given["generate_password"])

    async def work(core: Core) -> Person:
        found = await core.accounts.named(account)
        password = Password.from_plain(text)
        await core.accounts.set_password(
            found, password, initial=given["initial"], allow_weak=given["allow_weak"]
        )  # fmt: skip
        return await core.accounts.person(found)

    person = with_core(work)
    if as_json:
        print_json({"id": _uuid(person.account.id)} | ({"password": text} if drawn else {}))
        return
    say(f"{person.username} has a new password; every session and key ended")
    if drawn:
        click.echo(f"password: {text}")


@account.command("import-hash")
@where_options
@click.argument("account")
@click.option("--over-digest", is_flag=True, help="A bcrypt hash over the hex SHA-256, as Rocket.Chat stores it.")
def import_hash(account: str, over_digest: bool) -> None:
    """Set the password to a hash made elsewhere, read from standard input.

    bcrypt, Argon2, scrypt and PBKDF2 in their usual dresses. The owner signs in with the old password, and the hash is
    rewritten then. Ends every session and key of the account.
    """
    from dragoman.cli.running import with_core
    from dragoman.core.credentials import hashes

    text = sys.stdin.read(4096).strip()
    try:
        stored = hashes.recognise(text, over_digest=over_digest)
    except hashes.TooCostly:
        raise click.UsageError("the hash asks for more memory or time than one sign-in may take") from None
    except hashes.UnreadableHash:
        raise click.UsageError("what stands on standard input is no hash of a known form") from None

    async def work(core: Core) -> None:
        await core.accounts.import_hash(await core.accounts.named(account), stored)

    with_core(work)
    say(f"{account} signs in with the old password from now on")


@account.command()
@where_options
@click.argument("account")
def unlock(account: str) -> None:
    """Forget every failed sign-in counted against the account."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> int:
        return await core.accounts.unlock(await core.accounts.named(account))

    number = with_core(work)
    say(f"{account} is unlocked; {number} counters forgotten")


for _command in life.COMMANDS:
    account.add_command(_command)


# ---------------------------------------------------------------- the second factor


@account.group(short_help="Enrol and remove the second factor.")
@where_options
def totp() -> None:
    """Enrol and remove the second factor of an account."""


@totp.command()
@where_options
@json_option
@click.argument("account")
def enable(account: str, as_json: bool) -> None:
    """Enrol TOTP and print what the owner must be shown once. Ends every client session of the account."""
    from dragoman.cli.running import with_core
    from dragoman.core.factors import Enrolled

    async def work(core: Core) -> Enrolled:
        return await core.factors.enable_totp(await core.accounts.named(account))

    enrolled = with_core(work)
    codes = [code.reveal() for code in enrolled.recovery_codes]
    if as_json:
        print_json({"secret": enrolled.seed.reveal(), "url": enrolled.url.reveal(), "recoveryCodes": codes})
        return
    if sys.stdout.isatty():
        import segno

        segno.make(enrolled.url.reveal(), micro=False).terminal(compact=True)
    facts([("secret", enrolled.seed.reveal()), ("url", enrolled.url.reveal())])
    _show_codes(codes)


@totp.command()
@where_options
@click.argument("account")
def disable(account: str) -> None:
    """Remove TOTP; the recovery codes go with the last factor. Ends every client session of the account."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> None:
        await core.factors.disable_totp(await core.accounts.named(account))

    with_core(work)
    say(f"{account} is not asked for TOTP codes any more")


@account.group("email-code", short_help="Enrol and remove codes by mail.")
@where_options
def email_code() -> None:
    """Enrol and remove codes by mail as the second factor of an account."""


@email_code.command("enable")
@where_options
@json_option
@click.argument("account")
@click.option("--recovery-codes", is_flag=True, help="Draw recovery codes too, if the account has none.")
def enable_email_code(account: str, recovery_codes: bool, as_json: bool) -> None:
    """Enrol codes by mail to the account's first vouched or verified address. Ends every client session of it."""
    from dragoman.cli.running import with_core
    from dragoman.model import Secret

    async def work(core: Core) -> tuple[Secret, ...]:
        return await core.factors.enable_email(await core.accounts.named(account), recovery=recovery_codes)

    codes = [code.reveal() for code in with_core(work)]
    if as_json:
        print_json({"recoveryCodes": codes})
        return
    say(f"{account} gets a code by mail at each sign-in")
    if codes:
        _show_codes(codes)


@email_code.command("disable")
@where_options
@click.argument("account")
def disable_email_code(account: str) -> None:
    """Remove codes by mail; the recovery codes go with the last factor. Ends every client session of the account."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> None:
        await core.factors.disable_email(await core.accounts.named(account))

    with_core(work)
    say(f"{account} gets no codes by mail any more")


def _show_codes(codes: list[str]) -> None:
    click.echo("recovery codes, each good once:")
    for code in codes:
        click.echo(f"  {code}")


# ---------------------------------------------------------------- shapes


def described(person: Person) -> dict[str, Any]:
    """Return an account as JSON prints it: stable names, ids as UUID, times in RFC 3339."""
    held = person.account
    return {
        "id": _uuid(held.id),
        "username": person.username,
        "email": person.email,
        "phone": person.phone,
        "firstName": held.first_name,
        "lastName": held.last_name,
        "displayName": held.display_name,
        "kind": held.kind,
        "role": _role(held),
        "status": held.status,
        "organization": _uuid(held.organization),
        "rank": held.rank,
        "identifiers": [
            {"kind": i.kind, "value": i.shown, "state": i.state, "primary": i.primary} for i in person.identifiers
        ],
        "aliases": dict(person.aliases),
        "factors": sorted(person.factors),
        "hasPassword": person.has_password,
        "firstVerifiedAt": stamp(held.first_verified_at),
        "signedInAt": stamp(held.signed_in_at),
        "createdAt": stamp(held.created_at),
    }


async def _all(core: Core) -> AsyncIterator[Account]:
    last = b""
    while page := await core.accounts.page(last):
        for found in page:
            yield found
        last = page[-1].id


def _reached(one: Identifier, lapses_at: int | None) -> str:
    if lapses_at is None:
        return f"{one.shown} ({one.state})"
    lapse = when(lapses_at) if lapses_at < UNDATED else "once the new one is verified"
    return f"{one.shown} ({one.state}, lapses {lapse})"


def _role(account: Account) -> str:
    return "admin" if account.administrator else "user"


def _uuid(id: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=id))


# The commands that mail something; their file needs `account`'s shapes, so it is read last.
from dragoman.cli.mailing import invite, verify_email  # noqa: E402

account.add_command(invite)
account.add_command(verify_email)
