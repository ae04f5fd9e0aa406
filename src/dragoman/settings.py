"""Settings: one typed tree, read from a TOML file and `DRAGOMAN_...` variables; it ends at app.py.

A variable is named after its place: `DRAGOMAN_SERVER_PORT`, `DRAGOMAN_DIALECTS_FLASHBACK_ORIGINS`. Lists in variables
are comma-separated. All faults of a configuration are reported together.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from dragoman.sections import (
    Accounts,
    Dialects,
    Directory,
    Limits,
    Log,
    Mail,
    Passkeys,
    Passwords,
    Probe,
    Provider,
    Providers,
    Server,
    Storage,
)

SECRETS = frozenset(
    {
        "storage.postgres", "server.rates_url", "mail.password",
        "directory.bind_password", "dialects.rocketchat.create_tokens_secret",
        "providers.google.client_secret", "providers.github.client_secret", "providers.microsoft.client_secret",
        "providers.oidc.client_secret", "accounts.registration_secret", "dialects.probe.captcha_secret",
    }
)  # fmt: skip
"""Settings whose value may hold a password: never printed."""
SHORTEST_SECRET = 16
NOTICES = frozenset(
    {
        "new_network", "password_changed", "password_reset", "password_set", "factor_added", "factor_removed",
        "key_added", "address_changed", "phone_changed", "address_yielded", "chain_stolen", "codes_used_up",
        "lane_closed", "account_deactivated", "account_deleted", "provider_linked", "provider_unlinked",
    }
)  # fmt: skip
"""What `mail.notices_off` may name: the notices of core/letters.py, not imported for this (a test compares them)."""
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
OTHER_VARIABLES = frozenset({"DRAGOMAN_CONFIG", "DRAGOMAN_ADMIN_EMAIL", "DRAGOMAN_ADMIN_PASSWORD"})
"""Variables that the command line reads and that are no settings."""


class BadSettings(Exception):
    """The configuration cannot be used; `faults` names each setting, what was found, and what is expected."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    server: Server = Server()
    storage: Storage = Storage()
    passwords: Passwords = Passwords()
    limits: Limits = Limits()
    accounts: Accounts = Accounts()
    passkeys: Passkeys = Passkeys()
    mail: Mail = Mail()
    directory: Directory = Directory()
    providers: Providers = field(default_factory=Providers)
    dialects: Dialects = field(default_factory=Dialects)
    log: Log = Log()

    @property
    def database(self) -> Path:
        """The file of the embedded database."""
        return Path(self.storage.data) / "dragoman.db"

    @property
    def key_ring(self) -> Path:
        """The file of the master keys."""
        given = self.storage.key_ring
        data = Path(self.storage.data)
        return Path(given) if given else data.with_name(data.name + ".keys")


class Known(Struct, frozen=True):
    """One setting: where it stands, what it is, and where its value comes from."""

    path: tuple[str, ...]
    type: Any
    description: str
    default: Any
    tighter: Literal["smaller", "larger", "true", "false", "earlier"] | None = None
    """Which value is the tighter one, of a setting that may be stored; None for all others."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it may be, in order, where it is one of several."""
        inner = get_args(self.type)[0]
        return get_args(inner) if get_origin(inner) is Literal else ()

    @property
    def name(self) -> str:
        """The dotted name, `server.port`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return "DRAGOMAN_" + "_".join(self.path).upper()


@functools.cache
def catalogue() -> tuple[Known, ...]:
    """Return every setting in the order of the file."""
    return tuple(_settings_of(Settings, ()))


def _settings_of(kind: type[Struct], path: tuple[str, ...]) -> Iterator[Known]:
    hints = get_type_hints(kind, include_extras=True)
    for spec in msgspec.structs.fields(kind):
        declared = hints[spec.name]
        default = spec.default_factory() if spec.default is msgspec.NODEFAULT else spec.default
        if isinstance(default, Struct):
            yield from _settings_of(type(default), (*path, spec.name))
        else:
            metas = [m for m in get_args(declared)[1:] if isinstance(m, Meta)]
            notes = [m.description for m in metas if m.description]
            ways = [m.extra["tighter"] for m in metas if m.extra and "tighter" in m.extra]
            yield Known((*path, spec.name), declared, notes[0] if notes else "", default, ways[0] if ways else None)


def value_of(settings: Settings, known: Known) -> Any:
    """Return the value of one setting."""
    value: Any = settings
    for part in known.path:
        value = getattr(value, part)
    return value


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the settings with other values in some places, by dotted name. Each must fit its setting; a name that is
    none of the file's, as the test switch has some, changes nothing.
    """
    changed: Any = settings
    names = {known.name for known in catalogue()}
    for name, value in values.items():
        if name in names:
            changed = _with(changed, tuple(name.split(".")), value)
    return cast(Settings, changed)


def _with(section: Any, path: tuple[str, ...], value: Any) -> Any:
    first, *rest = path
    return replace(section, **{first: _with(getattr(section, first), tuple(rest), value) if rest else value})


