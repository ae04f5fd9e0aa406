"""A family at Probe's door, with the strangers around it; each of them signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from dragoman.model import Id, Person
from kit.house import PASSWORD, House

BASE = "/frontend/api/v1"


@dataclass
class Someone:
    """Somebody signed in at Probe's door."""

    house: House
    person: Person
    email: str
    jwt: str
    key: str

    @property
    def number(self) -> int:
        """The account's number."""
        return int(self.person.aliases["probe"])

    @property
    def id(self) -> Id:
        """The account's id."""
        return self.person.account.id

    async def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx2.Response:
        """Call an operation, with the JWT unless another token is given."""
        headers = {"Authorization": f"Bearer {token or self.jwt}", **more.pop("headers", {})}
        return await self.house.request(method, f"{BASE}{path}", headers=headers, **more)

    async def said(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Call an operation; return the status and the word of the answer, the body itself where it worked."""
        answer = await self.call(method, path, **more)
        body = answer.json() if answer.content else None
        return answer.status_code, body if answer.status_code < 400 else body["error"]

    async def works(self, method: str, path: str, **more: Any) -> Any:
        """Call an operation that has to work; return its body."""
        answer = await self.call(method, path, **more)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def live(self) -> bool:
        """Tell whether the JWT opens anything."""
        return (await self.call("GET", "/auth/session")).status_code == 200

    async def permit(self, *names: str) -> None:
        """Store these permissions, as an operator could; they are no authority."""
        account = await self.house.core.accounts.by_id(self.id)
        await self.house.core.accounts.set_labels(account, "probe", names or ("none",))


async def arrive(house: House, name: str, password: str = PASSWORD, **fields: Any) -> Someone:
    """Add somebody and sign in."""
    email = f"{name}@example.com"
    wanted = {"email": email, "username": name, "first_name": name.title(), "verified": True, **fields}
    return await enter(house, await house.add(password, **wanted), email, password)


async def enter(house: House, person: Person, email: str, password: str = PASSWORD) -> Someone:
    """Sign somebody in."""
    body = {"email": email, "password": password}
    answer = (await house.post(f"{BASE}/auth/sign-in", json=body)).json()
    return Someone(house, person, email, answer["jwt-token"]["token"], answer["api-token"])


@dataclass
class Relatives:
    """Ada; Bob and Dan below her; Carol below Bob; and around them."""

    house: House
    root: Someone
    ada: Someone
    bob: Someone
    carol: Someone
    dan: Someone
    eve: Someone
    """A stranger of the same organization, with a rank above everybody's."""
    mallory: Someone
    """The owner of another organization."""


async def relatives(house: House) -> Relatives:
    """Add them all."""
    root = await enter(house, await house.core.accounts.person(await house.core.accounts.named("root")),
                       "root@example.com", "root's own password")  # fmt: skip
    ada = await arrive(house, "ada", last_name="Example")
    bob = await arrive(house, "bob", parent=ada.id)
    carol = await arrive(house, "carol", parent=bob.id)
    dan = await arrive(house, "dan", parent=ada.id)
    eve = await arrive(house, "eve", rank=255)
    elsewhere = await house.core.accounts.organization("Elsewhere")
    mallory = await arrive(house, "mallory", organization=elsewhere, rank=255)
    return Relatives(house, root, ada, bob, carol, dan, eve, mallory)
