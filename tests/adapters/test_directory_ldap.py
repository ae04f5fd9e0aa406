"""The LDAP adapter against a real slapd, and against sockets that are rude."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman.adapters.directory.exchange import MOST_BYTES, escaped, escaped_bytes
from dragoman.adapters.directory.ldap import Attributes, LdapDirectory, Place
from dragoman.core.ports import (
    DirectoryBusy,
    DirectoryUnreachable,
    Entry,
    NoSuchEntry,
    PasswordRefused,
    SystemClock,
)
from dragoman.model import Secret
from kit.certificates import self_signed
from kit.directory import BASE, READER, READER_PASSWORD, Slapd, free_port

pytestmark = pytest.mark.slow

FILTER = "(&(objectClass=inetOrgPerson)(|(uid={name})(mail={name})))"
PASSWORD = "ada's own password"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd") / "d") as running:
        running.person(
            "ada", PASSWORD, mail=["ada@example.com", "a.example@example.com"], givenName="Ada", displayName="Ada E."
        )
        running.person("bob", "bob's own password", mail="bob@example.com")
        running.group("staff", f"uid=ada,{running.base}")
        yield running


def place(slapd: Slapd, **changes: Any) -> Place:
    given: dict[str, Any] = {
        "urls": (slapd.url,), "base": slapd.base, "filter": FILTER, "bind_name": READER,
        "bind_password": Secret(READER_PASSWORD), "timeout": 5.0, **changes,
    }  # fmt: skip
    return Place(**given)


def directory(slapd: Slapd, **changes: Any) -> LdapDirectory:
    return LdapDirectory(place(slapd, **changes), SystemClock())


async def prove(of: LdapDirectory, name: str, password: str = PASSWORD, id: str = "") -> Entry:
    return await of.prove(name, Secret(password), id=id)


# ---------------------------------------------------------------- finding and binding


async def test_a_name_or_address_and_its_password_are_an_entry(slapd: Slapd) -> None:
    asked = directory(slapd)
    ada = await prove(asked, "ada")
    assert ada == await prove(asked, "ada@example.com") == await prove(asked, "ADA")
    assert (ada.username, ada.emails) == ("ada", ("ada@example.com", "a.example@example.com"))
    assert (ada.first_name, ada.last_name, ada.display_name) == ("Ada", "Example", "Ada E.")
    assert len(bytes.fromhex(ada.id)) == 36, "the text of a UUID"
    bob = await prove(asked, "bob", "bob's own password")
    assert (bob.first_name, bob.display_name) == ("", None)
    assert bob.id != ada.id
    await asked.reach()


async def test_a_wrong_password_tells_whose_it_is_not(slapd: Slapd) -> None:
    asked = directory(slapd)
    ada = await prove(asked, "ada")
    for wrong in ("bob's own password", PASSWORD + " ", PASSWORD[:-1], PASSWORD.upper(), "x" * 1024):
        with pytest.raises(PasswordRefused) as refused:
            await prove(asked, "ada", wrong)
        assert refused.value.id == ada.id
        assert wrong not in repr(refused.value)


@pytest.mark.parametrize("password", ["", "\x00", f"\x00{PASSWORD}", f"{PASSWORD}\x00", "\udcff", "x" * 1025])
async def test_what_a_server_could_take_for_an_empty_password_is_never_sent(password: str) -> None:
    """Of a closed port nobody could say no: the refusal comes from before any connection (RFC 4513 section 5.1.2)."""
    nowhere = LdapDirectory(Place((f"ldap://127.0.0.1:{free_port()}",), BASE, FILTER), SystemClock())
    with pytest.raises(PasswordRefused):
        await prove(nowhere, "ada", password)


async def test_a_person_without_a_password_is_nobody(slapd: Slapd) -> None:
    dn = slapd.person("nopass", mail="nopass@example.com")
    try:
        for password in ("x", " "):
            with pytest.raises(PasswordRefused):
                await prove(directory(slapd), "nopass", password)
    finally:
        slapd.remove(dn)


async def test_a_password_is_sent_as_typed(slapd: Slapd) -> None:
    """Not prepared (RFC 4013), not normalised: soft hyphens, compatibility forms and spaces stay what they are."""
    odd = "p\u00adass \ufb01 e\u0301 \u00e9 \u3000 \U0001f511"
    dn = slapd.person("odd", odd)
    try:
        assert (await prove(directory(slapd), "odd", odd)).username == "odd"
        for other in ("pass fi e\u0301 \u00e9   \U0001f511", odd.replace("e\u0301", "\u00e9"), odd.strip("p")):
            with pytest.raises(PasswordRefused):
                await prove(directory(slapd), "odd", other)
    finally:
        slapd.remove(dn)


async def test_unknown_names_are_nobody(slapd: Slapd) -> None:
    for name in ("carol", "carol@example.com", "", " "):
        with pytest.raises(NoSuchEntry):
            await prove(directory(slapd), name)


@pytest.mark.parametrize(
    "name",
    ["*", "a*", "ad?", "ada)(uid=*", "ada)(|(uid=*))", "*)(objectClass=*", "\\2a", "\\", "ada\x00", "a\\64a", "(ada)",
     "\u0000", "\udcff", "ada\n", ")", "(", "ada)", "&", "|(uid=ada)", "ad\u0430", "=", "a" * 256],
)  # fmt: skip
async def test_what_is_typed_is_a_value_and_never_a_part_of_the_filter(slapd: Slapd, name: str) -> None:
    with pytest.raises(NoSuchEntry):
        await prove(directory(slapd), name)


@pytest.mark.parametrize(
    "uid", ["a*b", "a(b)c", "back\\slash", "sla/sh", "hash#", "\u00e4\u00f6\u00fc", "a,b=c", '"q"']
)
async def test_names_made_of_what_filters_are_made_of_sign_in(slapd: Slapd, uid: str) -> None:
    dn = slapd.person(uid, PASSWORD)
    try:
        assert (await prove(directory(slapd), uid)).username == uid
        with pytest.raises(PasswordRefused):
            await prove(directory(slapd), uid, "wrong")
    finally:
        slapd.remove(dn)


def test_escaping_leaves_nothing_that_means_anything() -> None:
    assert escaped("ada.E-x_1@example.com") == "ada.E-x_1@example.com"
    assert escaped("*()\\\x00/\n\u00e4") == "\\2a\\28\\29\\5c\\00\\2f\\0a\\c3\\a4"
    assert escaped_bytes(bytes(range(256))).count("(") == 0


async def test_two_entries_are_nobody(slapd: Slapd) -> None:
    first, second = (slapd.person(uid, PASSWORD, mail="both@example.com") for uid in ("one", "two"))
    try:
        with pytest.raises(NoSuchEntry):
            await prove(directory(slapd), "both@example.com")
        assert (await prove(directory(slapd), "one")).username == "one"
    finally:
        slapd.remove(first)
        slapd.remove(second)


async def test_a_thousand_entries_are_not_read(slapd: Slapd) -> None:
    """The filter of an operator who left the name's place too wide: two are enough to refuse."""
    wide = directory(slapd, filter="(|(objectClass=*)(uid={name}))")
    with pytest.raises(NoSuchEntry):
        await prove(wide, "ada")


