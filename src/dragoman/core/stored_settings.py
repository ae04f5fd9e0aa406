"""Settings that can be changed while the server runs: stored, in force in every process at once, never below the file.

The configuration file says what each setting is at the loosest; a stored value counts as far as it is tighter (threat
37, decision 36). Whoever may change settings over the wire can therefore close doors; only who has the file opens them
wider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from dragoman.core import events, refusals
from dragoman.core.policy import Policy
from dragoman.core.ports import Clock
from dragoman.model import Caller, Client, Millis, uuid_text
from dragoman.storage import stored_settings as storage
from dragoman.storage.engine import Engine, Tx

Tighter = Literal["smaller", "larger", "true", "false", "earlier"]
"""Which value of a setting is the tighter one; `earlier`: of its words, the one that is listed first."""


class Storable(Struct, frozen=True):
    """One setting that may be stored: what it is, which way is tighter, and what the configuration file says."""

    name: str
    """As in the file, `limits.account_hour`."""
    type: Any
    """What msgspec holds a value against, bounds and all."""
    tighter: Tighter
    floor: Any
    words: tuple[str, ...] = ()
    """The words it may be, where it is one of several."""
    free: bool = False
    """Neither way is forbidden: `floor` is only what it is while nothing is stored. Under the test switch alone."""

    def is_looser(self, value: Any, than: Any) -> bool:
        """Tell whether a value is looser than another. Both fit the type."""
        if self.free:
            return False
        a, b = (self.words.index(v) if self.words else v for v in (value, than))
        return bool(a < b) if self.tighter in ("larger", "true") else bool(a > b)

    def in_force(self, stored: Any) -> Any:
        """Return what is in force when this is stored: the tighter one of it and what the file says."""
        return self.floor if stored is None or self.is_looser(stored, self.floor) else stored

    def checked(self, value: Any, *, text: bool = False) -> Any:
        """Return a value as the type has it; `text` reads it as typed. Raises SettingRefused: wrong, or looser."""
        try:
            fit = msgspec.convert(value, self.type, strict=not text)
        except (msgspec.ValidationError, ValueError, OverflowError) as why:
            expected = f"expected one of {', '.join(self.words)}" if self.words else str(why)
            raise refusals.SettingRefused(self.name, f"not a value of this setting: {expected}") from None
        if self.is_looser(fit, self.floor):
            raise refusals.SettingRefused(
                self.name, f"{as_text(fit)} is looser than {as_text(self.floor)}, which the configuration file says"
            )
        return fit


class Configured(Struct, frozen=True):
    """What the configuration file says: which settings may be stored, and how the policy follows from them."""

    storables: tuple[Storable, ...]
    policy: Callable[[Mapping[str, Any]], Policy]
    """Returns the policy for these values in force, by name."""


class Value(Struct, frozen=True):
    """One setting that may be stored, as it is now."""

    name: str
    value: Any
    """In force."""
    floor: Any
    """What the configuration file says: the loosest it may be."""
    source: Literal["file", "stored"]
    by: str | None = None
    """Who stored it: a username, an id where the account is gone, `operator` for the command line."""
    at: Millis | None = None


class StoredSettings:
    """Reads and changes the settings that may be stored. One per process; all of them follow the same rows."""

    def __init__(self, db: Engine, clock: Clock, configured: Configured) -> None:
        self._db, self._clock, self._configured = db, clock, configured
        self._storables = {each.name: each for each in configured.storables}
        self._version = 0
        self._in_force: Mapping[str, Any] = {name: each.floor for name, each in self._storables.items()}
        self._policy = configured.policy(self._in_force)

    # ------------------------------------------------------------ reading

    async def current(self) -> Policy:
        """Return the policy in force: one point read, and all of it anew only when some process changed something."""
        await self._follow()
        return self._policy

    async def in_force(self) -> Mapping[str, Any]:
        """Return the value in force of every setting that may be stored, by name."""
        await self._follow()
        return self._in_force

    def latest(self) -> Policy:
        """Return the policy as this process read it last, without a read: at most a second old while it serves."""
        return self._policy

    def latest_values(self) -> Mapping[str, Any]:
        """Return the values in force as `latest` does: as this process read them last, its own changes included."""
        return self._in_force

    async def shown_to(self, by: Caller) -> Mapping[str, Any]:
        """Return the same to somebody who asks over a wire. Raises NotAllowed for anybody but an administrator."""
        _may_change(by)
        return await self.in_force()

    def floor(self, name: str) -> Any:
        """Return what the configuration file says of a setting. Raises SettingRefused for one that is not storable."""
        return self._storable(name).floor

    async def values(self) -> list[Value]:
        """Return every setting that may be stored, in the order of the file: its value in force, floor and origin."""
        stored = {each.name: each for each in await storage.load(self._db)}
        found = []
        for name, storable in self._storables.items():
            row = stored.get(name)
            value = None if row is None else _fitting(storable, row.value)
            if row is None or value is None or storable.is_looser(value, storable.floor):
                found.append(Value(name, storable.floor, storable.floor, "file"))
            else:
                found.append(Value(name, value, storable.floor, "stored", _by(row), row.at))
        return found

    async def _follow(self) -> None:
        version, known = await storage.version(self._db), self._version
        if version == known:
            return
        rows = await storage.load(self._db)
        if known != self._version > version:
            return  # another call has read newer rows meanwhile
        self._in_force = self._values_of(rows)
        self._policy = self._configured.policy(self._in_force)
        # The rows may be newer than the number read before them; then the next call reads them once more.
        self._version = version

    def _values_of(self, rows: Iterable[storage.Stored]) -> Mapping[str, Any]:
        stored = {row.name: row.value for row in rows}
        return {
            name: each.in_force(_fitting(each, stored[name]) if name in stored else None)
            for name, each in self._storables.items()
        }

    # ------------------------------------------------------------ changing

    async def set(
        self, name: str, value: Any, by: Caller | None, *, client: Client | None = None, text: bool = False
    ) -> None:
        """Store a setting, in force for the next call of every process.

        :param value: of the setting's own type; with `text`, as typed at a command line.
        :param by: who asks; None for the command line.
        Raises NotAllowed for anybody but an administrator, SettingRefused for a setting that is not storable, a value
        that does not fit, or one that is looser than what the configuration file says.
        """
        _may_change(by)
        storable = self._storable(name)
        fit = storable.checked(value, text=text)
        now, wanted = self._clock.now(), as_text(fit)

        async def fn(tx: Tx) -> None:
            before = await storage.find(tx, name)
            if before != wanted:
                await storage.put(tx, name, wanted, now, by.account.id if by else None)
                await self._record(tx, storable, before, wanted, now=now, by=by, client=client)

        await self._db.transaction(fn)
        await self._follow()

    async def unset(self, name: str, by: Caller | None, *, client: Client | None = None) -> bool:
        """Forget what is stored of a setting, so that the file's value is in force; tell whether anything was.

        Raises NotAllowed, SettingRefused for a setting that is not storable.
        """
        _may_change(by)
        storable, now = self._storable(name), self._clock.now()

        async def fn(tx: Tx) -> bool:
            before = await storage.find(tx, name)
            if before is None:
                return False
            await storage.drop(tx, name)
            await self._record(tx, storable, before, None, now=now, by=by, client=client)
            return True

        dropped = await self._db.transaction(fn)
        await self._follow()
        return dropped

    def _storable(self, name: str) -> Storable:
        storable = self._storables.get(name)
        if storable is None:
            raise refusals.SettingRefused(name, "no setting of this name can be changed while the server runs")
        return storable

    async def _record(
        self, tx: Tx, storable: Storable, before: str | None, after: str | None, *, now: Millis, by: Caller | None,
        client: Client | None,
    ) -> None:  # fmt: skip
        """Write what was in force before and is afterwards."""
        was, becomes = (
            as_text(storable.in_force(None if each is None else _fitting(storable, each))) for each in (before, after)
        )
        await events.record(
            tx, "setting_changed", now, client=client, account=by.account.id if by else None,
            session=by.session.id if by else None, door=by.session.door if by else None, name=storable.name, to=becomes,
            by=uuid_text(by.account.id) if by else OPERATOR, **{"from": was},
        )  # fmt: skip


OPERATOR = "operator"


def as_text(value: Any) -> str:
    """Return a value as it is stored and shown: JSON."""
    return msgspec.json.encode(value).decode()


def _fitting(storable: Storable, stored: str) -> Any:
    """Return what is stored as a value of the setting; None when it is none any more, as after an upgrade."""
    try:
        return msgspec.json.decode(stored, type=storable.type)
    except msgspec.DecodeError:
        return None


def _by(row: storage.Stored) -> str:
    if row.by is None:
        return OPERATOR
    return row.username or uuid_text(row.by)


def _may_change(by: Caller | None) -> None:
    if by is not None and not by.account.administrator:
        raise refusals.NotAllowed
