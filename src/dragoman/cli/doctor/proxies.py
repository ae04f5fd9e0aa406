"""What `dragoman doctor` says of proxies: what the serving processes saw of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from dragoman.core import Core
    from dragoman.settings import Settings

_PROXIES, _HEADER = "server.trusted_proxies", "server.forwarded_header"


async def of_proxies(core: Core, settings: Settings) -> list[Finding]:
    """Name what does not fit the configuration as it is now; what was seen under another one is not told."""
    from dragoman.app import proxies_in_words

    found = []
    for kind, sight in (await core.observed.recent()).items():
        if kind.startswith("proxy:") and sight.facts.get("configured") == proxies_in_words(settings):
            header, peer = sight.facts.get("header", ""), sight.facts.get("peer", "")
            found.append(_finding(kind.removeprefix("proxy:"), header, peer, settings))
    return found


def _finding(kind: str, header: str, peer: str, settings: Settings) -> Finding:
    read = {"x-forwarded-for": "X-Forwarded-For", "forwarded": "Forwarded"}[settings.server.forwarded_header]
    trust = f'set {_PROXIES} = ["{peer}"] if it is your proxy'
    match kind:
        case "header":
            text = f"the proxy {peer} says in {header} for whom it asks, and only {read} is read: no client is known"
            other = header.lower() if header in ("X-Forwarded-For", "Forwarded") else ""
            return Finding(
                "warning", _HEADER, text,
                f'set {_HEADER} = "{other}"' if other else f"let it write {read}, whatever a client sent",
            )  # fmt: skip
        case "unreadable":
            text = f"what the proxy {peer} writes in {header} names no address: no client is known"
            return Finding("warning", _HEADER, text, "let it write the client's address there")
        case "one address":
            text = f"all clients seem to be at {peer}, most likely a proxy: one limit counts all of them together"
            return Finding("warning", _PROXIES, text, f"let it write {read}, and {trust}")
        case "stranger":
            text = f"requests from outside carry {header}, which does not count"
            return Finding("note", _PROXIES, text, f"name your proxy in {_PROXIES} if it has a public address")
        case _:
            text = f"{peer or 'a local socket'} forwards for others ({header}) and is not trusted: no client is known"
            return Finding("warning", _PROXIES, f"{text}, no network is blocked", trust)
