"""One exchange with an LDAP server: connect, search, bind, in a thread and within one deadline (RFC 4511).

Reasons name the step and the result code. What a server says in words stays here, and so do names and passwords.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from dragoman.adapters.directory.place import Attributes, Place, Scope
from dragoman.core.ports import DirectoryFailed, DirectoryUnreachable, Entry, NoSuchEntry, PasswordRefused
from dragoman.model import Secret

MOST_BYTES = 1 << 18
"""Of all answers of one exchange: two entries and a little."""
MOST_EMAILS = 10
MOST_ID_BYTES = 128
_SCOPES = {"subtree": ldap3.SUBTREE, "one": ldap3.LEVEL, "base": ldap3.BASE}
_SUCCESS, _SIZE_LIMIT, _REFERRAL = 0, 4, 10
_NO = frozenset({16, 19, 32, 34, 48, 49, 50, 53})
"""Results of a bind that judge the person: wrong, locked, expired, not allowed (RFC 4511, appendix A)."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@ ")


def escaped(text: str) -> str:
    """Return text as a value in a filter (RFC 4515 section 3): whatever could mean anything is written in hex."""
    return escaped_bytes(text.encode("utf-8", "surrogatepass"))


def escaped_bytes(value: bytes) -> str:
    """Return raw bytes as a value in a filter."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in value)


def context(place: Place) -> ssl.SSLContext | None:
    """Return how certificates are checked; reads files. Raises DirectoryUnreachable."""
    if not place.starttls and not any(url.lower().startswith("ldaps:") for url in place.urls):
        return None
    try:
        return ssl.create_default_context(cafile=place.ca_file or None)
    except OSError:
        raise DirectoryUnreachable("TLS: the file of authorities cannot be read") from None


class Exchange:
    """One exchange, used by one thread. `deadline` is on the clock that `monotonic` reads."""

    def __init__(
        self, place: Place, tls: ssl.SSLContext | None, monotonic: Callable[[], float], deadline: float
    ) -> None:
        self._place = place
        self._tls = tls
        self._monotonic = monotonic
        self._deadline = deadline
        self._connection: ldap3.Connection | None = None
        self._step = "connect"

    # ------------------------------------------------------------ what is asked

    def prove(self, name: str, password: Secret, id: str) -> Entry:
        """Find the one entry that is meant and bind as it. Raises as `Directory.prove` does."""
        with self._told():
            try:
                self._open()
                found, dn = self._meant(name, id)
                self._demand_group(found, dn)
                self._bind_as(found, dn, password)
            finally:
                self._close()
        return found

    def find(self, name: str) -> Entry:
        """Find the one entry of a name, whoever may sign in. Raises as `Directory.find` does."""
        with self._told():
            try:
                self._open()
                return self._meant(name, "")[0]
            finally:
                self._close()

    def reach(self) -> None:
        """Connect and sign in to search. Raises DirectoryUnreachable."""
        with self._told():
            try:
                self._open()
            finally:
                self._close()

    # ------------------------------------------------------------ finding

    def _meant(self, name: str, id: str) -> tuple[Entry, str]:
        """Return the entry of `id` while it bears the name, else the entry of the name, else that of `id` after all."""
        known = None
        if id:
            same = f"({self._place.attributes.id}={escaped_bytes(_unhex(id))})"
            known = self._one(f"(&{self._filter('*')}{same})")
        if known is not None and (not name or _bears(known[0], name)):
            return known
        named = self._one(self._filter(escaped(name))) if name else None
        if named is None and known is None:
            raise NoSuchEntry("search: not exactly one entry")
        return named or cast("tuple[Entry, str]", known)

    def _filter(self, value: str) -> str:
        return self._place.filter.replace("{name}", value)

    def _one(self, filter: str) -> tuple[Entry, str] | None:
        """Return the one entry that a search finds; None for none, several, or one that lacks what it needs."""
        wanted = [name for name in _values(self._place.attributes) if name]
        found = self._search("search", self._place.base, filter, self._place.scope, wanted)
        if len(found) != 1:
            return None
        dn = found[0]["dn"]
        entry = _entry(found[0]["raw_attributes"], self._place.attributes)
        return None if entry is None or not dn else (entry, dn)

    def _demand_group(self, entry: Entry, dn: str) -> None:
        place = self._place
        if not place.group_filter:
            return
        filter = place.group_filter.replace("{dn}", escaped(dn)).replace("{name}", escaped(entry.username))
        if not self._search("group search", place.group_base, filter, "subtree", ["1.1"]):
            raise NoSuchEntry("group search: not in the group")

    def _search(self, step: str, base: str, filter: str, scope: Scope, wanted: Sequence[str]) -> list[dict[str, Any]]:
        self._step = step
        connection = self._connected()
        connection.search(
            base, filter, search_scope=_SCOPES[scope], dereference_aliases=ldap3.DEREF_NEVER, attributes=list(wanted),
            size_limit=2, time_limit=max(1, int(self._left())),
        )  # fmt: skip
        code = _code(connection)
        if code not in (_SUCCESS, _SIZE_LIMIT):
            raise DirectoryUnreachable(f"{step}: {'referral' if code == _REFERRAL else code}")
        # References to other servers come between the entries; they are no entries and are not followed.
        entries = [one for one in connection.response or [] if one["type"] == "searchResEntry"]
        if code == _SIZE_LIMIT and len(entries) == 1 and step == "search":
            raise NoSuchEntry("search: more than the server shows")
        return entries

    # ------------------------------------------------------------ the connection

    def _open(self) -> None:
        """Connect to the first server that answers, encrypt, and sign in to search."""
        urls, reason = self._place.urls, DirectoryUnreachable("connect: no server is named")
        for number, url in enumerate(urls):
            try:
                self._connect(url, self._left() / (len(urls) - number))
                return
            except (LDAPException, OSError, DirectoryUnreachable) as why:
                reason = why if isinstance(why, DirectoryUnreachable) else self._fault(why)
                self._close()
        raise reason

    def _connect(self, url: str, patience: float) -> None:
        parts, place = urlsplit(url), self._place
        deadline = min(self._deadline, self._monotonic() + patience)
        self._step = "connect"
        tls = _Checked(self._tls, parts.hostname or "") if self._tls is not None else None
        server = ldap3.Server(
            parts.hostname or "", port=parts.port, use_ssl=parts.scheme.lower() == "ldaps", tls=tls,
            get_info=ldap3.NONE, connect_timeout=max(0.01, patience), allowed_referral_hosts=[],
        )  # fmt: skip
        # Names are not checked: what is asked for stands in the settings, and the server's answer is not believed.
        connection = ldap3.Connection(
            server, client_strategy=ldap3.SYNC, auto_bind=ldap3.AUTO_BIND_NONE, auto_referrals=False, read_only=True,
            check_names=False, auto_range=False, return_empty_attributes=False, raise_exceptions=False,
            collect_usage=False, use_referral_cache=False,
        )  # fmt: skip
        self._connection = connection
        connection.open(read_server_info=False)
        connection.socket = cast("Any", _Metered(connection.socket, self._monotonic, deadline))
        if place.starttls:
            self._step = "StartTLS"
            connection.start_tls(read_server_info=False)
            connection.socket = cast("Any", _Metered(connection.socket, self._monotonic, deadline))
        if place.bind_name:
            self._step = "bind to search"
            code = self._bind(connection, place.bind_name, place.bind_password)
            if code != _SUCCESS:
                raise DirectoryUnreachable(f"bind to search: {code}")
        connection.socket.deadline = self._deadline

    def _bind_as(self, entry: Entry, dn: str, password: Secret) -> None:
        self._step = "bind"
        code = self._bind(self._connected(), dn, password)
        if code in _NO or code == _REFERRAL:
            raise PasswordRefused(f"bind: {code}", entry.id)
        if code != _SUCCESS:
            raise DirectoryUnreachable(f"bind: {code}")

    def _bind(self, connection: ldap3.Connection, name: str, password: Secret) -> int:
        # As bytes, or the library prepares it (RFC 4013) and another password is sent than was typed.
        secret = password.reveal().encode()
        if not name or not secret:
            return 49  # a server would take it for nobody in particular, and say yes (RFC 4513 section 5.1.2)
        connection.rebind(user=name, password=secret, authentication=ldap3.SIMPLE, read_server_info=False)
        connection.password = None
        return _code(connection)

    def _connected(self) -> ldap3.Connection:
        if self._connection is None:
            raise DirectoryUnreachable(f"{self._step}: connection lost")
        return self._connection

    def _left(self) -> float:
        return max(0.01, self._deadline - self._monotonic())

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.unbind()
            except (LDAPException, OSError):
                pass
            if (line := connection.socket) is not None:
                line.close()

    # ------------------------------------------------------------ what goes wrong

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever goes wrong into a reason that names the step. `from None` keeps names out of tracebacks."""
        try:
            yield
        except DirectoryFailed:
            raise
        except (LDAPException, OSError) as why:
            raise self._fault(why) from None
        except Exception:  # an answer that is no LDAP may break the library anywhere
            raise DirectoryUnreachable(f"{self._step}: not LDAP") from None

    def _fault(self, why: BaseException) -> DirectoryUnreachable:
        tls = self._tls
        if tls is not None and (found := _certificate_fault(why)):
            return DirectoryUnreachable(f"{self._step}: {found}")
        if self._monotonic() >= self._deadline or "timed out" in str(why):
            return DirectoryUnreachable(f"{self._step}: no answer in time")
        return DirectoryUnreachable(f"{self._step}: {'refused' if 'refused' in str(why).lower() else 'failed'}")