@pytest.mark.parametrize(
    ("filter", "found"),
    [("(uid={name})", True), ("(&(uid={name})(sn=Example))", True), ("(&(uid={name})(sn=Other))", False),
     ("(&(uid={name})(!(mail=*)))", False), ("(mail={name}@example.com)", True)],
)  # fmt: skip
async def test_the_filter_decides_who_may(slapd: Slapd, filter: str, found: bool) -> None:
    asked = directory(slapd, filter=filter)
    if found:
        assert (await prove(asked, "ada")).username == "ada"
    else:
        with pytest.raises(NoSuchEntry):
            await prove(asked, "ada")


@pytest.mark.parametrize(
    ("base", "scope", "found"),
    [(BASE, "subtree", True), (BASE, "one", False), (f"ou=people,{BASE}", "one", True),
     (f"ou=people,{BASE}", "base", False), (f"uid=ada,ou=people,{BASE}", "base", True),
     (f"ou=groups,{BASE}", "subtree", False)],
)  # fmt: skip
async def test_base_and_scope_bound_the_search(slapd: Slapd, base: str, scope: Any, found: bool) -> None:
    asked = directory(slapd, base=base, scope=scope)
    if found:
        assert (await prove(asked, "ada")).username == "ada"
    else:
        with pytest.raises(NoSuchEntry):
            await prove(asked, "ada")


