"""`dragoman doctor`: each finding appears where it should and goes with its cause."""

from __future__ import annotations

import json
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.conftest import Desk
from dragoman.cli.doctor.configuration import of_configuration, postgres_way
from dragoman.core.health import KEPT
from dragoman.settings import Settings, load
from dragoman.storage.schema import RETENTION
from kit.command import dragoman, serving

pytestmark = pytest.mark.slow

DAY = 24 * 60 * 60_000
ADA = ("--email", "ada@example.com", "--username", "ada")
SMTP = {
    "DRAGOMAN_MAIL_TRANSPORT": "smtp", "DRAGOMAN_MAIL_SENDER": "id@example.com",
    "DRAGOMAN_SERVER_PUBLIC_URL": "https://id.example.com", "DRAGOMAN_MAIL_HOST": "mail.example.com",
}  # fmt: skip


def told(desk: Desk, *words: str) -> list[tuple[str, str, str]]:
    """Return level, setting and text of every finding."""
    result = desk.run("doctor", "--json", *words)
    found = json.loads(result.stdout)
    assert all(one.keys() == {"level", "setting", "text", "remedy"} for one in found)
    assert all(one["remedy"] for one in found)
    assert result.exit_code == (1 if any(one["level"] == "error" for one in found) else 0)
    return [(one["level"], one["setting"], one["text"]) for one in found]


def says(desk: Desk, setting: str, text: str, *words: str) -> str | None:
    """Return the level of the one finding on this setting with these words, None without one."""
    levels = [level for level, about, said in told(desk, *words) if about == setting and text in said]
    assert len(levels) <= 1, levels
    return levels[0] if levels else None


def write(desk: Desk, sql: str, *values: Any) -> None:
    """Change what is stored as no command does."""
    with sqlite3.connect(desk.data / "dragoman.db") as db:
        db.execute("pragma foreign_keys = on")
        db.execute(sql, values)
    db.close()


def now() -> int:
    import time

    return time.time_ns() // 1_000_000


# ---------------------------------------------------------------- mail

OF_SETTINGS: list[tuple[dict[str, str], str, str, str, dict[str, str]]] = [
    # bad settings; level, setting and words of the finding; what makes it go
    ({}, "warning", "mail.transport", "no mail is sent", SMTP),
    ({"DRAGOMAN_MAIL_TRANSPORT": "console"}, "warning", "mail.transport", "printed", SMTP),
    (SMTP | {"DRAGOMAN_MAIL_SECURITY": "none"}, "warning", "mail.security", "in clear", SMTP),
    (SMTP | {"DRAGOMAN_MAIL_SECURITY": "none", "DRAGOMAN_MAIL_HOST": "localhost"}, "note", "mail.security", "in clear",
     SMTP),
    ({"DRAGOMAN_MAIL_TRANSPORT": "console"}, "warning", "server.public_url", "where this machine listens", SMTP),
    (SMTP | {"DRAGOMAN_SERVER_PUBLIC_URL": "http://id.example.com"}, "warning", "server.public_url", "in clear",
     SMTP | {"DRAGOMAN_SERVER_PUBLIC_URL": "http://127.0.0.1:8080"}),
    (SMTP | {"DRAGOMAN_SERVER_PUBLIC_URL": ""}, "error", "server.public_url", "lead nowhere", SMTP),
    (SMTP | {"DRAGOMAN_MAIL_SENDER": ""}, "error", "mail.sender", "nobody is named", SMTP),
    (SMTP, "note", "mail.host", "not asked", {}),
    ({"DRAGOMAN_MAIL_NOTICES_OFF": "new_network,chain_stolen"}, "note", "mail.notices_off",
     "new_network, chain_stolen", {}),
    ({"DRAGOMAN_MAIL_NOTICES_OFF": "nonsense"}, "error", "mail.notices_off", "found 'nonsense'", {}),
    (SMTP, "note", "accounts.email_codes", "mailbox", SMTP | {"DRAGOMAN_ACCOUNTS_EMAIL_CODES": "false"}),
    ({"DRAGOMAN_ACCOUNTS_PASSWORD_RESET": "false"}, "note", "accounts.password_reset", "cannot be reset", {}),
    ({}, "note", "accounts.conceal", "is told that an address", {"DRAGOMAN_ACCOUNTS_SIGN_UP": "disabled"}),
    ({"DRAGOMAN_ACCOUNTS_REGISTRATION": "public"}, "note", "accounts.registration", "anybody may join",
     {"DRAGOMAN_ACCOUNTS_REGISTRATION": "disabled"}),
    ({}, "note", "accounts.conceal", "tells at sign-in", {"DRAGOMAN_ACCOUNTS_CONCEAL": "true"}),
    (SMTP, "note", "accounts.conceal", "confirmation mail", SMTP | {"DRAGOMAN_ACCOUNTS_CONCEAL": "true"}),
    ({}, "note", "dialects.rocketchat.digest", "digests", {"DRAGOMAN_DIALECTS_ROCKETCHAT_DIGEST": "never"}),
    ({}, "note", "dialects.rocketchat", "twice", {"DRAGOMAN_DIALECTS_ROCKETCHAT_ENABLED": "false"}),
    ({"DRAGOMAN_PASSWORDS_PASSES": "1"}, "warning", "passwords.memory_kib, passwords.passes", "cheaper",
     {"DRAGOMAN_PASSWORDS_PASSES": "2", "DRAGOMAN_PASSWORDS_MEMORY_KIB": "19456"}),
    ({}, "note", "server.tls_cert", "plain HTTP", {}),
    ({"DRAGOMAN_SERVER_PROT": "1"}, "warning", "DRAGOMAN_SERVER_PROT", "no setting", {}),
    ({"DRAGOMAN_SERVER_HOST": "0.0.0.0"}, "error", "server.host", "without TLS", {}),
    ({"DRAGOMAN_SERVER_PORT": "99999"}, "error", "server.port (from DRAGOMAN_SERVER_PORT)", "99999", {}),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "level", "setting", "text", "good"), OF_SETTINGS, ids=lambda v: str(v)[:30])
