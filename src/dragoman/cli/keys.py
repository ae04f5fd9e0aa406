"""`dragoman keys`: the keys that sign and seal tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dragoman.cli.given import fail, json_option, where_options
from dragoman.cli.show import as_json as print_json
from dragoman.cli.show import say, stamp, table, when

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.core.keys import SigningKey


@click.group(short_help="List and rotate the signing keys.")
@where_options
def keys() -> None:
    """List and rotate the keys that sign and seal tokens. Each use has its own."""


@keys.command("list")
@where_options
@json_option
def list_(as_json: bool) -> None:
    """List the keys that are believed, newest first."""
    from dragoman.cli.running import with_core

    async def work(core: Core) -> list[SigningKey]:
        return await core.keystore.listed()

    found = with_core(work)
    issuing: dict[str, int] = {}
    for key in found:
        issuing.setdefault(key.use, key.id)
    if as_json:
        print_json([_described(key, issues=issuing[key.use] == key.id) for key in found])
        return
    table(
        ("id", "use", "algorithm", "state", "made", "believed until"),
        (
            (k.id, k.use, k.algorithm, "issues" if issuing[k.use] == k.id else "believed", when(k.created_at),
             when(k.retired_at))
            for k in found
        ),
    )  # fmt: skip


@keys.command()
@where_options
@click.option("--use", metavar="USE", help="Only the key of this use; `keys list` names them.")
@click.option("--force", is_flag=True, help="Also where the oldest key may still have live tokens: those die.")
def rotate(use: str | None, force: bool) -> None:
    """Make new keys. The old ones are believed until what they made has ended."""
    from dragoman.cli.running import with_core
    from dragoman.core import refusals
    from dragoman.core.keystore import TooManyKeys

    async def work(core: Core) -> tuple[list[str], str]:
        try:
            return await core.keystore.rotate(use, force=force), ""
        except refusals.NotFound:
            return [], f"there is no key for {use}; `dragoman keys list` names the uses"
        except TooManyKeys as why:
            return [], f"{why}; wait until it is gone, or use --force: those tokens die"

    rotated, reason = with_core(work)
    if reason:
        fail(reason)
    say(f"new keys: {', '.join(rotated)}")


def _described(key: SigningKey, *, issues: bool) -> dict[str, Any]:
    return {
        "id": key.id,
        "use": key.use,
        "algorithm": key.algorithm,
        "issues": issues,
        "kid": key.kid if key.algorithm == "ES256" else None,
        "createdAt": stamp(key.created_at),
        "believedUntil": stamp(key.retired_at),
    }