class Loaded(Struct, frozen=True):
    """Settings together with where each value comes from."""

    settings: Settings
    sources: dict[str, str]
    """By dotted name: `default`, the file, the variable, or `command line`."""


def load(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the configuration: file, then `DRAGOMAN_...` variables, then what the command line says (dotted names).

    Raises BadSettings with all faults together.
    """
    return read(file, environment, overrides).settings


def read(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read the configuration as `load` does, and tell where each value comes from.

    Raises BadSettings with all faults together.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as why:
            raise BadSettings([f"{file}: cannot be read: {why}"]) from None
    known_settings = catalogue()
    sources = {k.name: "default" if _get(tree, k.path) is msgspec.UNSET else str(file) for k in known_settings}
    by_variable = {known.variable: known for known in known_settings}
    for variable, text in environment.items():
        known = by_variable.get(variable)
        if known is not None:
            _put(tree, known.path, _from_text(known, text))
            sources[known.name] = variable
    for name, value in (overrides or {}).items():
        _put(tree, tuple(name.split(".")), value)
        sources[name] = "command line"
    faults: list[str] = []
    _collect_unknown(tree, (), faults)
    usable: dict[str, Any] = {}
    for known in known_settings:
        found = _get(tree, known.path)
        fault = _fault_of(known, found)
        if fault:
            faults.append(f"{known.name} (from {sources[known.name]}): {fault}")
        elif found is not msgspec.UNSET:
            _put(usable, known.path, found)
    settings = msgspec.convert(usable, Settings, strict=False)
    faults += _contradictions(settings)
    if faults:
        raise BadSettings(faults)
    return Loaded(settings, sources)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the `DRAGOMAN_...` variables that name no setting: most likely misspelt."""
    names = {known.variable for known in catalogue()} | OTHER_VARIABLES
    return sorted(name for name in environment if name.startswith("DRAGOMAN_") and name not in names)


def _fault_of(known: Known, found: Any) -> str:
    try:
        if found is not msgspec.UNSET:
            msgspec.convert(found, known.type, strict=False)
    except msgspec.ValidationError as why:
        return f"{why}" if known.name in SECRETS else f"found {found!r}: {why}"
    return ""


def _from_text(known: Known, text: str) -> Any:
    kind = known.type
    inner = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(inner) is tuple and not isinstance(inner, UnionType):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[path[-1]] = value


def _get(tree: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return msgspec.UNSET
        tree = tree[part]
    return tree


def _collect_unknown(tree: dict[str, Any], path: tuple[str, ...], faults: list[str]) -> None:
    names = {known.path[: len(path) + 1] for known in catalogue()}
    leaves = {known.path for known in catalogue()}
    for key, value in tree.items():
        here = (*path, key)
        if here not in names:
            faults.append(f"{'.'.join(here)}: no such setting; `dragoman config show` lists them all")
        elif here not in leaves:
            if isinstance(value, dict):
                _collect_unknown(value, here, faults)
            else:
                faults.append(f"{'.'.join(here)}: a section is expected, found {value!r}")


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    server = settings.server
    if bool(server.tls_cert) != bool(server.tls_key):
        faults.append("server.tls_cert, server.tls_key: give both or neither")
    ring, data = settings.key_ring.absolute(), Path(settings.storage.data).absolute()
    if ring.is_relative_to(data):
        faults.append(f"storage.key_ring: {ring} lies inside the data folder; whoever copies the data has the keys")
    if server.rates_url and not server.rates_url.startswith(("valkey://", "valkeys://", "valkey+unix://")):
        faults.append("server.rates_url: expected valkey://host:port/0, valkeys:// for TLS, or valkey+unix:///path")
    for text in settings.limits.exempt_networks:
        try:
            ip_network(text, strict=False)
        except ValueError as why:
            faults.append(f"limits.exempt_networks: {why}")
    faults += _mail_faults(settings)
    faults += _registration_faults(settings)
    faults += _directory_faults(settings.directory)
    faults += _provider_faults(settings.providers)
    faults += _probe_faults(settings.dialects.probe)
    for name in settings.dialects.__struct_fields__:
        section = getattr(settings.dialects, name)
        for link in ("link_reset", "link_verify", "link_invite", "link_activate"):
            found = getattr(section, link, "")
            if found and not (found.startswith(("https://", "http://")) and found.count("{token}") == 1):
                faults.append(f"dialects.{name}.{link}: found {found!r}, expected an http address with one {{token}}")
        if section.prefix and (not section.prefix.startswith("/") or section.prefix.endswith("/")):
            faults.append(
                f"dialects.{name}.prefix: found {section.prefix!r}, expected /word without a slash at the end"
            )
    return faults


def _directory_faults(given: Directory) -> list[str]:
    if not given.urls:
        return []
    faults = []
    for url in given.urls:
        parts = urlsplit(url)
        usable = parts.scheme in ("ldap", "ldaps") and parts.hostname and parts.path in ("", "/") and not parts.query
        if not usable or "@" in parts.netloc or not _has_port(parts):
            faults.append(f"directory.urls: found {url!r}, expected ldap://host:port or ldaps://host:port")
        elif parts.scheme == "ldaps" and given.starttls:
            faults.append(f"directory.starttls: {url} is encrypted from the first byte; use ldap:// or drop it")
    if not given.base:
        faults.append("directory.base: nobody can be searched without it")
    for name, filter, wanted in (
        ("filter", given.filter, ("{name}",)), ("group_filter", given.group_filter, ("{dn}", "{name}")),
    ):  # fmt: skip
        balanced = filter.startswith("(") and filter.endswith(")") and filter.count("(") == filter.count(")")
        if (filter or name == "filter") and not (balanced and any(word in filter for word in wanted)):
            faults.append(f"directory.{name}: found {filter!r}, expected a filter in parentheses with {wanted[0]}")
    if bool(given.group_filter) != bool(given.group_base):
        faults.append("directory.group_base, directory.group_filter: give both or neither")
    if bool(given.bind_name) != bool(given.bind_password):
        faults.append("directory.bind_name, directory.bind_password: give both or neither")
    for name in ("id", "username"):
        if not getattr(given, f"attribute_{name}"):
            faults.append(f"directory.attribute_{name}: accounts are linked and named by it, it cannot be empty")
    return faults


def _provider_faults(given: Providers) -> list[str]:
    faults = []
    for name in given.__struct_fields__:
        section: Provider = getattr(given, name)
        if not section.client_id:
            continue
        urls = {"issuer": section.issuer, "tokeninfo_url": section.tokeninfo_url}
        urls["api_url"] = getattr(section, "api_url", "")
        for setting, url in urls.items():
            if (url or setting == "issuer") and not _usable(url):
                faults.append(
                    f"providers.{name}.{setting}: found {url!r}, expected https://host without name and password in it"
                )
        for host in section.hosts:
            if not host or any(c in host for c in "/@?# "):
                faults.append(f"providers.{name}.hosts: found {host!r}, expected a host name, with a port if need be")
    called = given.oidc.name
    if given.oidc.client_id and (called in ("google", "github", "microsoft") or not called.isidentifier()):
        faults.append(f"providers.oidc.name: found {called!r}, expected a word that no other provider has")
    return faults


def _probe_faults(given: Probe) -> list[str]:
    faults = []
    for name in ("origins", "ret_url_origins"):
        for found in getattr(given, name):
            if _ORIGIN.fullmatch(found) is None:
                faults.append(
                    f"dialects.probe.{name}: found {found!r}, expected an origin as https://app.example.com, in lower"
                    " case and without a path"
                )
    if given.captcha_url and not _usable(given.captcha_url):
        faults.append(
            f"dialects.probe.captcha_url: found {given.captcha_url!r}, expected https://host/path without name and"
            " password in it"
        )
    if bool(given.captcha_url) != bool(given.captcha_secret):
        faults.append("dialects.probe.captcha_url, dialects.probe.captcha_secret: give both or neither")
    return faults


def _usable(url: str) -> bool:
    """Tell whether a provider may be asked there: encrypted, or on this very machine."""
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc
    return (
        bool(parts.hostname)
        and _has_port(parts)
        and plain
        and (parts.scheme == "https" or (parts.scheme == "http" and here))
    )


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _registration_faults(settings: Settings) -> list[str]:
    faults, given = [], settings.accounts
    for name in ("registration", "sign_up"):
        chosen = getattr(given, name)
        if chosen == "secret" and not given.registration_secret:
            faults.append(f"accounts.registration_secret: accounts.{name} is secret, but there is none")
        if chosen == "private" and settings.mail.transport == "off":
            faults.append(f"mail.transport: accounts.{name} is private: whoever registers is answered by mail alone")
    if 0 < len(given.registration_secret) < SHORTEST_SECRET:
        faults.append(f"accounts.registration_secret: shorter than {SHORTEST_SECRET} characters, it can be guessed")
    return faults


def _mail_faults(settings: Settings) -> list[str]:
    faults = []
    base, mail = settings.server.public_url, settings.mail
    if base and (not base.startswith(("https://", "http://")) or base.endswith("/")):
        faults.append(f"server.public_url: found {base!r}, expected https://name without a slash at the end")
    for kind in mail.notices_off:
        if kind not in NOTICES:
            faults.append(f"mail.notices_off: found {kind!r}, expected some of {', '.join(sorted(NOTICES))}")
    if mail.transport == "smtp":
        if "@" not in mail.sender:
            faults.append("mail.sender: mail.transport is smtp, but nobody is named from whom mails come")
        if not base:
            faults.append("server.public_url: mail.transport is smtp, but links in mails lead nowhere without it")
        if mail.username and mail.security == "none":
            faults.append("mail.security: a password is not sent without encryption; set starttls or tls")
    return faults