@pytest.mark.parametrize(
    "rule",
    [
        {"group_filter": "(&(cn=staff)(member={dn}))"},
        {"filter": f"(&(uid={{name}})(memberOf=cn=staff,ou=groups,{BASE}))"},
    ],
    ids=["group filter", "memberOf"],
)
async def test_only_the_group_may(slapd: Slapd, rule: dict[str, str]) -> None:
    if "group_filter" in rule:
        rule = {**rule, "group_base": slapd.groups}
    asked = directory(slapd, **rule)
    assert (await prove(asked, "ada")).username == "ada"
    with pytest.raises(NoSuchEntry):
        await prove(asked, "bob", "bob's own password")
    slapd.change(f"cn=staff,{slapd.groups}", member=[f"uid=bob,{slapd.base}"])
    try:
        with pytest.raises(NoSuchEntry):
            await prove(asked, "ada")
        assert (await prove(asked, "bob", "bob's own password")).username == "bob"
    finally:
        slapd.change(f"cn=staff,{slapd.groups}", member=[f"uid=ada,{slapd.base}"])


async def test_a_person_named_like_a_filter_is_a_value_in_the_group_filter_too(slapd: Slapd) -> None:
    dn = slapd.person("x)(cn=*", PASSWORD)
    try:
        for filter in ("(&(cn=staff)(member={dn}))", "(&(cn=staff)(description={name}))"):
            with pytest.raises(NoSuchEntry):
                await prove(directory(slapd, group_base=slapd.groups, group_filter=filter), "x)(cn=*")
    finally:
        slapd.remove(dn)


# ---------------------------------------------------------------- the id


async def test_the_id_stays_when_everything_else_changes(slapd: Slapd) -> None:
    dn = slapd.person("dora", PASSWORD, mail="dora@example.com")
    asked = directory(slapd)
    before = await prove(asked, "dora")
    dn = slapd.rename(dn, "dorothea")
    slapd.change(dn, mail="dorothea@example.com", displayName="Dorothea")
    try:
        after = await prove(asked, "dorothea")
        assert (after.id, after.username, after.emails) == (before.id, "dorothea", ("dorothea@example.com",))
        with pytest.raises(NoSuchEntry):
            await prove(asked, "dora")
        # Whom the old name is known to mean is found by the id, as long as nobody else has the name.
        assert (await prove(asked, "dora", id=before.id)).username == "dorothea"
        assert (await prove(asked, "", id=before.id)).username == "dorothea"
        other = slapd.person("dora", "another's password")
        try:
            assert (await prove(asked, "dora", "another's password", id=before.id)).id != before.id
            with pytest.raises(PasswordRefused):
                await prove(asked, "dora", id=before.id)
            assert (await prove(asked, "dorothea", id=before.id)).id == before.id
        finally:
            slapd.remove(other)
    finally:
        slapd.remove(dn)
    for name in ("dora", "dorothea", ""):
        with pytest.raises(NoSuchEntry):
            await prove(asked, name, id=before.id)


async def test_an_address_that_somebody_else_entered_too_does_not_keep_the_linked_one_out(slapd: Slapd) -> None:
    asked = directory(slapd)
    ada = await prove(asked, "ada")
    squatter = slapd.person("squatter", "s", mail="ada@example.com")
    try:
        with pytest.raises(NoSuchEntry):
            await prove(asked, "ada@example.com")
        assert (await prove(asked, "ada@example.com", id=ada.id)).id == ada.id
    finally:
        slapd.remove(squatter)


async def test_the_id_obeys_the_filter(slapd: Slapd) -> None:
    ada = await prove(directory(slapd), "ada")
    with pytest.raises(NoSuchEntry):
        await prove(directory(slapd, filter="(&(uid={name})(sn=Other))"), "ada", id=ada.id)


@pytest.mark.parametrize("id", ["zz", "2a", "29282a", "00" * 16])
async def test_an_id_of_nobody_leaves_the_name(slapd: Slapd, id: str) -> None:
    assert (await prove(directory(slapd), "ada", id=id)).username == "ada"
    with pytest.raises(NoSuchEntry):
        await prove(directory(slapd), "", id=id)


