"""A real directory on loopback: OpenLDAP's slapd with a few people, changed while it runs.

```python
with Slapd(folder) as slapd:
    ...                       # directory.urls = [slapd.url], directory.base = slapd.base, ...
    slapd.person("ada", password="ada's own password")
```
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kit.certificates import Certificate, self_signed

BASE = "dc=example,dc=com"
ROOT = f"cn=admin,{BASE}"
ROOT_PASSWORD = "the directory's own"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "only for reading"
START_SECONDS = 20.0

_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
sizelimit 500
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {folder}/data
maxsize 16777216
dbnosync
index objectClass,uid,mail,entryUUID eq
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by {readers} read by anonymous auth
"""


def missing() -> str:
    """Return what keeps slapd from being started here, empty for nothing."""
    return (
        ""
        if shutil.which("slapd", path=_PATH) and shutil.which("ldapmodify")
        else "slapd and ldap-utils are missing: run `make components`"
    )


_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Slapd:
    """slapd with a database of its own in `folder`.

    :param anonymous: whether anybody may search; else the reader alone may.
    :param certificate: to serve with; made for `localhost` and 127.0.0.1 where none is given.
    """

    folder: Path
    anonymous: bool = False
    certificate: Certificate | None = None
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers in the clear, and to StartTLS."""
        return f"ldap://localhost:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where it answers encrypted from the first byte."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ca_file(self) -> str:
        """The authority of its certificate."""
        assert self.certificate is not None
        return str(self.certificate.file)

    @property
    def base(self) -> str:
        """Where people are."""
        return f"ou=people,{BASE}"

    @property
    def groups(self) -> str:
        """Where groups are."""
        return f"ou=groups,{BASE}"

    def __enter__(self) -> Self:
        assert not missing(), missing()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "data").mkdir()
        if self.certificate is None:
            self.certificate = self_signed(self.folder, "localhost", "127.0.0.1")
        (self.folder / "slapd.conf").write_text(
            _CONFIG.format(
                folder=self.folder, base=BASE, root=ROOT, password=ROOT_PASSWORD, key=self.certificate.key,
                certificate=self.certificate.file, readers="*" if self.anonymous else f'dn.exact="{READER}"',
            )
        )  # fmt: skip
        self.start()
        self.add(BASE, objectClass=["dcObject", "organization"], dc="example", o="Example")
        self.add(self.base, objectClass="organizationalUnit", ou="people")
        self.add(self.groups, objectClass="organizationalUnit", ou="groups")
        self.add(
            READER, objectClass=["organizationalRole", "simpleSecurityObject"], cn="reader",
            userPassword=READER_PASSWORD,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------ the process

    def start(self) -> None:
        """Start it, and wait until it answers."""
        slapd = shutil.which("slapd", path=_PATH)
        assert slapd is not None
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        with (self.folder / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [slapd, "-f", self.folder / "slapd.conf", "-h", urls, "-d", "0"], stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.folder / "slapd.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("slapd did not start")

    def stop(self) -> None:
        """End it: connections are refused from then on."""
        if self.process is None:
            return
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def freeze(self) -> None:
        """Let it stand still: connections are taken by the system, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    # ------------------------------------------------------------ what is in it

    def person(self, uid: str, password: str = "", **attributes: Any) -> str:
        """Add somebody and return the DN. Attributes are those of inetOrgPerson; lists for several values."""
        dn = f"uid={_in_dn(uid)},{self.base}"
        given = {"cn": uid, "sn": "Example", **attributes}
        if password:
            given["userPassword"] = password
        self.add(dn, objectClass="inetOrgPerson", uid=uid, **given)
        return dn

    def group(self, name: str, *members: str) -> str:
        """Add a group of these DNs and return its own."""
        dn = f"cn={name},{self.groups}"
        self.add(dn, objectClass="groupOfNames", cn=name, member=list(members))
        return dn

    def add(self, dn: str, **attributes: Any) -> None:
        """Add an entry."""
        self.apply(_line("dn", dn) + "changetype: add\n" + _lines(attributes))

    def change(self, dn: str, **attributes: Any) -> None:
        """Replace attributes of an entry; None takes one away."""
        text = _line("dn", dn) + "changetype: modify\n"
        for name, value in attributes.items():
            text += f"replace: {name}\n" + _lines({name: value if value is not None else []}) + "-\n"
        self.apply(text)

    def rename(self, dn: str, uid: str) -> str:
        """Give somebody another uid, and with it another DN; return that."""
        self.apply(
            _line("dn", dn) + "changetype: modrdn\n" + _line("newrdn", f"uid={_in_dn(uid)}") + "deleteoldrdn: 1\n"
        )
        return f"uid={_in_dn(uid)},{self.base}"

    def remove(self, dn: str) -> None:
        """Take an entry away."""
        self.apply(_line("dn", dn) + "changetype: delete\n")

    def clear(self) -> None:
        """Take everybody away."""
        found = subprocess.run(
            ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ROOT,
             "-w", ROOT_PASSWORD, "-b", self.base, "-s", "one", "1.1"],
            capture_output=True, check=True, timeout=20, text=True,
        )  # fmt: skip
        self.apply("\n".join(f"{line}\nchangetype: delete\n" for line in found.stdout.splitlines() if line))

    def apply(self, ldif: str) -> None:
        """Apply changes as LDIF (RFC 2849)."""
        done = subprocess.run(
            ["ldapmodify", "-x", "-M", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ROOT, "-w", ROOT_PASSWORD],
            input=ldif.encode(), capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()


def _in_dn(text: str) -> str:
    """Return text as a value in a DN (RFC 4514): every byte in hex says nothing but itself."""
    return "".join(c if c.isalnum() and c.isascii() else "".join(f"\\{b:02x}" for b in c.encode()) for c in text)


def _lines(attributes: dict[str, Any]) -> str:
    text = ""
    for name, values in attributes.items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            text += _line(name, value)
    return text


def _line(name: str, value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return f"{name}:: {base64.b64encode(raw).decode()}\n"
