"""Parley's wire shapes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from dragoman.model import Person, SignedIn


class SignIn(Struct):
    """What a sign-in sends."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    secret: Annotated[str, Meta(min_length=1, max_length=1024)]
    code: Annotated[str, Meta(max_length=64)] | None = None


class Pass(Struct, frozen=True, rename={"token": "pass"}):
    """What the client shows from now on."""

    token: str
    name: str


class WhoAmI(Struct, frozen=True):
    """Who shows the pass."""

    name: str
    called: str


class No(Struct, frozen=True):
    """Every error."""

    no: str


def signed_in(outcome: SignedIn) -> Pass:
    """Dress a finished sign-in."""
    return Pass(outcome.token, outcome.person.username)


def who(person: Person) -> WhoAmI:
    """Dress a person."""
    return WhoAmI(person.username, person.name)