class _Checked(ldap3.Tls):  # type: ignore[misc]
    """TLS as Python checks it: authority and host name, by the context made once."""

    def __init__(self, made: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._made = made
        self._host = host

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """Encrypt the connection, with the time that is left to it for shaking hands."""
        line = connection.socket
        if isinstance(line, _Metered):
            line.hurry()
            line = line.line
        # Else each of the few small messages waits 40 ms for the last one to be acknowledged.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket = self._made.wrap_socket(line, server_hostname=self._host, do_handshake_on_connect=True)


class _Metered:
    """A socket on which time and bytes run out, whatever the other side sends and however slowly."""

    def __init__(self, line: socket.socket, monotonic: Callable[[], float], deadline: float) -> None:
        self.line = line
        self.deadline = deadline
        self._monotonic = monotonic
        self._bytes = MOST_BYTES

    def hurry(self) -> None:
        """Let the next step take no longer than there is time."""
        left = self.deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.line.settimeout(left)

    def recv(self, size: int) -> bytes:
        """Receive within time and measure."""
        self.hurry()
        received = self.line.recv(size)
        self._bytes -= len(received)
        if self._bytes < 0:
            raise OSError("more than an answer can be")
        return received

    def sendall(self, data: bytes) -> None:
        """Send within time."""
        self.hurry()
        self.line.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)


