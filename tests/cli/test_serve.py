"""`dragoman serve` as a program: set-up, refusals, signals, workers, TLS."""

from __future__ import annotations

import datetime
import json
import os
import pty
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kit.command import dragoman, environment, gone, serving

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
JSON = ("--json",)


def sign_in(address: str, email: str = "ada@example.com", password: str = PASSWORD) -> httpx2.Response:
    return httpx2.post(f"{address}/user/login", json={"email": email, "password": password}, timeout=30)


def me(address: str, token: str) -> httpx2.Response:
    return httpx2.get(f"{address}/user/profile", headers={"Authorization": f"Bearer {token}"}, timeout=30)


def add_ada(data: Path) -> None:
    words = ("account", "add", "--data", str(data), "--email", "ada@example.com", "--verified", "--password-stdin")
    added = dragoman(*words, given=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr


def test_commands_take_effect_at_once_while_the_server_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as server:
        assert sign_in(server.address).status_code == 401
        add_ada(data)
        token = sign_in(server.address).json()["accessToken"]
        assert me(server.address, token).status_code == 200
        listed = json.loads(dragoman("session", "list", "ada", "--data", str(data), *JSON).stdout)
        assert [one["dialect"] for one in listed] == ["flashback"]
        ended = dragoman("--data", str(data), "session", "end", "ada@example.com", "--session", listed[0]["id"])
        assert ended.returncode == 0, ended.stderr
        assert me(server.address, token).status_code == 401
        again = sign_in(server.address).json()["accessToken"]
        assert dragoman("account", "set-status", "ada", "suspended", "--data", str(data)).returncode == 0
        assert me(server.address, again).status_code == 401
        assert server.stop() == 0


def test_the_first_administrator_is_written_for_its_owner_only_and_once(tmp_path: Path) -> None:
    data, note = tmp_path / "data", tmp_path / "data.keys.first-administrator"
    with serving(data) as server:
        said = server.log.read_text()
        assert str(note) in said
        facts = dict(re.findall(r"(\S+): +(\S+)", note.read_text()))
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        assert facts["password"] not in said
        signed_in = sign_in(server.address, "admin@localhost", facts["password"])
        assert signed_in.status_code == 200, signed_in.text
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.iterdir(), tmp_path / "data.keys")}
    assert modes.pop("data") == 0o700
    assert set(modes.values()) == {0o600}, modes
    note.unlink()
    with serving(data):
        assert not note.exists()
    shown = json.loads(dragoman("account", "show", "admin", "--data", str(data), *JSON).stdout)
    assert (shown["role"], shown["rank"]) == ("admin", 255)


def test_the_first_administrators_password_may_come_from_the_environment(tmp_path: Path) -> None:
    env = {"DRAGOMAN_ADMIN_PASSWORD": "the operator's own choice", "DRAGOMAN_ADMIN_EMAIL": "root@example.com"}
    with serving(tmp_path / "data", env=env) as server:
        assert sign_in(server.address, "root@example.com", "the operator's own choice").status_code == 200
        assert not (tmp_path / "data.keys.first-administrator").exists()
        assert "the operator's own choice" not in server.log.read_text()


def test_on_a_terminal_the_password_is_shown_once_and_kept_nowhere(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dragoman", "serve", "--data", str(tmp_path / "data"), "--port", "0"],
        env=environment(), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = ""
    try:
        while "answers at" not in seen:
            seen += os.read(ours, 4096).decode()
        address = re.search(r"http://[0-9.:]+", seen)
        password = re.search(r"shown only now: (\S+)", seen)
        assert address, seen
        assert password, seen
        assert sign_in(address[0], "admin@localhost", password[1]).status_code == 200
        assert not (tmp_path / "data.keys.first-administrator").exists()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        os.close(ours)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_plain_http_beyond_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    refused = dragoman("serve", "--data", str(tmp_path / "data"), "--host", host)
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "data").exists()


