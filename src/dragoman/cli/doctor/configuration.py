"""What the settings alone tell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.settings import Settings

CHECKED = ("require", "verify-ca", "verify-full")
"""Values of PostgreSQL's `sslmode` that never fall back to plain text."""


def of_configuration(settings: Settings) -> list[Finding]:
    """Judge the settings alone."""
    from dragoman.cli.listen import faults
    from dragoman.settings import unknown_variables

    found = of_faults(faults(settings))
    found += [
        Finding("warning", name, "no setting has this variable: it does nothing", "see `dragoman config show --json`")
        for name in unknown_variables(os.environ)
    ]
    return [
        *found, *_of_network(settings), *_of_registration(settings), *_of_dialects(settings), *_of_limits(settings),
        *_of_hashing(settings), *_of_accounts(settings), *_of_postgres(settings),
    ]  # fmt: skip


def of_faults(faults: list[str]) -> list[Finding]:
    """Return what keeps Dragoman from serving, each fault as a finding."""
    return [
        Finding("error", *_split(fault), "correct it; `dragoman config check` says when it is right")
        for fault in faults
    ]


def _split(fault: str) -> tuple[str, str]:
    name, _, text = fault.partition(": ")
    return name, text


def _of_network(settings: Settings) -> list[Finding]:
    from dragoman.http.address import is_loopback

    server = settings.server
    found = []
    if not server.tls_cert:
        reached = "only this machine reaches it" if is_loopback(server.host) else "others can reach it"
        found.append(
            Finding(
                "note" if is_loopback(server.host) or server.trusted_proxies else "warning",
                "server.tls_cert",
                f"connections are plain HTTP ({reached})",
                "give server.tls_cert and server.tls_key, or let a proxy of yours speak TLS",
            )
        )
    if not server.trusted_proxies:
        found.append(
            Finding(
                "note",
                "server.trusted_proxies",
                "no forwarded address counts: behind a proxy no network is known and none is blocked",
                "name your proxy's network; without a proxy leave it empty",
            )
        )
    if server.insecure:
        found.append(
            Finding("warning", "server.insecure", "passwords may cross the network in clear", "use TLS and drop it")
        )
    if server.workers > 1 and not settings.storage.postgres:
        found.append(
            Finding("note", "server.workers", "several processes share one SQLite file and wait for its lock",
                    "one worker is right on SQLite; use PostgreSQL for more")
        )  # fmt: skip
    if server.workers > 1 and not server.rates_url and settings.dialects.rocketchat.rate_limit:
        found.append(
            Finding("note", "server.rates_url", f"each of {server.workers} workers counts request rates for itself: a"
                    f" client may call up to {server.workers} times as often", "name a Valkey that they share")
        )  # fmt: skip
    return found


def _of_registration(settings: Settings) -> list[Finding]:
    """Judge who may register, and what is told to whoever does."""
    found = []
    told = [name for name in ("registration", "sign_up") if getattr(settings.accounts, name) in ("public", "secret")]
    if told and not settings.accounts.conceal:
        found.append(
            Finding("note", "accounts.conceal", "whoever registers is told that an address or name is taken"
                    f" (accounts.{' and accounts.'.join(told)}; ten answers an hour and network)",
                    "set accounts.conceal = true, or private there; both need mail")
        )  # fmt: skip
    if settings.accounts.registration in ("public", "private"):
        found.append(
            Finding("note", "accounts.registration", "anybody may join the default organization, whose members see each"
                    " other", "set it to secret, or accounts.approval = true")
        )  # fmt: skip
    probe, mails = settings.dialects.probe, settings.mail.transport != "off"
    if probe.enabled and mails and settings.accounts.sign_up in ("public", "private") and not probe.captcha_url:
        found.append(
            Finding("note", "dialects.probe.captcha_url", "programs may sign up and ask for mails: any captcha header"
                    " of 6 characters passes", "name a verifier of the siteverify shape, with captcha_secret")
        )  # fmt: skip
    return found


def _of_limits(settings: Settings) -> list[Finding]:
    from dragoman import test_mode

    found = []
    if test_mode.is_on(settings):
        found.append(
            Finding("warning", test_mode.NAME, "limits and second factors are off, weak passwords are taken, and the"
                    " first to register becomes administrator",
                    "set it to false, with another storage.data, where people are")
        )  # fmt: skip
    if settings.limits.exempt_networks:
        listed = ", ".join(settings.limits.exempt_networks)
        found.append(
            Finding("note", "limits.exempt_networks", f"whoever is in {listed} may guess at many accounts without being"
                    " blocked", "name as few and as small networks as can be")
        )  # fmt: skip
    return found


