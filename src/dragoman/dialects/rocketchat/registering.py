"""Registering over Rocket.Chat's wire: REST and DDP (its contract, sections 8.1 and 13.5)."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragoman.core.registration import Newcomer, Registered
from dragoman.dialects.rocketchat import errors
from dragoman.dialects.rocketchat.wire import ALIAS, Email, Nothing, time_of
from dragoman.http import Answer, Call, operation
from dragoman.model import Password, Person, Secret

_USERNAME = re.compile(r"[0-9a-zA-Z_.-]+", re.ASCII)
_UNFIT = re.compile(r"[<>/\\]")


class Form(Struct, rename={"pass_": "pass", "secret_url": "secretURL"}):
    """What somebody says of himself who registers over DDP."""

    email: str
    pass_: str
    name: str | UnsetType | None = UNSET
    username: str | UnsetType | None = UNSET
    secret: str | UnsetType | None = UNSET
    secret_url: str | UnsetType | None = UNSET
    """Another name of `secret`, which the published description has."""
    reason: Any = UNSET
    """For whoever approves newcomers; nothing is kept of it."""


class Register(Form, rename={"pass_": "pass", "secret_url": "secretURL"}, kw_only=True):
    """The body of `users.register`, where the username is chosen at once."""

    username: str


class User(Struct, frozen=True, rename="camel", kw_only=True):
    """Somebody who has just registered."""

    id: str = msgspec.field(name="_id")
    created_at: str
    username: str
    emails: tuple[Email, ...]
    type: Literal["user"] = "user"
    status: Literal["offline"] = "offline"
    active: bool
    roles: tuple[str, ...]
    name: str
    settings: Nothing = Nothing()


class NewUser(Struct, frozen=True):
    """The answer to a registration. `user` is missing where accounts are concealed: a mail says the rest."""

    user: User | UnsetType
    success: bool


def _user(person: Person) -> User:
    account = person.account
    return User(
        id=person.aliases[ALIAS],
        created_at=time_of(account.created_at),
        username=person.username,
        emails=tuple(Email(each.shown, each.state == "verified") for each in person.emails),
        active=account.status == "active",
        roles=("admin",) if account.administrator else ("user",),
        name=person.name,
    )


def unfit(form: Form) -> Answer | None:
    """Return what is said of a name or username that cannot be one; asked before anything else (section 8.1)."""
    if form.name and _UNFIT.search(form.name):
        return errors.failure(400, "Name contains invalid characters")
    if isinstance(form.username, str) and not _USERNAME.fullmatch(form.username):
        return errors.failure(400, "The username provided is not valid")
    return None


async def register(call: Call, form: Form) -> Registered:
    """Register in the default organization. Raises what `Registration.register` raises."""
    username = form.username if isinstance(form.username, str) else None
    new = Newcomer(
        email=form.email, password=Password.from_plain(form.pass_), username=username, display_name=form.name or None,
        secret=Secret(form.secret or form.secret_url or ""),
    )  # fmt: skip
    return await call.core.registration.register(call.door, new, call.client)


@operation(
    "POST",
    "/api/v1/users.register",
    body=Register,
    answers={200: NewUser},
    access="open",
    tag="users",
    examples={
        "ada": {
            "username": "ada",
            "email": "ada@example.com",
            "pass": "correct horse battery",
            "name": "Ada Example",
        }
    },
)
async def users_register(call: Call, body: Register) -> NewUser | Answer:
    """Register in the default organization. Signs nobody in: the client logs in next.

    Refused unless `Accounts_RegistrationForm` lets people register. Where newcomers are approved, `active` is false.
    """
    refused = unfit(body)
    if refused is not None:
        return refused
    person = (await register(call, body)).person
    return NewUser(UNSET if person is None else _user(person), True)


OPERATIONS = (users_register,)
