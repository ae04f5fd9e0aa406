"""Accounts: adding, finding, naming, and what an operator does to them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import events, identifiers, judgement, newcomers, ports, refusals
from dragoman.core.credentials import hashes, policy
from dragoman.core.life import Judge
from dragoman.core.linked import Linked
from dragoman.core.notices import Notice, Notices
from dragoman.core.organizations import OWNER_RANK
from dragoman.core.passwords import hashed
from dragoman.core.refusals import Refusal
from dragoman.core.second_factor import client_print
from dragoman.core.signin import SignIn
from dragoman.core.tools import Tools
from dragoman.model import (
    Account,
    AccountKind,
    AddressState,
    Caller,
    Client,
    Id,
    Identifier,
    Language,
    Millis,
    Password,
    Person,
    Status,
)
from dragoman.storage import accounts, attempts, counters, credentials, sessions, tickets
from dragoman.storage.engine import ConstraintViolated, Tx

DEFAULT_NAME = "Default"
NAME_LENGTH = 255
INITIAL_FOR: Millis = 7 * 24 * 60 * 60_000
USERNAME_TRIES = 20


class NewAccount(Struct, frozen=True):
    """What an operator says of an account to be added."""

    email: str | None = None
    username: str | None = None
    phone: str | None = None
    first_name: str = ""
    last_name: str = ""
    display_name: str | None = None
    kind: AccountKind = "person"
    administrator: bool = False
    root: bool = False
    verified: bool = False
    """The address counts as verified; else an operator's word makes it vouched."""
    claimed: bool = False
    """Nobody of the installation answers for the address: it carries no right until it is proved (decision 15)."""
    organization: Id | None = None
    """None: the default organization (decision 10)."""
    rank: int | None = None
    """None: 255 for administrators, else 0."""
    parent: Id | None = None
    status: Status = "active"
    language: Language | None = None
    """Of its mail; None: the installation's."""
    labels: Mapping[str, tuple[str, ...]] = {}
    """As `Person.labels`."""