def _of_dialects(settings: Settings) -> list[Finding]:
    from dragoman import app

    found = []
    for mount in app.mounts(settings):
        if not mount.live:
            continue
        dialect, door = mount.dialect, mount.dialect.door
        if door is not None and door.tells and not settings.accounts.conceal:
            found.append(
                Finding(
                    "note",
                    "accounts.conceal",
                    f"{dialect.title} tells at sign-in that nobody has the address, or that the account has no password"
                    " (its contract; ten answers an hour and network)",
                    "set accounts.conceal = true",
                )
            )
        if dialect.name == "rocketchat" and settings.mail.transport != "off" and not settings.accounts.conceal:
            found.append(
                Finding(
                    "note",
                    "accounts.conceal",
                    f"{dialect.title} tells whoever asks for a confirmation mail that nobody has the address"
                    " (its contract; ten answers an hour and network)",
                    "set accounts.conceal = true",
                )
            )
        if door is not None and door.repeats_step:
            found.append(
                Finding(
                    "note",
                    f"dialects.{dialect.name}",
                    f"{dialect.title} takes one TOTP code twice within 60 s from the same client, with the password",
                    f"set dialects.{dialect.name}.enabled = false where no client needs it",
                )
            )
        if dialect.name == "rocketchat" and settings.dialects.rocketchat.digest != "never":
            found.append(
                Finding(
                    "note",
                    "dialects.rocketchat.digest",
                    f"SHA-256 digests are taken for passwords ({settings.dialects.rocketchat.digest}): whoever has a"
                    " digest can sign in",
                    'set it to "never" when every client sends the password itself',
                )
            )
    return found


def _of_hashing(settings: Settings) -> list[Finding]:
    given = settings.passwords
    if given.memory_kib >= 19456 and given.passes >= 2:
        return []
    return [
        Finding("warning", "passwords.memory_kib, passwords.passes",
                f"hashes are cheaper to guess than recommended ({given.memory_kib} KiB, {given.passes} passes)",
                "use at least 19456 KiB and 2 passes")
    ]  # fmt: skip


def _of_accounts(settings: Settings) -> list[Finding]:
    found = []
    if not settings.accounts.password_reset:
        found.append(
            Finding("note", "accounts.password_reset", "a forgotten password cannot be reset by mail",
                    "set it to true, or set passwords with `dragoman account set-password`")
        )  # fmt: skip
    if settings.accounts.email_codes and settings.mail.transport != "off":
        found.append(
            Finding("note", "accounts.email_codes", "mailed codes may serve as second factor: as safe as the mailbox",
                    "set it to false where everybody has an authenticator app")
        )  # fmt: skip
    return found


def _of_postgres(settings: Settings) -> list[Finding]:
    address = settings.storage.postgres
    if not address:
        return []
    hosts, mode = postgres_way(address)
    mode = mode or os.environ.get("PGSSLMODE", "prefer")
    far = sorted(host for host in hosts if not _near(host))
    if not far or mode in CHECKED:
        return []
    return [
        Finding("warning", "storage.postgres", f"the way to {', '.join(far)} may be in clear (sslmode {mode}): the"
                " database's password and all that is stored cross the network",
                "add ?sslmode=verify-full to the address, or reach it over a socket or loopback")
    ]  # fmt: skip


def postgres_way(address: str) -> tuple[list[str], str]:
    """Return the hosts that a PostgreSQL address names, and its `sslmode`; empty where it says nothing."""
    parts = urlsplit(address)
    asked = parse_qs(parts.query)
    listed = parts.netloc.rpartition("@")[2] or ",".join(asked.get("host", []))
    hosts = []
    for each in listed.split(","):
        host, _, port = each.rpartition(":")
        hosts.append((host if host and port.isdigit() else each).strip("[]"))
    return [host for host in hosts if host], asked.get("sslmode", [""])[-1]


def _near(host: str) -> bool:
    from dragoman.http.address import is_loopback

    return host.startswith(("/", "%2F")) or is_loopback(host)