async def test_an_entry_without_its_id_or_with_two_is_nobody(slapd: Slapd) -> None:
    for attribute in ("employeeNumber", "mail"):
        with pytest.raises(NoSuchEntry):
            await prove(directory(slapd, attributes=Attributes(id=attribute)), "ada")
    byte_id = directory(slapd, attributes=Attributes(id="jpegPhoto"))
    dn = slapd.person("guid", PASSWORD, jpegPhoto=bytes(range(16)))
    try:
        with pytest.raises(NoSuchEntry):  # no equality rule for that one: it is read, but cannot be searched
            await prove(byte_id, "", id=bytes(range(16)).hex())
        assert (await prove(byte_id, "guid")).id == bytes(range(16)).hex()
    finally:
        slapd.remove(dn)


async def test_attributes_are_as_mapped(slapd: Slapd) -> None:
    mapped = Attributes("entryUUID", "cn", "", "sn", "givenName", "uid")
    ada = await prove(directory(slapd, attributes=mapped), "ada")
    assert (ada.username, ada.emails, ada.first_name, ada.last_name, ada.display_name) == (
        "ada", (), "Example", "Ada", "ada",
    )  # fmt: skip


async def test_odd_values_come_as_one_line_of_text(slapd: Slapd) -> None:
    dn = slapd.person(
        "odd2", PASSWORD, mail=[f"m{n}@example.com" for n in range(30)], displayName="  two\n lines ",
        givenName="<b>&amp;",
    )  # fmt: skip
    try:
        odd = await prove(directory(slapd), "odd2")
        assert (odd.display_name, odd.first_name, len(odd.emails)) == ("two lines", "<b>&amp;", 10)
    finally:
        slapd.remove(dn)


# ---------------------------------------------------------------- referrals


@contextmanager
def listening() -> Iterator[tuple[str, list[Any]]]:
    """A server that must not be called: yields its URL and who called."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    called: list[Any] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                line, who = listener.accept()
            except TimeoutError:
                continue
            called.append(who)
            line.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}", called
    finally:
        stop.set()
        thread.join()
        listener.close()


async def test_no_referral_is_followed(slapd: Slapd) -> None:
    with listening() as (url, called):
        below = f"ou=elsewhere,{slapd.base}"
        slapd.add(below, objectClass=["referral", "extensibleObject"], ou="elsewhere", ref=f"{url}/{below}")
        try:
            # Beside the one entry a reference is passed by; without one there is nobody.
            assert (await prove(directory(slapd), "ada")).username == "ada"
            with pytest.raises(NoSuchEntry):
                await prove(directory(slapd), "carol")
            # A base that lies elsewhere.
            with pytest.raises(DirectoryUnreachable, match="search: referral"):
                await prove(directory(slapd, base=f"ou=x,{below}"), "ada")
            # Signing in to search elsewhere.
            with pytest.raises(DirectoryUnreachable, match="bind to search"):
                await prove(directory(slapd, bind_name=f"cn=reader,{below}"), "ada")
        finally:
            slapd.remove(below)
        assert called == []


# ---------------------------------------------------------------- signing in to search


async def test_searching_as_nobody_works_where_the_directory_allows_it(tmp_path: Path, slapd: Slapd) -> None:
    with pytest.raises(DirectoryUnreachable, match="search: 50"):
        await prove(directory(slapd, bind_name="", bind_password=Secret("")), "ada")
    with Slapd(tmp_path / "open", anonymous=True) as opened:
        opened.person("ada", PASSWORD)
        anonymous = directory(opened, bind_name="", bind_password=Secret(""))
        assert (await prove(anonymous, "ada")).username == "ada"
        with pytest.raises(PasswordRefused):
            await prove(anonymous, "ada", "wrong")


@pytest.mark.parametrize(
    "changes",
    [{"bind_password": Secret("wrong")}, {"bind_name": f"cn=nobody,{BASE}"}, {"bind_name": "no DN"},
     {"bind_password": Secret("")}],
)  # fmt: skip
async def test_a_reader_who_is_not_let_in_is_the_installations_fault(slapd: Slapd, changes: dict[str, Any]) -> None:
    """Not the person's: nobody is told a wrong password, and nothing is counted."""
    asked = directory(slapd, **changes)
    with pytest.raises(DirectoryUnreachable, match="bind to search"):
        await prove(asked, "ada")
    with pytest.raises(DirectoryUnreachable, match="bind to search"):
        await asked.reach()


