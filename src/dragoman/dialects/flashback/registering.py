"""Registering over Flashback's wire, by oneself or with a link that a member made (contract sections 4.3 and 4.15)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core.activation import Link
from dragoman.core.identifiers import TYPED_LENGTH
from dragoman.core.registration import Company, Newcomer, Registered
from dragoman.dialects.flashback import wire
from dragoman.dialects.flashback.routes import DOOR, Config
from dragoman.http import Call, Invalid, Problem, operation
from dragoman.model import Millis, Password, SignedIn

ADA = {
    "email": "ada@example.com",
    "password": "Correct horse battery 9",
    "firstName": "Ada",
    "lastName": "Example",
    "companyName": "Example",
    "isBusiness": True,
}
_LINK_ID = "b7d5f1a8-0f63-4f0c-8c1d-52b1f0a3e9d4"
_TOKEN = "sL0hKBY0lb2nSeFrlXgZZyC7NxVkT3eQ2l8mJwYd5uE"  # noqa: S105  an example
_PENDING = "Look into your mailbox: a message says how to go on"
_WAITS = "The account waits to be activated"
Text = Annotated[str, Meta(max_length=255)]
Uid = Annotated[str, Meta(min_length=1, max_length=64)]


class Register(Struct, rename="camel", kw_only=True):
    """The body of `POST /user/register`, and what is said of oneself with a link."""

    email: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH)]
    password: Annotated[str, Meta(max_length=1024)]
    first_name: Text
    last_name: Text
    company_name: Text
    is_business: bool
    activation_uid: Uid | None = None
    activation_token: wire.MailedToken | None = None

    def newcomer(self) -> Newcomer:
        """Return the same for the core."""
        company = Company(self.company_name or f"{self.first_name} {self.last_name}", self.is_business)
        return Newcomer(
            email=self.email, password=Password.from_plain(self.password), first_name=self.first_name,
            last_name=self.last_name, company=company,
        )  # fmt: skip

    def link(self) -> tuple[str, str] | None:
        """Return the link that came with it, its id and token. Raises Invalid for half of one."""
        if self.activation_uid is None and self.activation_token is None:
            return None
        if self.activation_uid is None or self.activation_token is None:
            raise Invalid((Problem("activationToken", "required", "goes together with activationUid"),))
        return self.activation_uid, self.activation_token


class Activate(Struct, rename="camel", kw_only=True):
    """The body of `POST /user/activate`."""

    uid: Uid
    token: wire.MailedToken
    registration_info: Register


class MakeLink(Struct, kw_only=True):
    """The body of `POST /links`."""

    email: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH)]


class LinkQuery(Struct):
    """What shows that one holds a link."""

    token: wire.MailedToken


class NewAccount(Struct, frozen=True, rename="camel", kw_only=True):
    """A registration. Without tokens where it is answered by mail, or waits for an operator."""

    success: bool = True
    access_token: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET
    token_id: str | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET
    verification_token_id: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    user: wire.User | UnsetType = UNSET


class ShownLink(Struct, frozen=True, rename="camel", kw_only=True):
    """A link to register with (contract section 4.15). Never its token."""

    success: bool = True
    uuid: str
    email: str
    activated_at: str | None


def _shown(link: Link) -> ShownLink:
    return ShownLink(uuid=link.id, email=link.email, activated_at=_time(link.activated_at))


def _time(at: Millis | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _new(done: Registered, unit: wire.Unit) -> NewAccount:
    if done.person is None:
        return NewAccount(message=_PENDING)
    if not isinstance(done.outcome, SignedIn):
        return NewAccount(message=_WAITS, user=wire.user(done.person))
    said = wire.logged_in(done.outcome, unit, done.verification)
    return NewAccount(
        access_token=said.access_token, refresh_token=said.refresh_token, token_id=said.token_id,
        expires_at=said.expires_at, verification_token_id=said.verification_token_id, user=said.user,
    )  # fmt: skip


@operation(
    "POST",
    "/user/register",
    body=Register,
    answers={201: NewAccount},
    access="open",
    tag="user",
    examples={"ada": ADA},
)
async def register(call: Call, body: Register) -> NewAccount:
    """Register with an organization of one's own, as its owner, and sign in. A mail verifies the address.

    Until then only reading is allowed, and what is needed to verify, refresh and sign out. With a link, the account
    joins the organization of whoever made that, and is verified. Where accounts are concealed, or the network was told
    of too many, the answer is the same for every address and holds no tokens: a mail says how to go on.
    """
    link, new, core = body.link(), body.newcomer(), call.core
    if link is not None:
        done = await core.activation.use(DOOR, *link, new, call.client)
    else:
        done = await core.registration.register(DOOR, new, call.client, sign_in=True)
    return _new(done, call.config(Config).expires_at_unit)


@operation(
    "POST",
    "/user/activate",
    body=Activate,
    answers={200: NewAccount},
    access="open",
    tag="user",
    examples={"ada": {"uid": _LINK_ID, "token": _TOKEN, "registrationInfo": ADA}},
)
async def activate(call: Call, body: Activate) -> NewAccount:
    """Register with a link that was mailed to the address, join the organization of whoever made it, and sign in.

    The address has to be the link's, and is verified with it.
    """
    done = await call.core.activation.use(DOOR, body.uid, body.token, body.registration_info.newcomer(), call.client)
    return _new(done, call.config(Config).expires_at_unit)


@operation(
    "POST",
    "/links",
    body=MakeLink,
    answers={201: ShownLink},
    verified=True,
    tag="links",
    examples={"bob": {"email": "bob@example.com"}},
)
async def make_link(call: Call, body: MakeLink) -> ShownLink:
    """Mail somebody a link to register with and join one's organization; for roles 254 and 255, and administrators.

    The answer is the same for an address that has an account; that gets no mail.
    """
    return _shown(await call.core.activation.make(call.signed_in, body.email, DOOR, call.client))


@operation("GET", "/links/{link_id}", query=LinkQuery, answers={200: ShownLink}, access="open", tag="links")
async def link(call: Call, query: LinkQuery) -> ShownLink:
    """Tell whoever holds a link which address it is for and when it was used. It stays good."""
    return _shown(await call.core.activation.look(call.path["link_id"], query.token))


OPERATIONS: tuple[Any, ...] = (register, activate, make_link, link)