def test_what_the_settings_tell(
    desk: Desk, bad: dict[str, str], level: str, setting: str, text: str, good: dict[str, str]
) -> None:
    if setting == "server.tls_cert":
        good = _certificate(desk)
    usual = dict(desk.env)
    desk.env.update(bad)
    assert says(desk, setting, text) == level
    desk.env.clear()
    desk.env.update(usual | good)
    assert says(desk, setting, text) is None


def test_what_was_changed_while_the_server_runs_counts(desk: Desk) -> None:
    desk.add(*ADA)
    assert says(desk, "accounts.conceal", "tells at sign-in") == "note"
    desk.done("config", "set", "accounts.conceal", "true")
    assert says(desk, "accounts.conceal", "tells at sign-in") is None
    desk.done("config", "set", "accounts.password_reset", "false")
    assert says(desk, "accounts.password_reset", "cannot be reset") == "note"
    desk.done("config", "unset", "accounts.password_reset")
    assert says(desk, "accounts.password_reset", "cannot be reset") is None


def _certificate(desk: Desk) -> dict[str, str]:
    key, certificate = desk.data.parent / "tls.key", desk.data.parent / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return {"DRAGOMAN_SERVER_TLS_CERT": str(certificate), "DRAGOMAN_SERVER_TLS_KEY": str(key)}


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a free port and give each connection to `answer`; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(10)
                try:
                    answer(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        thread.join()
        listener.close()


def _greet(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example.com ESMTP\r\n")
    connection.recv(100)


def _turn_away(connection: socket.socket) -> None:
    connection.sendall(b"554 go away\x1b[2J\r\n")


def _say_nothing(connection: socket.socket) -> None:
    connection.recv(100)


@pytest.mark.parametrize(
    ("answer", "said"), [(_greet, None), (_turn_away, "554 go away"), (_say_nothing, "within 3 s")]
)
def test_the_mail_server_is_asked_online_only(
    desk: Desk, answer: Callable[[socket.socket], None], said: str | None
) -> None:
    with listening(answer) as port:
        desk.env |= SMTP | {"DRAGOMAN_MAIL_HOST": "127.0.0.1", "DRAGOMAN_MAIL_PORT": str(port)}
        assert says(desk, "mail.host", "not asked") == "note"
        assert says(desk, "mail.host", "not asked", "--online") is None
        level = says(desk, "mail.host", said or "the mail server", "--online")
        assert level == ("error" if said else None)
        assert "\x1b" not in desk.run("doctor", "--online").stdout


def test_a_mail_server_that_is_not_there_is_an_error(desk: Desk) -> None:
    with listening(_greet) as port:
        pass
    desk.env |= SMTP | {"DRAGOMAN_MAIL_HOST": "127.0.0.1", "DRAGOMAN_MAIL_PORT": str(port)}
    assert says(desk, "mail.host", "does not answer", "--online") == "error"


def test_a_mail_server_behind_tls_must_be_who_it_says(desk: Desk) -> None:
    files = _certificate(desk)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["DRAGOMAN_SERVER_TLS_CERT"], files["DRAGOMAN_SERVER_TLS_KEY"])

    def greet(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as safe:
            _greet(safe)

    with listening(greet) as port:
        desk.env |= SMTP | {
            "DRAGOMAN_MAIL_HOST": "localhost", "DRAGOMAN_MAIL_PORT": str(port), "DRAGOMAN_MAIL_SECURITY": "tls",
        }  # fmt: skip
        assert says(desk, "mail.host", "certificate", "--online") == "error"
        desk.env["DRAGOMAN_MAIL_CA_FILE"] = files["DRAGOMAN_SERVER_TLS_CERT"]
        assert says(desk, "mail.host", "the mail server", "--online") is None


def test_letters_that_are_dead_or_late(desk: Desk) -> None:
    desk.add(*ADA)
    insert = (
        "insert into outbox(id, channel, kind, sealed, created_at, due_at, dead_at)"
        " values (?, 'mail', 'x', x'00', ?, ?, ?)"
    )
    written = now() - 11 * 60_000
    old, young = written.to_bytes(6, "big") + bytes(10), now().to_bytes(6, "big") + bytes(10)
    write(desk, insert, young, now(), now(), None)
    assert says(desk, "mail", "letters") is None
    write(desk, insert, old, written, written, None)
    assert says(desk, "mail", "1 letters have waited") == "warning"
    write(desk, "update outbox set due_at = null, dead_at = ? where id = ?", now(), old)
    assert says(desk, "mail", "have waited") is None
    assert says(desk, "mail", "1 letters could not be delivered") == "warning"
    write(desk, "delete from outbox where id = ?", old)
    assert says(desk, "mail", "letters") is None


# ---------------------------------------------------------------- people and passwords


def test_administrators(desk: Desk) -> None:
    assert says(desk, "accounts", "nobody is an active administrator") == "warning"
    desk.add(*ADA, "--role", "admin")
    assert says(desk, "accounts", "nobody is") is None
    assert says(desk, "accounts", "ada is the only active administrator") == "note"
    assert says(desk, "accounts", "without a second factor: ada") == "warning"
    desk.done("account", "totp", "enable", "ada")
    assert says(desk, "accounts", "without a second factor") is None
    desk.add("--email", "bob@example.com", "--role", "admin")
    assert says(desk, "accounts", "only active") is None
    assert says(desk, "accounts", "without a second factor: bob") == "warning"
    desk.done("account", "suspend", "bob")
    assert says(desk, "accounts", "without a second factor") is None
    assert says(desk, "accounts", "ada is the only active administrator") == "note"


def test_many_administrators_are_named_up_to_ten(desk: Desk) -> None:
    desk.add(*ADA)
    account = (
        "insert into account(id, organization, kind, status, administrator, first_name, last_name, created_at,"
        " updated_at) select ?, organization, kind, status, 1, '', '', 5, 5 from account limit 1"
    )
    name = (
        "insert into identifier(kind, folded, shown, state, created_at, account)"
        " values ('username', ?, ?, 'vouched', 5, ?)"
    )
    for n in range(12):
        id = bytes(15) + bytes([n])
        write(desk, account, id)
        write(desk, name, f"a{n}", f"a{n}", id)
    assert says(desk, "accounts", "a9 and 2 more") == "warning"


def test_passwords_that_nobody_can_use_or_somebody_else_set(desk: Desk) -> None:
    desk.add(*ADA)
    assert says(desk, "accounts", "passwords") is None
    desk.done("account", "set-password", "ada", "--generate-password", "--initial")
    assert says(desk, "accounts", "1 passwords were set by somebody else") == "note"
    desk.done("account", "set-password", "ada", "--generate-password")
    assert says(desk, "accounts", "set by somebody else") is None
    write(desk, "update credential set scheme = 'bcrypt:cost=20'")
    assert says(desk, "accounts", "asks for more memory or time") == "warning"
    assert says(desk, "accounts", "1 bcrypt") == "note"
    write(desk, "update credential set scheme = 'bcrypt:cost=12'")
    assert says(desk, "accounts", "asks for more") is None
    desk.done("account", "set-password", "ada", "--generate-password")
    assert says(desk, "accounts", "1 bcrypt") is None


def test_addresses_that_nobody_proved(desk: Desk) -> None:
    desk.add(*ADA)
    assert says(desk, "accounts", "nobody proved") is None
    write(desk, "update identifier set state = 'claimed' where kind = 'email'")
    assert says(desk, "accounts", "1 accounts have only addresses that nobody proved") == "note"
    write(desk, "insert into identifier(kind, folded, shown, state, created_at, account)"
                " select 'email', 'b@example.com', 'b@example.com', 'vouched', 5, id from account")  # fmt: skip
    assert says(desk, "accounts", "nobody proved") is None


# ---------------------------------------------------------------- upkeep

BEHIND = {
    "attempt": "insert into attempt(handle_hash, account, door, methods, auth_epoch, version, wish, created_at,"
    " ends_at) select x'00', id, 'probe', '', 0, 1, '{}', :at, :at from account",
    "ticket": "insert into ticket(id, hash, purpose, account, about, created_at, ends_at)"
    " select x'00', x'00', 'reset', id, '', :at, :at from account",
    "code": "insert into code(account, purpose, door, mac, about, created_at, ends_at)"
    " select id, 'reset', '', x'00', '', :at, :at from account",
    "outbox": "insert into outbox(id, channel, kind, sealed, created_at, dead_at)"
    " values (x'00', 'mail', '', x'00', :at, :at)",
    "session": "insert into session(id, account, organization, door, kind, token_use, created_at, seen_at, address,"
    " user_agent, methods, proved_at, ended_at) select x'00', id, id, 'probe', 'client', 'x', :at, :at, '', '', '',"
    " :at, :at from account",
    "known_network": "insert into known_network(account, network, last_at) select id, '', :at from account",
    "mark": "insert into mark(hash, account, created_at, last_at) select x'00', id, :at, :at from account",
    "event": "insert into event(at, kind, address, detail) values (:at, 'signed_out', 'x', '{}')",
    "account": "insert into account(id, organization, kind, status, first_name, last_name, created_at, updated_at,"
    " deleted_at) select x'00', organization, 'person', 'deleted', '', '', :at, :at, :at from account limit 1",
}  # fmt: skip
"""For each table, a row that was due at `:at`."""


@pytest.mark.parametrize("table", sorted(KEPT))
def test_retention_that_is_behind(desk: Desk, table: str) -> None:
    assert RETENTION[table] == KEPT[table]
    desk.add(*ADA)
    at = now() - KEPT[table] - DAY
    write(desk, BEHIND[table], at + 60_000)
    assert says(desk, "storage", "kept longer than promised") is None
    column = {"event": "address = 'x'", "known_network": "network = ''", "code": "mac = x'00'"}.get(table, "")
    place = column or {"attempt": "handle_hash = x'00'", "mark": "hash = x'00'"}.get(table, "id = x'00'")
    write(desk, f"delete from {table} where {place}")
    write(desk, BEHIND[table], at - 60_000)
    assert says(desk, "storage", f"longer than promised in: {table}") == "warning"
    write(desk, f"delete from {table} where {place}")
    assert says(desk, "storage", "kept longer") is None


def test_signing_keys_that_are_old(desk: Desk) -> None:
    desk.add(*ADA)
    assert says(desk, "keys", "older") is None
    write(desk, "update signing_key set created_at = created_at - ? where use = 'flashback_access'", 181 * DAY)
    assert says(desk, "keys", "older than 180 days: flashback_access") == "note"
    desk.done("keys", "rotate", "--use", "flashback_access")
    assert says(desk, "keys", "older") is None


def test_a_clock_that_is_off(desk: Desk) -> None:
    desk.add(*ADA)
    assert says(desk, "clock", "ahead") is None
    write(desk, "update event set at = at + 3600000")
    assert says(desk, "clock", "ahead of this machine's clock") == "error"
    write(desk, "update event set at = at - 3600000")
    assert says(desk, "clock", "ahead") is None


def test_files_and_folders_that_others_reach(desk: Desk) -> None:
    desk.add(*ADA)
    home = desk.data.parent
    for path, mode, setting, level in (
        (desk.data, 0o755, "storage.data", "warning"), (desk.data / "dragoman.db", 0o640, "storage.data", "warning"),
        (home, 0o770, "storage.key_ring", "warning"),
    ):  # fmt: skip
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
        assert says(desk, setting, str(path)) == level
        path.chmod(before)
        assert says(desk, setting, str(path)) is None
    (home / "data.keys").chmod(0o644)
    assert ("warning", "storage.key_ring") in {(level, setting) for level, setting, _ in told(desk)}
    (home / "data.keys").chmod(0o600)
    assert says(desk, "storage.key_ring", "mode") is None
    home.chmod(0o1777)
    assert says(desk, "storage.key_ring", "folder") is None, "where only owners replace their own, as in /tmp"
    home.chmod(0o700)


def test_the_first_administrators_note(desk: Desk) -> None:
    desk.add(*ADA)
    note = desk.data.parent / "data.keys.first-administrator"
    note.write_text("secret")
    assert says(desk, str(note), "in clear") == "warning"
    note.unlink()
    assert says(desk, str(note), "in clear") is None


def test_an_old_sqlite_is_a_note(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    assert says(desk, "storage", "older than 3.51.3") == "note"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert says(desk, "storage", "older than") is None


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("postgresql://u:hush@db.example.com/x", True),
        ("postgresql://u:hush@db.example.com:5432/x?sslmode=prefer", True),
        ("postgresql://u:hush@db.example.com/x?sslmode=require", False),
        ("postgresql://u:hush@db.example.com/x?sslmode=verify-full", False),
        ("postgresql://u:hush@127.0.0.1:5432/x", False),
        ("postgresql://u:hush@localhost/x", False),
        ("postgresql://u:hush@[::1]:5432/x", False),
        ("postgresql://u:hush@/x?host=/run/postgresql", False),
        ("postgresql:///x", False),
        ("postgresql://u:hush@[2001:db8::1]/x", True),
        ("postgresql://u:hush@localhost:1,db.example.com:2/x", True),
    ],
)
def test_a_way_to_postgresql_that_may_be_in_clear(address: str, warned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    settings: Settings = load(None, {}, {"storage.postgres": address})
    found = [one for one in of_configuration(settings) if one.setting == "storage.postgres"]
    assert bool(found) == warned, postgres_way(address)
    assert "hush" not in str(found)


def test_doctor_reads_only_and_ends_quickly(desk: Desk, tmp_path: Path) -> None:
    desk.add(*ADA)
    told(desk)
    before = [(row[0], row[1]) for row in _dump(desk)]
    told(desk)
    assert [(row[0], row[1]) for row in _dump(desk)] == before
    done = dragoman("doctor", "--data", str(desk.data), cwd=tmp_path)
    assert done.returncode == 0
    assert "remedy:" in done.stdout


def _dump(desk: Desk) -> list[tuple[str, int]]:
    with sqlite3.connect(desk.data / "dragoman.db") as db:
        lines = list(db.iterdump())
    db.close()
    return [(line, len(line)) for line in lines]


def test_a_proxy_that_is_not_configured(desk: Desk) -> None:
    """What a serving process saw of it is named with the setting to change, until that is changed (threat 34)."""
    setting, text = "server.trusted_proxies", "127.0.0.1 forwards for others (X-Real-IP) and is not trusted"
    with serving(desk.data) as server:
        for _ in range(3):
            httpx2.get(f"{server.address}/health", headers={"X-Real-IP": "192.0.2.1"})
    assert server.log.read_text().count("client addresses are not known") == 1
    assert says(desk, setting, text) == "warning"
    assert 'set server.trusted_proxies = ["127.0.0.1"] if it is your proxy' in desk.run("doctor").output
    desk.env["DRAGOMAN_SERVER_TRUSTED_PROXIES"] = "127.0.0.1"
    assert says(desk, setting, text) is None
    with serving(desk.data, env={"DRAGOMAN_SERVER_TRUSTED_PROXIES": "127.0.0.1"}) as server:
        httpx2.get(f"{server.address}/health", headers={"X-Real-IP": "192.0.2.1"})
    assert says(desk, "server.forwarded_header", "127.0.0.1 says in X-Real-IP for whom it asks") == "warning"


def test_what_was_seen_long_ago_is_not_told(desk: Desk) -> None:
    facts = {"header": "Forwarded", "peer": "10.0.0.7", "configured": "x-forwarded-for"}
    for days, level in ((6, "warning"), (8, None)):
        body = json.dumps({"proxy:proxy": {"at": now() - days * DAY, "facts": facts}})
        write(
            desk, "insert or replace into document(owner, name, body, version, updated_at) values (x'', ?, ?, 1, 0)",
            "observed", body,
        )  # fmt: skip
        assert says(desk, "server.trusted_proxies", "10.0.0.7 forwards for others (Forwarded)") == level