class Accounts:
    """Finds and changes accounts."""

    def __init__(self, tools: Tools, signin: SignIn) -> None:
        self._t = tools
        self._signin = signin
        self._linked = Linked(tools)
        self._notices = Notices(tools)

    # ------------------------------------------------------------ finding

    async def person(self, account: Account) -> Person:
        """Return the account with all that a dialect shows of it. `account` was read just now."""
        return await self._t.people.of(account)

    async def by_id(self, id: Id) -> Account:
        """Return the account of this id. Raises NotFound."""
        return _found(await accounts.by_id(self._t.db, id))

    async def by_username(self, text: str) -> Account:
        """Return the account of this username. Raises NotFound."""
        return _found(await self._by_kind("username", text))

    async def by_email(self, text: str) -> Account:
        """Return the account that holds this address, proved or not. Raises NotFound."""
        return _found(await self._by_kind("email", text))

    async def by_alias(self, system: str, value: str) -> Account:
        """Return the account another system knows by this name. Raises NotFound."""
        return _found(await accounts.by_alias(self._t.db, system, value) if identifiers.storable(value) else None)

    async def named(self, text: str) -> Account:
        """Return the account an operator means: any identifier, alias or id, or `kind:value` to be exact.

        Kinds are email, username, phone, id and the systems of aliases. Raises NotFound, Ambiguous with the
        candidates (decision 16).
        """
        found: dict[Id, tuple[str, Account]] = {}
        kind, colon, value = text.partition(":")
        if colon and (exact := await self._by_kind(kind, value)) is not None:
            return exact
        for kind in ("email", "username", "phone", "id", "rocketchat", "probe", "pocketm8"):
            account = await self._by_kind(kind, text)
            if account is not None and account.id not in found:
                found[account.id] = (f"{kind}:{text}", account)
        if len(found) > 1:
            raise refusals.Ambiguous(tuple(name for name, _ in found.values()))
        return _found(next((account for _, account in found.values()), None))

    async def _by_kind(self, kind: str, value: str) -> Account | None:
        if not identifiers.storable(value):
            return None
        if kind in ("email", "username", "phone"):
            return await accounts.by_identifier(self._t.db, kind, identifiers.fold(kind, value))  # type: ignore[arg-type]
        if kind == "id":
            id = _id_from(value)
            return await accounts.by_id(self._t.db, id) if id else None
        return await accounts.by_alias(self._t.db, kind, value)

    async def page(self, after: Id = b"") -> list[Account]:
        """Return up to 200 accounts after this id, in order of creation."""
        return await accounts.page(self._t.db, after)

    async def default_organization(self) -> Id:
        """Return the organization `Default`, made where it is missing: at set-up, or by an account added before it."""
        id = await accounts.default_organization(self._t.db)
        while id is None:
            await self._make_default()
            id = await accounts.default_organization(self._t.db)
        return id

    async def organization(self, name: str) -> Id:
        """Return the organization of this name, made where there is none. Raises BadIdentifier."""
        if not 0 < len(name) <= NAME_LENGTH or not identifiers.storable(name):
            raise refusals.BadIdentifier("organization", "1 to 255 characters, no control characters")
        if name == DEFAULT_NAME:
            return await self.default_organization()
        t, now = self._t, self._t.clock.now()
        fresh = ports.new_id(t.clock, t.random)

        async def fn(tx: Tx) -> Id:
            known = await accounts.organization_named(tx, name)
            if known is None:
                await accounts.insert_organization(tx, fresh, name, now, business=False, default=False)
            return known or fresh

        return await t.db.transaction(fn)

    # ------------------------------------------------------------ adding

    async def add(
        self, new: NewAccount, password: Password | None, *, allow_weak: bool = False, initial: bool = False,
        mixed: bool = False, judge: Callable[[Tx], Awaitable[Refusal | None]] | None = None, by: Caller | None = None,
        client: Client | None = None,
    ) -> Person:  # fmt: skip
        """Add an account with its identifiers, aliases and password.

        A missing username is made from the address or the name. `initial` lets the password live for 7 days only
        (threat 16).

        :param mixed: as `Door.mixed_password`.
        :param judge: tells in the transaction whether the account may be added.
        :param by: who adds it over a wire, and `client` from where, for the audit trail.

        Raises BadIdentifier, IdentifierTaken, WeakPassword, NotFound for an organization or parent that does not
        exist, and what `judge` refuses.
        """
        names = self._identifiers(new)
        if password is not None and not (allow_weak or (await self._t.policy()).test):
            policy.check(password, (new.first_name, new.last_name, *(n.shown for n in names)), mixed=mixed)
        id = ports.new_id(self._t.clock, self._t.random)
        account = await self._account(id, new)
        sealed = await hashed(self._t, id, password) if password is not None else None
        dies_at = account.created_at + INITIAL_FOR if initial else None
        taken: str | None = None
        for _ in range(USERNAME_TRIES):
            try:
                refused = await self._t.db.transaction(
                    partial(
                        self._insert, account=account, new=new, names=names, sealed=sealed, dies_at=dies_at,
                        judge=judge, by=by, client=client,
                    )
                )  # fmt: skip
            except ConstraintViolated:
                taken = await self._taken(names)
                if new.username is not None or taken != "username":
                    break
                names = self._with_other_username(names)
            else:
                if refused is not None:
                    raise refused
                return await self.person(await self.by_id(id))
        raise refusals.IdentifierTaken(taken or "username")

    def _identifiers(self, new: NewAccount) -> list[Identifier]:
        state: AddressState = "verified" if new.verified else "claimed" if new.claimed else "vouched"
        names = []
        if new.email is not None:
            names.append(Identifier("email", identifiers.check("email", new.email), state, True))
        if new.phone is not None:
            names.append(Identifier("phone", identifiers.check("phone", new.phone), state, True))
        made = new.username or identifiers.username_from(
            new.email or "", f"{new.first_name} {new.last_name}", new.display_name or ""
        )
        names.append(Identifier("username", identifiers.check("username", made), "vouched", True))
        for text in (new.first_name, new.last_name, new.display_name or ""):
            if len(text) > NAME_LENGTH or not identifiers.storable(text):
                raise refusals.BadIdentifier("name", "at most 255 characters, no control characters")
        return names

    def _with_other_username(self, names: list[Identifier]) -> list[Identifier]:
        return [
            Identifier(n.kind, newcomers.other_username(self._t.random, n.shown), n.state, n.primary)
            if n.kind == "username" else n
            for n in names
        ]  # fmt: skip

    async def _account(self, id: Id, new: NewAccount) -> Account:
        default = await self.default_organization()
        organization = new.organization or default
        now = self._t.clock.now()
        rank = new.rank if new.rank is not None else (OWNER_RANK if new.administrator else 0)
        return Account(
            id, organization, new.kind, new.status, new.administrator, new.root, new.parent, new.first_name,
            new.last_name, new.display_name, 0, 0, now if new.verified else None, now, now, None, rank,
            organization == default, False,
        )  # fmt: skip

    async def _insert(
        self, tx: Tx, account: Account, new: NewAccount, *, names: list[Identifier], sealed: tuple[str, bytes] | None,
        dies_at: Millis | None, judge: Callable[[Tx], Awaitable[Refusal | None]] | None, by: Caller | None,
        client: Client | None,
    ) -> Refusal | None:  # fmt: skip
        now = account.created_at
        refused = await judge(tx) if judge is not None else None
        if refused is not None:
            return refused
        await newcomers.insert(tx, account, names)
        if new.language is not None:
            await accounts.set_language(tx, account.id, new.language)
        for dialect, labels in new.labels.items():
            await accounts.put_labels(tx, account.id, dialect, labels, now)
        if sealed is not None:
            await credentials.put(
                tx, account.id, "password", scheme=sealed[0], sealed=sealed[1], now=now, dies_at=dies_at
            )
        who = by.account.id.hex() if by is not None else "operator"
        await events.record(tx, "account_added", now, client=client, account=account.id, by=who)
        return None

    async def _taken(self, names: list[Identifier]) -> str | None:
        for name in names:
            fold = identifiers.fold(name.kind, name.shown)
            if await accounts.by_identifier(self._t.db, name.kind, fold) is not None:
                return name.kind
        return None

    # ------------------------------------------------------------ changing

    async def rename(
        self, account: Account, username: str, *, by: Caller | None = None, client: Client | None = None,
        judge: Judge | None = None,
    ) -> None:  # fmt: skip
        """Change the username. The one before is free at once: nothing is mailed to a username, and whoever takes it
        has to prove a password of his own.

        :param by: who changes it; None for an operator.
        :param judge: tells in the transaction whether it may still be done.

        Raises BadIdentifier, IdentifierTaken, and what `judge` refuses.
        """
        shown = identifiers.check("username", username)

        async def write(tx: Tx, found: Account, now: Millis) -> None:
            await accounts.rename(tx, found.id, identifiers.fold("username", shown), shown)

        try:
            await self._change(account, "username", write, by=by, client=client, judge=judge)
        except ConstraintViolated:
            raise refusals.IdentifierTaken("username") from None

    async def set_name(
        self, account: Account, name: str, *, by: Caller | None = None, client: Client | None = None,
        judge: Judge | None = None,
    ) -> None:  # fmt: skip
        """Change the name of a person, who is called by one text (`identifiers.names_of`). The rest as for `rename`."""
        first, last, display = identifiers.names_of(name)
        for text in (first, last, display or ""):
            if not name.strip() or len(text) > NAME_LENGTH or not identifiers.storable(text):
                raise refusals.BadIdentifier("name", "1 to 255 characters, no control characters")

        async def write(tx: Tx, found: Account, now: Millis) -> None:
            await accounts.set_names(tx, replace(found, first_name=first, last_name=last, display_name=display), now)

        await self._change(account, "name", write, by=by, client=client, judge=judge)

    async def set_labels(
        self, account: Account, dialect: str, labels: tuple[str, ...], *, by: Caller | None = None,
        client: Client | None = None, judge: Judge | None = None,
    ) -> None:  # fmt: skip
        """Give an account the words that a dialect shows beside its roles. The rest as for `rename`."""

        async def write(tx: Tx, found: Account, now: Millis) -> None:
            await accounts.put_labels(tx, found.id, dialect, labels, now)

        await self._change(account, "labels", write, by=by, client=client, judge=judge)

    async def _change(
        self, account: Account, what: str, write: Callable[[Tx, Account, Millis], Awaitable[None]], *,
        by: Caller | None, client: Client | None, judge: Judge | None,
    ) -> None:  # fmt: skip
        now = self._t.clock.now()

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            if found is None:
                return refusals.NotFound()
            refused = await judge(tx, found) if judge is not None else None
            if refused is not None:
                return refused
            await write(tx, found, now)
            await events.record(
                tx, "account_changed", now, client=client, account=account.id, what=what,
                session=by.session.id if by else None, by=by.account.id.hex() if by else "operator",
            )  # fmt: skip
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused

    async def change_password(
        self, caller: Caller, old: Password, new: Password, client: Client, *, end_others: bool = True
    ) -> None:
        """Change the caller's own password, the old one proved; this client stays, keys stay (table C).

        :param end_others: whether the account's other clients end, in all dialects.

        Raises NotOffered where a directory knows the password; WrongPassword and what `SignIn.confirm` raises; then
        SamePassword, WeakPassword.
        """
        await self._linked.refuse_own_password(caller.account.id)
        await self._signin.confirm(caller, old, client)
        if new.hexdigest.reveal() == old.hexdigest.reveal():
            raise refusals.SamePassword
        await self._replace_own(caller, new, client, end_others=end_others)

    async def set_own_password(
        self, caller: Caller, new: Password, client: Client, *, old: Password | None = None
    ) -> None:
        """Change the caller's own password; the old one is checked where it came along, else a fresh proof stands for
        it (decision 25). This client stays, the others end, keys stay (table C).

        Raises NoPasswordSet for an account that signs in another way; FreshProofRequired without the old one; else what
        `change_password` raises.
        """
        account = caller.account
        if not (await self.person(account)).has_password:
            raise refusals.NoPasswordSet
        if old is not None:
            await self.change_password(caller, old, new, client)
            return
        await self._linked.refuse_own_password(account.id)
        remembered = (await self._t.policy()).remembered
        if not judgement.is_fresh(caller.session, client_print(client), self._t.clock.now(), remembered):
            raise refusals.FreshProofRequired
        await self._replace_own(caller, new, client, end_others=True)

    async def _replace_own(self, caller: Caller, new: Password, client: Client, *, end_others: bool) -> None:
        """Put a password in the place of one that was proved, unless it was replaced meanwhile: then WrongPassword."""
        t, account = self._t, caller.account
        person = await self.person(account)
        names = (account.first_name, account.last_name, *(i.shown for i in person.identifiers))
        if not (await t.policy()).test:
            policy.check(new, names, mixed=t.doors[caller.session.door].mixed_password)
        proved = await credentials.find(t.db, account.id, "password")
        sealed = await hashed(self._t, account.id, new)
        notice = await self._notices.draft("password_changed", person, address=client.address)
        now = t.clock.now()

        async def fn(tx: Tx) -> bool:
            held = await credentials.find(tx, account.id, "password")
            if held is None or proved is None or held.version != proved.version:
                return False
            await credentials.put(tx, account.id, "password", scheme=sealed[0], sealed=sealed[1], now=now)
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await tickets.drop(tx, account.id, "reset")
            if end_others:
                await sessions.end_clients(tx, account.id, "password_changed", now, keep=caller.session.id)
            await events.record(
                tx, "password_set", now, client=client, account=account.id, session=caller.session.id, by="owner"
            )
            await self._notices.put(tx, notice, now)
            return True

        if not await t.db.transaction(fn):
            raise refusals.WrongPassword

    async def set_password(
        self, account: Account, password: Password, *, initial: bool = False, allow_weak: bool = False,
        by: Caller | None = None, client: Client | None = None, judge: Judge | None = None,
    ) -> None:  # fmt: skip
        """Set the password on behalf of the owner: the act of an operator, or of whoever may do that much to the
        account. Ends every session and key (table C).

        `initial` lets it live for 7 days only, to be replaced by its owner (threat 16). An account that a directory
        answers for may have one for the time it is unreachable, where that is set; else NotOffered. Raises
        WeakPassword.
        """
        if self._t.directory.rules.fallback == "never":
            await self._linked.refuse_own_password(account.id)
        person = await self.person(account)
        if not (allow_weak or (await self._t.policy()).test):
            names = (account.first_name, account.last_name, *(i.shown for i in person.identifiers))
            policy.check(password, names)
        sealed, notice = await hashed(self._t, account.id, password), await self._notices.draft("password_set", person)
        await self._store_password(
            account, sealed, initial=initial, notice=notice, by=by, client=client, judge=judge
        )  # fmt: skip

    async def import_hash(self, account: Account, stored: str) -> None:
        """Set the password to a hash made elsewhere, `scheme:text` (see `credentials.hashes.recognise`).

        It is rewritten to the canonical form at the first good sign-in. Raises hashes.UnreadableHash, TooCostly;
        NotOffered as `set_password` does.
        """
        label = hashes.examine(stored).label
        if self._t.directory.rules.fallback == "never":
            await self._linked.refuse_own_password(account.id)
        sealed = credentials.seal(self._t.sealer, account.id, "password", stored.encode())
        await self._store_password(account, (label, sealed), initial=False)

    async def _store_password(
        self, account: Account, sealed: tuple[str, bytes], *, initial: bool, notice: Notice | None = None,
        by: Caller | None = None, client: Client | None = None, judge: Judge | None = None,
    ) -> None:  # fmt: skip
        now = self._t.clock.now()
        dies_at = now + INITIAL_FOR if initial else None

        async def fn(tx: Tx) -> Refusal | None:
            found = await accounts.by_id(tx, account.id)
            refused = await judge(tx, found) if judge is not None and found is not None else None
            if refused is not None:
                return refused
            await credentials.put(
                tx, account.id, "password", scheme=sealed[0], sealed=sealed[1], now=now, dies_at=dies_at
            )
            await accounts.raise_epoch(tx, account.id, now)
            await attempts.drop_all(tx, account.id)
            await sessions.end_all(tx, account.id, "password_set", now)
            await counters.drop_marks(tx, account.id)
            await events.record(
                tx, "password_set", now, client=client, account=account.id,
                by=by.account.id.hex() if by else "operator",
            )  # fmt: skip
            await self._notices.put(tx, notice, now)
            return None

        refused = await self._t.db.transaction(fn)
        if refused is not None:
            raise refused

    async def language(self, account: Account) -> str | None:
        """Return the language in which the account wants its mail, None for the installation's."""
        return await accounts.language(self._t.db, account.id)

    async def set_language(self, account: Account, language: Language | None) -> None:
        """Change the language of the account's mail; None for the installation's."""
        now = self._t.clock.now()

        async def fn(tx: Tx) -> None:
            await accounts.set_language(tx, account.id, language)
            await events.record(tx, "account_changed", now, account=account.id, what="language")

        await self._t.db.transaction(fn)

    async def unlock(self, account: Account) -> int:
        """Forget every failure counted against the account, in all lanes; return how many counters there were."""
        now = self._t.clock.now()

        async def fn(tx: Tx) -> int:
            number = await counters.drop_of(tx, account.id)
            await events.record(tx, "account_changed", now, account=account.id, what="unlocked")
            return number

        return await self._t.db.transaction(fn)

    # ------------------------------------------------------------ set-up

    async def has_administrator(self) -> bool:
        """Tell whether any account is an administrator, whatever its status."""
        return await accounts.has_administrator(self._t.db)

    async def set_up(self, administrator: NewAccount, password: Password) -> Person | None:
        """Make the default organization and the first administrator of a new database; None when there is one.

        Raises BadIdentifier, IdentifierTaken.
        """
        await self.default_organization()
        if await self.has_administrator():
            return None
        return await self.add(administrator, password, allow_weak=True)

    async def _make_default(self) -> None:
        t, now = self._t, self._t.clock.now()
        organization = ports.new_id(t.clock, t.random)

        async def fn(tx: Tx) -> None:
            if await accounts.set_meta_once(tx, "set_up", str(now)):
                await accounts.insert_organization(tx, organization, DEFAULT_NAME, now, business=False, default=True)

        await t.db.transaction(fn)


def _found(account: Account | None) -> Account:
    if account is None:
        raise refusals.NotFound
    return account


def _id_from(text: str) -> Id | None:
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        pass
    from ulid import ULID

    try:
        return bytes(ULID.from_str(text.upper()))
    except ValueError:
        return None