@pytest.mark.parametrize("changes", [{"base": f"ou=missing,{BASE}"}, {"base": "no DN"}, {"filter": "(uid={name}"}])
async def test_settings_that_cannot_be_meant_are_no_verdict(slapd: Slapd, changes: dict[str, Any]) -> None:
    with pytest.raises(DirectoryUnreachable, match="search"):
        await prove(directory(slapd, **changes), "ada")


# ---------------------------------------------------------------- encryption


@pytest.mark.parametrize("how", ["StartTLS", "LDAPS"])
async def test_encrypted_with_a_certificate_that_fits(slapd: Slapd, how: str) -> None:
    changes: dict[str, Any] = {"starttls": True} if how == "StartTLS" else {"urls": (slapd.tls_url,)}
    asked = directory(slapd, ca_file=slapd.ca_file, **changes)
    assert (await prove(asked, "ada")).username == "ada"
    with pytest.raises(PasswordRefused):
        await prove(asked, "ada", "wrong")


BAD: dict[str, tuple[tuple[str, ...], bool, bool, str]] = {
    "other host name": (("other.example",), False, True, r"certificate refused \(other host name\)"),
    "unknown authority": (("localhost",), False, False, r"certificate refused \(self-signed\)"),
    "expired": (("localhost",), True, True, r"certificate refused \(expired\)"),
}


@pytest.mark.parametrize("how", ["StartTLS", "LDAPS"])
@pytest.mark.parametrize("fault", BAD)
async def test_a_certificate_that_does_not_fit_gets_no_password(tmp_path: Path, how: str, fault: str) -> None:
    names, expired, trusted, reason = BAD[fault]
    certificate = self_signed(tmp_path, *names, expired=expired)
    with Slapd(tmp_path / "d", certificate=certificate) as other:
        other.person("ada", PASSWORD)
        changes: dict[str, Any] = {"starttls": True} if how == "StartTLS" else {"urls": (other.tls_url,)}
        asked = directory(other, ca_file=other.ca_file if trusted else "", **changes)
        with pytest.raises(DirectoryUnreachable, match=reason):
            await prove(asked, "ada")


async def test_a_file_of_authorities_that_is_not_there_is_said(slapd: Slapd) -> None:
    with pytest.raises(DirectoryUnreachable, match="TLS: the file of authorities cannot be read"):
        await prove(directory(slapd, starttls=True, ca_file="/nowhere.pem"), "ada")


async def test_starttls_is_never_given_up() -> None:
    """A server, or somebody before it, that says no to StartTLS hears nothing more."""
    heard: list[bytes] = []

    def refuse(line: socket.socket) -> None:
        first = line.recv(4096)
        heard.append(first)
        number = first[4]
        # ExtendedResponse, protocolError (RFC 4511 section 4.12)
        line.sendall(bytes([0x30, 0x0C, 0x02, 0x01, number, 0x78, 0x07, 0x0A, 0x01, 0x02, 0x04, 0x00, 0x04, 0x00]))
        heard.append(line.recv(4096))

    with rude(refuse) as url:
        asked = LdapDirectory(
            Place((url,), BASE, FILTER, bind_name=READER, bind_password=Secret("canary"), starttls=True, timeout=3.0),
            SystemClock(),
        )
        with pytest.raises(DirectoryUnreachable, match="StartTLS"):
            await prove(asked, "ada")
    assert b"1.3.6.1.4.1.1466.20037" in heard[0]
    assert b"canary" not in b"".join(heard)


# ---------------------------------------------------------------- out of reach


