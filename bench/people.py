"""Add people to a database that is not being served: `people.py DATA NUMBER PASSWORD [POSTGRES]`."""

from __future__ import annotations

import asyncio
import sys

from dragoman.app import opened
from dragoman.core.accounts import NewAccount
from dragoman.model import Password
from dragoman.settings import load


async def main() -> None:
    """Add them one by one: each costs a hash."""
    data, number, password = sys.argv[1], int(sys.argv[2]), Password.from_plain(sys.argv[3])
    postgres = {"storage.postgres": sys.argv[4]} if len(sys.argv) > 4 else {}
    async with opened(load(None, {}, {"storage.data": data, **postgres})) as core:
        for n in range(number):
            new = NewAccount(email=f"p{n}@example.com", username=f"p{n}", first_name="Ada", last_name=f"Example {n}",
                             verified=True)  # fmt: skip
            await core.accounts.add(new, password, allow_weak=True)


asyncio.run(main())
