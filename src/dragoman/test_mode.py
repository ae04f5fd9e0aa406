"""The test switch of Rocket.Chat's dialect: what it changes, and what keeps it away from where people are.

The original's own end-to-end tests arrange every case over its wire; they need a server that lets them (contract of
Rocket.Chat, section 16, no. 27; decisions 13, 26 and 36; threat 50). Nothing else knows of the switch but by what
follows from it here: fields of the policy and of the door.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta
from msgspec.structs import replace

from dragoman.core.limits import Budget, Window
from dragoman.core.policy import ALWAYS, Policy
from dragoman.core.stored_settings import Configured, Storable
from dragoman.http.address import Network, is_loopback
from dragoman.settings import Settings, with_values

NAME = "dialects.rocketchat.test_mode"
WARNING = "TEST MODE: limits and second factors are off, and the first to register rules. Never where people are."

_OFF = 2**31
"""A number of failures that nobody reaches."""
_OR_NONE = Annotated[int, Meta(ge=0)]
_ZERO_IS_OFF = ("limits.account_5_minutes", "limits.network_5_minutes")
_OPEN: Mapping[str, Any] = {"accounts.registration": "public"}
"""What is set from the beginning, whatever the configuration says."""
_BLOCK, _BY_ACCOUNT, _BY_NETWORK, _EXEMPT = "test.block", "test.block_by_user", "test.block_by_ip", "test.ip_whitelist"
_MORE = (
    Storable(_BLOCK, bool, "true", True, free=True),
    Storable(_BY_ACCOUNT, bool, "true", True, free=True),
    Storable(_BY_NETWORK, bool, "true", True, free=True),
    Storable(_EXEMPT, str, "earlier", "", free=True),
)
"""What can be set beside the settings of the file."""


def is_on(settings: Settings) -> bool:
    """Tell whether the switch is on."""
    return settings.dialects.rocketchat.test_mode


def faults(settings: Settings) -> list[str]:
    """Return why nobody may be served with the switch on: others than this machine could call (threat 50)."""
    if not is_on(settings):
        return []
    server, site = settings.server, settings.dialects.rocketchat.site_url
    found = []
    if not is_loopback(server.host):
        found.append(f"server.host is {server.host!r}, which others can reach")
    if server.trusted_proxies:
        found.append("server.trusted_proxies names a proxy, behind which others may be")
    for name, url in (("server.public_url", server.public_url), ("dialects.rocketchat.site_url", site)):
        if url and not is_loopback(urlsplit(url).hostname or ""):
            found.append(f"{name} is {url!r}, which is not this machine")
    return [f"{NAME}: {why}; the test switch is for loopback alone, with or without TLS" for why in found]


def configured(settings: Settings, storables: Iterable[Storable], policy: Callable[[Settings], Policy]) -> Configured:
    """Return what the configuration says with the switch on: what is set over the wire counts as it is set."""
    free = [
        replace(
            each, floor=_OPEN.get(each.name, each.floor), type=_OR_NONE if each.name in _ZERO_IS_OFF else each.type,
            free=True,
        )
        for each in storables
    ]  # fmt: skip
    return Configured((*free, *_MORE), lambda in_force: _policy(settings, in_force, policy))


def _policy(settings: Settings, in_force: Mapping[str, Any], policy: Callable[[Settings], Policy]) -> Policy:
    """Return the policy: of the budgets of sign-in, those two that the wire names, and as they are set there."""
    plain = policy(with_values(settings, in_force))
    account, network = plain.budgets.known.windows[0], plain.budgets.network.windows[0]
    by_account = _budget(account, on=in_force[_BLOCK] and in_force[_BY_ACCOUNT])
    by_network = _budget(network, on=in_force[_BLOCK] and in_force[_BY_NETWORK])
    budgets = replace(
        plain.budgets, strangers=by_account, known=by_account, network=by_network,
        wide_network=_budget(network, on=False), exempt=networks(in_force[_EXEMPT].split(",")),
    )  # fmt: skip
    return replace(plain, budgets=budgets, remembered=ALWAYS, test=True)


def _budget(window: Window, *, on: bool) -> Budget:
    return Budget((Window(window.limit if on and window.limit else _OFF, window.seconds),))


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks that are named; what names none is left out, as the original does."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            continue
    return tuple(found)
