"""Signing up (contract section 3.10, which is a proposal of ours throughout)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.core.registration import Company, Newcomer
from dragoman.dialects.probe import carriers
from dragoman.dialects.probe.door import DOOR, SIGN_UP_PATH
from dragoman.dialects.probe.wire import Address, Hint
from dragoman.http import Call, operation
from dragoman.model import Password

Name = Annotated[str, Meta(max_length=255)]
NAME_LENGTH = 255


class SignUp(Struct, rename="kebab"):
    """Who signs up, as JSON or as a form."""

    email: Address
    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    first_name: Name = ""
    last_name: Name = ""
    ret_url: Hint | None = None

    def newcomer(self) -> Newcomer:
        """Return who registers, with an organization of his own (decision 10), which bears his name."""
        named = f"{self.first_name} {self.last_name}".strip() or self.email.partition("@")[0]
        return Newcomer(
            self.email, Password.from_plain(self.password), first_name=self.first_name, last_name=self.last_name,
            company=Company(named[:NAME_LENGTH], business=False),
        )  # fmt: skip


class SignedUp(Struct, frozen=True, rename="kebab"):
    """A sign-up that a mail goes on with. The same for every address."""

    success: bool
    email: str
    status: Literal["pending"]
    ret_url: str | None


@operation(
    "POST", SIGN_UP_PATH, body=SignUp, answers={200: SignedUp}, access="open", tag="Auth",
    headers=(carriers.CAPTCHA_HEADER,),
    examples={"example": {"email": "bob@example.com", "password": "correct horse battery", "first-name": "Bob"}},
)  # fmt: skip
async def sign_up(call: Call, body: SignUp) -> SignedUp:
    """Sign up. The account is pending until its address is verified with the token of the mail; no session is made.

    An address that somebody has is answered alike: the mail then says so.
    """
    await carriers.captcha(call)
    await call.core.registration.register(DOOR, body.newcomer(), call.client)
    return SignedUp(True, body.email, "pending", carriers.return_url(call, body.ret_url))


OPERATIONS = (sign_up,)
