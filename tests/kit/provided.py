"""Outside providers for houses in which every operation is called: one process for all tests, made when needed."""

from __future__ import annotations

import atexit
import functools
import zlib
from typing import Any

from dragoman.model import Person
from dragoman.storage import providers
from dragoman.storage.engine import Tx
from dragoman.storage.providers import Link
from kit.github import GithubPeer
from kit.house import House


@functools.cache
def peer() -> GithubPeer:
    """Return the providers, started."""
    started = GithubPeer()
    started.start()
    atexit.register(started.stop)
    return started


def provided() -> dict[str, Any]:
    """Return the settings of a house that knows Google, GitHub and Microsoft, all of them here."""
    here = peer()
    return {**here.settings(), **here.oidc_settings("google"), **here.oidc_settings("microsoft")}


def number(person: Person) -> int:
    """Return what GitHub calls somebody."""
    return zlib.crc32(person.account.id)


async def link(house: House, person: Person, provider: str) -> None:
    """Let a provider's word open an account, as if it had been linked long ago."""
    here, now = peer(), house.clock.now()
    subject, issuer = str(number(person)), here.issuer if provider == "github" else f"{here.issuer}/oidc"
    known = await providers.find(house.db, issuer, subject)

    async def fn(tx: Tx) -> None:
        await providers.insert(tx, Link(issuer, subject, person.account.id, provider, None, now, now))

    if known is None:
        await house.db.transaction(fn)


def token(house: House, person: Person) -> str:
    """Return an ID token for somebody, never the same twice."""
    return peer().id_token(str(number(person)), house.clock.now() // 1000)


def code(house: House, person: Person) -> str:
    """Return an authorization code for somebody, of GitHub and of the others alike."""
    login = f"u{number(person)}"
    peer().person(login, id=number(person), emails=[])
    return peer().code(login, id_token=token(house, person))
