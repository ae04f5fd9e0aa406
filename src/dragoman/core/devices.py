"""Devices: what a person recognises a client by, made of what the client says of itself at its sign-ins.

None of it is believed. A device opens nothing, and to be trusted is a mark that its owner reads in the list: no lane,
no lock and no second factor asks for it. The gate keeps a sighting in the transaction of the sign-in it belongs to.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from dragoman.core import events, refusals, user_agents
from dragoman.core.ports import new_id
from dragoman.core.tools import Tools
from dragoman.model import Caller, Client, Device, DeviceType, Id, Millis
from dragoman.storage import devices, sessions
from dragoman.storage.devices import Sighting
from dragoman.storage.engine import Tx

CAP = 50
"""Devices an account has at most, as many as it has clients of one dialect (decision 21)."""
TRUSTED_FOR: Millis = 30 * 24 * 60 * 60_000
_WORD, _AGENT = 64, 512
_VERSION = re.compile(r"[\d._]+")


class _Told(Struct, frozen=True, rename="camel"):
    """What a client says of its device, as far as it tells devices apart."""

    user_agent: str | None = None
    device_type: DeviceType | None = None
    os: str | None = None
    browser: str | None = None
    platform: str | None = None
    hardware_concurrency: float | None = None
    device_memory: float | None = None


def sighted(t: Tools, account: Id, told: str | None, client: Client) -> Sighting | None:
    """Read what a client says of its device, JSON text, before the transaction of its sign-in; None if it says nothing.

    What looks alike counts as one device of the account: kind, system, program and machine without version numbers,
    so that an update makes no new device. The fingerprint is keyed: nobody can work one out.
    """
    if told is None:
        return None
    try:
        said = msgspec.json.decode(told, type=_Told)
    except msgspec.DecodeError:
        return None
    agent = _clean(said.user_agent or client.user_agent, _AGENT)
    guessed = user_agents.read(agent)
    os, browser = _clean(said.os, _WORD) or guessed.os, _clean(said.browser, _WORD) or guessed.browser
    kind = said.device_type or guessed.device_type
    alike = (kind, _without_version(os), _without_version(browser), said.platform, said.hardware_concurrency,
             said.device_memory)  # fmt: skip
    mark = t.sealer.mac("device", account + msgspec.json.encode(alike))
    name = user_agents.name_of(browser, os)
    return Sighting(new_id(t.clock, t.random), mark, name, kind, os, browser, agent)


async def note(tx: Tx, account: Id, sighting: Sighting | None, client: Client, now: Millis) -> Id | None:
    """Keep a sighting within the transaction of its sign-in; return the device's id."""
    if sighting is None:
        return None
    return await devices.see(tx, account, sighting, client.address, now, cap=CAP)


def _clean(text: str | None, most: int) -> str:
    """Return a text without what cannot be shown on one line, cut to `most` characters."""
    return "".join(c for c in text or "" if c.isprintable())[:most].strip()


def _without_version(name: str) -> str:
    return _VERSION.sub("", name).strip().lower()


class Devices:
    """The devices of an account, for its owner."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_own(self, account: Id) -> list[Device]:
        """Return the account's devices, the one that was used last first."""
        return await devices.listed(self._t.db, account)

    async def find_own(self, account: Id, id: Id) -> Device:
        """Return one device of the account. Raises NotFound for any other id."""
        found = next((each for each in await self.list_own(account) if each.id == id), None)
        if found is None:
            raise refusals.NotFound
        return found

    async def of_sessions(self, account: Id) -> dict[Id, tuple[Id, str]]:
        """Return id and name of the device of each live session whose client said something of it."""
        return await devices.of_sessions(self._t.db, account)

    async def trust(self, caller: Caller, fingerprint: str, client: Client) -> Millis:
        """Mark the caller's device with this fingerprint, in hex, as trusted for 30 days; return until when.

        Only a mark: nothing is asked less of a trusted device. Raises NotFound.
        """
        t, account, now = self._t, caller.account.id, self._t.clock.now()
        until = now + TRUSTED_FOR
        try:
            mark = bytes.fromhex(fingerprint)
        except ValueError:
            raise refusals.NotFound from None

        async def fn(tx: Tx) -> bool:
            id = await devices.by_fingerprint(tx, account, mark)
            if id is None:
                return False
            await devices.trust(tx, account, id, until)
            await events.record(tx, "device_changed", now, client=client, account=account, what="trusted", by="owner")
            return True

        if not await t.db.transaction(fn):
            raise refusals.NotFound
        return until

    async def untrust(self, caller: Caller, id: Id, client: Client) -> None:
        """Let one of the caller's devices be trusted no more, whether or not it was. Raises NotFound."""
        account, now = caller.account.id, self._t.clock.now()
        await self.find_own(account, id)

        async def fn(tx: Tx) -> None:
            if await devices.untrust(tx, account, id, now):
                await events.record(
                    tx, "device_changed", now, client=client, account=account, what="untrusted", by="owner"
                )

        await self._t.db.transaction(fn)

    async def remove(self, caller: Caller, id: Id, client: Client) -> int:
        """Forget one of the caller's devices and end its sessions, this one too; return how many ended.

        Raises NotFound.
        """
        account, now = caller.account.id, self._t.clock.now()

        async def fn(tx: Tx) -> int | None:
            held = await devices.live_sessions(tx, account, id)
            if not await devices.forget(tx, account, id):
                return None
            for session in held:
                await sessions.end(tx, session, "device_removed", now)
            await events.record(
                tx, "device_changed", now, client=client, account=account, what="removed", by="owner",
                number=str(len(held)),
            )  # fmt: skip
            return len(held)

        ended = await self._t.db.transaction(fn)
        if ended is None:
            raise refusals.NotFound
        return ended