def _code(connection: ldap3.Connection) -> int:
    result = connection.result
    return int(result["result"]) if isinstance(result, dict) and "result" in result else -1


def _unhex(id: str) -> bytes:
    try:
        return bytes.fromhex(id)
    except ValueError:
        return b""


def _values(attributes: Attributes) -> tuple[str, ...]:
    return tuple(getattr(attributes, name) for name in attributes.__struct_fields__)


def _bears(entry: Entry, name: str) -> bool:
    typed = name.strip().lower()
    return typed in {entry.username.lower(), *(email.lower() for email in entry.emails)}


def _entry(raw: Mapping[str, Sequence[bytes]], attributes: Attributes) -> Entry | None:
    """Read an entry; None without an id, or with several."""
    given = {name.partition(";")[0].lower(): values for name, values in raw.items()}

    def texts(name: str) -> list[str]:
        return [text for value in given.get(name.lower(), ()) if (text := _text(value))]

    def first(name: str) -> str:
        return next(iter(texts(name)), "")

    ids = given.get(attributes.id.lower(), ())
    if len(ids) != 1 or not 0 < len(ids[0]) <= MOST_ID_BYTES:
        return None
    return Entry(
        id=ids[0].hex(),
        username=first(attributes.username),
        emails=tuple(texts(attributes.email)[:MOST_EMAILS]),
        first_name=first(attributes.first_name),
        last_name=first(attributes.last_name),
        display_name=first(attributes.display_name) or None,
    )


def _text(value: bytes) -> str:
    try:
        return re.sub(r"\s+", " ", value.decode()).strip()
    except UnicodeDecodeError:
        return ""


def _certificate_fault(why: BaseException) -> str:
    """Return what is wrong with the other side's certificate. The library hands on the text alone."""
    text = str(why)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        for words, said in (
            ("has expired", "expired"), ("self-signed", "self-signed"), ("self signed", "self-signed"),
            ("Hostname mismatch", "other host name"), ("IP address mismatch", "other address"),
            ("unable to get local issuer", "unknown authority"),
        ):  # fmt: skip
            if words in text:
                return f"certificate refused ({said})"
        return "certificate refused"
    return "TLS failed" if "SSL" in text or isinstance(why, ssl.SSLError) else ""
