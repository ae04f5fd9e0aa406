"""Calls that the tests of Pocketm8 share, spelled as its clients spell them."""

import re
from typing import Any

from httpx2 import Response

from kit.house import PASSWORD, House

SIGN_IN = "/api/auth/user/sign-in"
VERIFY = "/api/auth/user/verify-challenge"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def sign_in(house: House, email: str = "ada@example.com", password: str = PASSWORD, **more: Any) -> Response:
    """Sign in."""
    return await house.post(SIGN_IN, json={"email": email, "password": password}, **more)


async def verify(house: House, challenge: str, code: object, **more: Any) -> Response:
    """Go the second step."""
    return await house.post(VERIFY, json={"challengeId": challenge, "code": code}, **more)


def bearer(token: str) -> dict[str, str]:
    """Return the headers that carry a token."""
    return {"authorization": f"Bearer {token}"}
