"""Devices: what clients said of themselves when they signed in, one row for each that an account uses."""

from __future__ import annotations

from msgspec import Struct

from dragoman.model import Device, DeviceType, Id, Millis
from dragoman.storage.engine import Reader, Statement, Tx

_COLUMNS = "id, fingerprint, name, type, os, browser, user_agent, address, created_at, seen_at, trusted_until"

_SEE = Statement(
    """insert into device(id, account, fingerprint, name, type, os, browser, user_agent, address, created_at, seen_at)
       values (:id, :account, :fingerprint, :name, :type, :os, :browser, :user_agent, :address, :now, :now)
       on conflict (account, fingerprint) do update set name = excluded.name, os = excluded.os,
         browser = excluded.browser, user_agent = excluded.user_agent, address = excluded.address,
         seen_at = excluded.seen_at
       returning id""",
    hot=True,
)
_DROP_BEYOND_CAP = Statement(
    """delete from device where id in
         (select id from device where account = :account order by seen_at desc, id desc limit 1000 offset :cap)""",
)
_LIST = Statement(
    f"""select {_COLUMNS}, s.used_at from device left join
          (select device_id, max(seen_at) as used_at from session
           where account = :account and ended_at is null and device_id is not null group by device_id) s
          on s.device_id = device.id
        where account = :account order by coalesce(s.used_at, 0) desc, seen_at desc, id desc"""
)
_OF_SESSIONS = Statement(
    """select s.id, d.id, d.name from session s join device d on d.id = s.device_id
       where s.account = :account and s.ended_at is null"""
)
_BY_FINGERPRINT = Statement("select id from device where account = :account and fingerprint = :fingerprint")
_TRUST = Statement("update device set trusted_until = :until where account = :account and id = :id")
_UNTRUST = Statement(
    "update device set trusted_until = :now where account = :account and id = :id and trusted_until > :now"
)
_FORGET = Statement("delete from device where account = :account and id = :id")
_LIVE_SESSIONS = Statement(
    "select id from session where account = :account and ended_at is null and device_id = :id order by id limit 200"
)
_SWEEP = Statement(
    "delete from device where id in (select id from device where seen_at < :before order by seen_at limit 200)"
)


class Sighting(Struct, frozen=True, gc=False):
    """What a client says of its device at a sign-in, made ready to be kept."""

    id: Id
    """For a device that was not seen before."""
    fingerprint: bytes
    """32 bytes, the same for what looks like the same device of the same account, and for nobody else."""
    name: str
    type: DeviceType
    os: str
    browser: str
    user_agent: str


async def see(tx: Tx, account: Id, sighting: Sighting, address: str, now: Millis, *, cap: int) -> Id:
    """Keep what a sign-in says of its device and return the device's id; the ones used longest ago go beyond `cap`."""
    row = await tx.one(
        _SEE, id=sighting.id, account=account, fingerprint=sighting.fingerprint, name=sighting.name,
        type=sighting.type, os=sighting.os, browser=sighting.browser, user_agent=sighting.user_agent,
        address=address, now=now,
    )  # fmt: skip
    id = sighting.id if row is None else bytes(row[0])
    if id == sighting.id:
        await tx.run(_DROP_BEYOND_CAP, account=account, cap=cap)
    return id


async def listed(db: Reader, account: Id) -> list[Device]:
    """Return the account's devices, the one that was used last first."""
    return [Device(*row) for row in await db.all(_LIST, account=account)]


async def of_sessions(db: Reader, account: Id) -> dict[Id, tuple[Id, str]]:
    """Return id and name of the device of each live session that has one."""
    return {row[0]: (row[1], row[2]) for row in await db.all(_OF_SESSIONS, account=account)}


async def by_fingerprint(db: Reader, account: Id, fingerprint: bytes) -> Id | None:
    """Return the id of the account's device with this fingerprint."""
    row = await db.one(_BY_FINGERPRINT, account=account, fingerprint=fingerprint)
    return bytes(row[0]) if row else None


async def trust(tx: Tx, account: Id, id: Id, until: Millis) -> bool:
    """Mark a device as trusted until then; tell whether the account has it."""
    return await tx.run(_TRUST, account=account, id=id, until=until) == 1


async def untrust(tx: Tx, account: Id, id: Id, now: Millis) -> bool:
    """Let a device be trusted no more; tell whether it was."""
    return await tx.run(_UNTRUST, account=account, id=id, now=now) == 1


async def forget(tx: Tx, account: Id, id: Id) -> bool:
    """Delete a device; tell whether the account had it."""
    return await tx.run(_FORGET, account=account, id=id) == 1


async def live_sessions(tx: Tx, account: Id, id: Id) -> list[Id]:
    """Return the sessions of a device that have not ended."""
    return [bytes(row[0]) for row in await tx.all(_LIVE_SESSIONS, account=account, id=id)]


async def sweep(tx: Tx, before: Millis) -> int:
    """Delete up to 200 devices that signed in for the last time before then; return how many."""
    return await tx.run(_SWEEP, before=before)