def test_plain_http_beyond_this_machine_may_be_insisted_on(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--host", "0.0.0.0", "--insecure") as server:
        port = server.address.rpartition(":")[2]
        assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    proxied = {"DRAGOMAN_SERVER_TRUSTED_PROXIES": "10.0.0.0/8"}
    with serving(tmp_path / "data", "--host", "0.0.0.0", env=proxied) as server:
        port = server.address.rpartition(":")[2]
        assert httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200


def test_the_test_switch_says_so_and_stays_with_its_database(tmp_path: Path) -> None:
    """Threat 50: on loopback, on a database that was made with it, and loudly at every start."""
    on = {"DRAGOMAN_DIALECTS_ROCKETCHAT_TEST_MODE": "true"}
    plain, born = tmp_path / "plain", tmp_path / "born"
    words = ("serve", "--port", "0", "--data")
    with serving(plain):
        pass
    refused = dragoman(*words, str(plain), env=on)
    assert refused.returncode == 1
    assert "dialects.rocketchat.test_mode: this database was made without it" in refused.stderr
    for _ in range(2):
        with serving(born, env=on) as server:
            assert httpx2.get(f"{server.address}/health").status_code == 200
        said = server.log.read_text()
        assert "TEST MODE" in said
        assert "test mode" in said
    refused = dragoman(*words, str(born))
    assert refused.returncode == 1
    assert "made in test mode" in refused.stderr
    refused = dragoman(*words, str(tmp_path / "new"), "--host", "0.0.0.0", "--insecure", env=on)
    assert refused.returncode == 1
    assert "server.host is '0.0.0.0', which others can reach" in refused.stderr
    assert not (tmp_path / "new").exists()
    found = json.loads(dragoman("doctor", "--data", str(born), *JSON, env=on).stdout)
    assert [f["level"] for f in found if f["setting"] == "dialects.rocketchat.test_mode"] == ["warning"]


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[server]\nport = "many"\nhots = "x"\n[storage]\nkey_ring = "data/ring"\ndata = "data"\n')
    refused = dragoman("serve", cwd=tmp_path, env={"DRAGOMAN_PASSWORDS_PASSES": "99"})
    assert refused.returncode == 1
    for name in ("server.port", "server.hots", "storage.key_ring", "passwords.passes"):
        assert name in refused.stderr, refused.stderr
    late = dragoman(
        "serve", "--host", "0.0.0.0", "--data", str(tmp_path / "d"), "--config", os.devnull,
        env={"DRAGOMAN_SERVER_TRUSTED_PROXIES": "everybody", "DRAGOMAN_SERVER_TLS_CERT": "", },
    )  # fmt: skip
    assert late.returncode == 1
    assert "server.trusted_proxies" in late.stderr


def test_a_taken_port_and_a_missing_key_ring_are_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        refused = dragoman("serve", "--data", str(data), "--port", port)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert port in refused.stderr
    assert dragoman("migrate", "--data", str(data)).returncode == 0
    add_ada(data)
    (tmp_path / "data.keys").rename(tmp_path / "elsewhere")
    refused = dragoman("serve", "--data", str(data), "--port", "0")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "data.keys is missing" in refused.stderr


def test_serving_never_imports_what_only_migrations_need(tmp_path: Path) -> None:
    with serving(tmp_path / "data", flags=("-X", "importtime")) as server:
        assert httpx2.get(f"{server.address}/ready").status_code == 200
        add_ada(tmp_path / "data")
        assert sign_in(server.address).status_code == 200
    imported = set(re.findall(r"\| +([\w.]+)$", server.log.read_text(), re.MULTILINE))
    assert "dragoman.http.server" in imported
    assert not {name for name in imported if name.partition(".")[0] in {"sqlalchemy", "alembic", "asyncpg", "pytest"}}


def test_workers_share_the_socket_are_replaced_and_end_with_their_parent(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as server:
        parent = server.process.pid
        first = workers_of(parent)
        assert len(first) == 2
        add_ada(tmp_path / "data")
        token = sign_in(server.address).json()["accessToken"]
        assert {me(server.address, token).status_code for _ in range(20)} == {200}
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(workers_of(parent)) == 2 and first[0] not in workers_of(parent))
        assert me(server.address, token).status_code == 200
        second = workers_of(parent)
        assert server.stop() == 0
        assert all(gone(pid) for pid in second)
    with serving(tmp_path / "data", "--workers", "2") as server:
        orphans = workers_of(server.process.pid)
        server.stop(signal.SIGKILL)
        assert all(gone(pid) for pid in orphans)


def workers_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def until(done: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    certificate(tmp_path)
    data = tmp_path / "data"
    assert dragoman("migrate", "--data", str(data)).returncode == 0
    refused = dragoman(
        "serve", "--data", str(data), "--port", "0", "--workers", "2", "--tls-cert", str(tmp_path / "key.pem"),
        "--tls-key", str(tmp_path / "key.pem"),
    )  # fmt: skip
    assert refused.returncode == 1
    assert "server.tls_cert" in refused.stderr


def test_tls(tmp_path: Path) -> None:
    certificate(tmp_path)
    words = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with serving(tmp_path / "data", *words) as server:
        assert server.address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        assert httpx2.get(f"{server.address}/health", verify=trusting).json()["status"] == "ok"


def certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
