"""Organizations full of people, and what each of them says to Flashback, for the tests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx2

from dialects.flashback.talk import bearer
from dragoman.model import Id, Person
from dragoman.storage import members
from dragoman.storage.engine import Tx
from kit.house import PASSWORD, House

RANKS = (0, 1, 2, 254, 255)
NOBODY = str(uuid.UUID(int=7))


def text(id: Id) -> str:
    return str(uuid.UUID(bytes=id))


@dataclass
class Someone:
    """A member with a live session."""

    house: House
    person: Person
    token: str

    @property
    def id(self) -> str:
        return text(self.person.account.id)

    async def call(self, method: str, path: str, **wanted: Any) -> httpx2.Response:
        return await self.house.request(method, path, headers=bearer(self.token), **wanted)

    async def rank(self) -> int:
        return (await self.house.core.accounts.by_id(self.person.account.id)).rank

    async def set_rank(self, rank: int) -> None:
        """Give a rank past every rule."""

        async def fn(tx: Tx) -> None:
            await members.set_rank(tx, self.person.account.id, rank, self.house.clock.now())

        await self.house.db.transaction(fn)


@dataclass
class Organization:
    """Somebody of every rank."""

    house: House
    name: str
    id: Id
    of: dict[int, Someone] = field(default_factory=dict)

    async def join(self, name: str, rank: int, **fields: Any) -> Someone:
        """Add somebody and sign in."""
        email = f"{name}@{self.name}.example.com"
        wanted = {"verified": True, "first_name": name.title(), "last_name": "Example", **fields}
        person = await self.house.add(email=email, organization=self.id, rank=rank, **wanted)
        return await signed_in(self.house, person)


async def signed_in(house: House, person: Person) -> Someone:
    answer = await house.post("/user/login", json={"email": person.email, "password": PASSWORD})
    return Someone(house, person, answer.json()["accessToken"])


async def organization(house: House, name: str, *, ranks: tuple[int, ...] = RANKS) -> Organization:
    """Make an organization with one person of each rank."""
    made = Organization(house, name, await house.core.accounts.organization(name))
    for rank in ranks:
        made.of[rank] = await made.join(f"r{rank}", rank)
    return made