@contextmanager
def rude(act: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does `act` with each connection; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stop = threading.Event()
    lines: list[socket.socket] = []

    def serve(line: socket.socket) -> None:
        try:
            act(line)
        except OSError:
            pass

    def run() -> None:
        while not stop.is_set():
            try:
                line, _ = listener.accept()
            except TimeoutError:
                continue
            lines.append(line)
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        for line in [*lines, listener]:
            line.close()


def _drip(line: socket.socket) -> None:
    """Send the beginning of an answer that never ends, one byte at a time."""
    line.recv(4096)
    line.sendall(b"\x30\x84\x00\x01\x00\x00")
    for _ in range(1000):
        line.sendall(b"\x04")
        time.sleep(0.05)


def _flood(line: socket.socket) -> None:
    line.recv(4096)
    line.sendall(b"\x30\x84\x7f\xff\xff\xff")
    for _ in range(10_000):
        line.sendall(bytes(1 << 16))


def _babble(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    line.recv(4096)
    line.sendall(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00" * 3 + b"\xff" * 100)


def _hang_up(line: socket.socket) -> None:
    line.recv(4096)
    line.close()


def _say_nothing(line: socket.socket) -> None:
    time.sleep(20)


@pytest.mark.parametrize("act", [_drip, _flood, _babble, _hang_up, _say_nothing], ids=lambda act: act.__name__)
async def test_whatever_a_server_does_a_call_ends_in_time(act: Callable[[socket.socket], None]) -> None:
    with rude(act) as url:
        plain = Place((url,), BASE, FILTER, timeout=0.5)
        for changed in (plain, replace(plain, starttls=True)):
            given = replace(changed, bind_name=READER, bind_password=Secret(READER_PASSWORD))
            began = time.monotonic()
            with pytest.raises(DirectoryUnreachable) as why:
                await prove(LdapDirectory(given, SystemClock()), "ada")
            assert time.monotonic() - began < 1.5
            assert READER_PASSWORD not in str(why.value)
            assert why.value.__cause__ is None
    assert MOST_BYTES < 1 << 20


@pytest.mark.parametrize("how", ["plain", "StartTLS", "LDAPS"])
async def test_stopped_and_frozen_servers_cost_their_time_and_no_more(tmp_path: Path, how: str) -> None:
    with Slapd(tmp_path / "d") as slapd:
        slapd.person("ada", PASSWORD)
        changes: dict[str, Any] = {
            "plain": {}, "StartTLS": {"starttls": True}, "LDAPS": {"urls": (slapd.tls_url,)},
        }[how]  # fmt: skip
        asked = directory(slapd, ca_file=slapd.ca_file, timeout=0.6, **changes)
        assert (await prove(directory(slapd, ca_file=slapd.ca_file, **changes), "ada")).username == "ada"
        slapd.freeze()
        began = time.monotonic()
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.create_task(beat())
        with pytest.raises(DirectoryUnreachable, match="no answer in time"):
            await prove(asked, "ada")
        beating.cancel()
        assert 0.5 < time.monotonic() - began < 1.6
        assert beats > 20, "the loop stood still meanwhile"
        slapd.thaw()
        assert (await prove(directory(slapd, ca_file=slapd.ca_file, **changes), "ada")).username == "ada"
        slapd.stop()
        began = time.monotonic()
        with pytest.raises(DirectoryUnreachable, match="connect"):
            await prove(asked, "ada")
        assert time.monotonic() - began < 0.5
        slapd.start()
        assert (await prove(directory(slapd, ca_file=slapd.ca_file, **changes), "ada")).username == "ada"


async def test_another_server_answers_for_one_that_is_down_or_silent(slapd: Slapd) -> None:
    with rude(_say_nothing) as silent:
        for first in (f"ldap://127.0.0.1:{free_port()}", silent):
            asked = directory(
                slapd, urls=(first, slapd.url), timeout=2.0, bind_name=READER, bind_password=Secret(READER_PASSWORD)
            )
            began = time.monotonic()
            assert (await prove(asked, "ada")).username == "ada"
            assert time.monotonic() - began < 2.0


async def test_more_calls_than_connections_wait_and_are_told_apart_from_a_dead_directory(slapd: Slapd) -> None:
    few = directory(slapd, connections=2)
    found = await asyncio.gather(*(prove(few, "ada") for _ in range(20)))
    assert {entry.username for entry in found} == {"ada"}
    with rude(_say_nothing) as silent:
        given = replace(place(slapd), urls=(silent,), connections=1, timeout=0.4)
        asked = LdapDirectory(given, SystemClock())
        outcomes = await asyncio.gather(*(prove(asked, "ada") for _ in range(3)), return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.count(DirectoryUnreachable) >= 1
    assert set(kinds) <= {DirectoryUnreachable, DirectoryBusy}
    # Whoever gives up leaves nothing behind.
    left = [thread for thread in threading.enumerate() if thread.name == "directory"]
    for thread in left:
        thread.join(2)
        assert not thread.is_alive()


async def test_a_caller_who_goes_away_leaves_the_slot_to_the_next(slapd: Slapd) -> None:
    asked = directory(slapd, connections=1)
    for _ in range(5):
        task = asyncio.create_task(prove(asked, "ada"))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await prove(asked, "ada")).username == "ada"
