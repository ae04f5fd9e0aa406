"""Rocket.Chat's settings: which of them are settings of the core, in which unit, and what the others are here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from dragoman.core.documents import Edited
from dragoman.core.refusals import SettingRefused
from dragoman.dialects.rocketchat import choosing
from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.public import site_of
from dragoman.dialects.rocketchat.wire import PublicSettings, Setting, SettingsQuery
from dragoman.http import Answer, Call
from dragoman.model import Id

Shown = bool | int | float | str


def _as_it_is(value: Any) -> Any:
    return value


class Mapped(Struct, frozen=True):
    """A setting that is one of the core's."""

    core: str
    """Its name there."""
    wanted: str
    """What it takes, in words."""
    show: Callable[[Any], Shown] = _as_it_is
    take: Callable[[Any], Any] = _as_it_is
    """Turns what a client sends into the core's unit; what makes no sense stays as it is, for the core to refuse."""
    mailed: bool = False
    """It is false while no mail can be sent, whatever is set."""


def _seconds(minutes: float) -> int | float:
    seconds = round(minutes * 60, 3)
    return int(seconds) if seconds == int(seconds) else seconds


def _minutes(seconds: Any) -> Any:
    return seconds / 60 if type(seconds) in (int, float) and abs(seconds) < 1e9 else seconds


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


def _of_millis(millis: Any) -> Any:
    return millis / 1000 if type(millis) in (int, float) and abs(millis) < 1e12 else millis


_FORMS = {"disabled": "Disabled", "secret": "Secret URL", "private": "Public", "public": "Public"}
"""What this wire calls the words; to its clients, whether an address is told to be taken makes no difference."""
_WORDS = {form: word for word, form in _FORMS.items()}


def _word(form: Any) -> Any:
    return _WORDS.get(form) if isinstance(form, str) else None


_ONE_OR_MORE, _MINUTES, _SECONDS, _SWITCH = (
    "a whole number from 1", "a number of minutes up to 1440", "a number of seconds from 60", "true or false"
)  # fmt: skip
_BLOCK = "Block_Multiple_Failed_Logins_"
_FACTOR = "Accounts_TwoFactorAuthentication_"
_RATE = "API_Enable_Rate_Limiter"
MAPPED: Mapping[str, Mapped] = {
    f"{_BLOCK}Attempts_Until_Block_by_User": Mapped("limits.account_5_minutes", _ONE_OR_MORE),
    f"{_BLOCK}Time_To_Unblock_By_User_In_Minutes": Mapped("limits.account_minutes", _MINUTES),
    f"{_BLOCK}Attempts_Until_Block_By_Ip": Mapped("limits.network_5_minutes", _ONE_OR_MORE),
    f"{_BLOCK}Time_To_Unblock_By_Ip_In_Minutes": Mapped("limits.network_minutes", _MINUTES),
    f"{_FACTOR}Max_Invalid_Email_Code_Attempts": Mapped("limits.codes_per_attempt", _ONE_OR_MORE),
    f"{_FACTOR}By_Email_Enabled": Mapped("accounts.email_codes", _SWITCH, mailed=True),
    f"{_FACTOR}By_Email_Code_Expiration": Mapped("accounts.code_minutes", _SECONDS, _seconds, _minutes),
    f"{_FACTOR}MaxDelta": Mapped("accounts.totp_steps", "0 or 1"),
    f"{_FACTOR}RememberFor": Mapped("accounts.remember_minutes", _SECONDS, _seconds, _minutes),
    "Accounts_RegistrationForm": Mapped(
        "accounts.registration", "Disabled, Secret URL or Public", _FORMS.__getitem__, _word
    ),
    "Accounts_ManuallyApproveNewUsers": Mapped("accounts.approval", _SWITCH),
    "Accounts_EmailVerification": Mapped("dialects.rocketchat.require_verified", _SWITCH),
    f"{_RATE}": Mapped("dialects.rocketchat.rate_limit", _SWITCH),
    f"{_RATE}_Limit_Calls_Default": Mapped("dialects.rocketchat.rate_limit_calls", _ONE_OR_MORE),
    f"{_RATE}_Limit_Time_Default": Mapped(
        "dialects.rocketchat.rate_limit_seconds", "a number of milliseconds from 1000", _millis, _of_millis
    ),
    "Rate_Limiter_Limit_RegisterUser": Mapped("dialects.rocketchat.rate_limit_register", _ONE_OR_MORE),
    "Accounts_PasswordReset": Mapped("accounts.password_reset", _SWITCH, mailed=True),
}
"""Settings that administrators read and change at run time (contract sections 7.1, 8 and 10)."""

_SECRET = "Accounts_RegistrationForm_SecretURL"  # noqa: S105  the name of a setting
"""Shown to nobody: `accounts.registration_secret` stands in the configuration file alone."""
_EXEMPT = f"{_BLOCK}Ip_Whitelist"
UNDER_TEST: Mapping[str, Mapped] = {
    f"{_BLOCK}Enabled": Mapped("test.block", _SWITCH),
    f"{_BLOCK}By_User": Mapped("test.block_by_user", _SWITCH),
    f"{_BLOCK}By_Ip": Mapped("test.block_by_ip", _SWITCH),
    _EXEMPT: Mapped("test.ip_whitelist", "a list of addresses, separated by commas"),
}
"""What can be changed besides, under the test switch alone: anywhere else it would loosen what the file says."""
_DOCUMENT = "rocketchat.settings"
"""The name of the document that holds what is no setting here, under the test switch."""

_FIXED: Mapping[str, Shown] = {
    "API_Gitlab_URL": "",
    "Accounts_AllowDeleteOwnAccount": True,
    "Accounts_AllowEmailChange": True,
    "Accounts_AllowPasswordChange": True,
    "Accounts_AllowRealNameChange": True,
    "Accounts_AllowUsernameChange": True,
    "Accounts_EmailOrUsernamePlaceholder": "",
    "Accounts_Iframe_api_method": "POST",
    "Accounts_Iframe_api_url": "",
    "Accounts_PasswordPlaceholder": "",
    "Accounts_RegistrationForm_LinkReplacementText": "",
    _SECRET: "",
    "Accounts_ShowFormLogin": True,
    f"{_FACTOR}By_Email_Auto_Opt_In": False,
    f"{_FACTOR}By_TOTP_Enabled": True,
    f"{_FACTOR}Enabled": True,
    f"{_FACTOR}Enforce_Password_Fallback": True,
    "Accounts_iframe_enabled": False,
    "Accounts_twoFactorAuthentication_email_available_for_OAuth_users": False,
    f"{_BLOCK}By_Ip": True,
    f"{_BLOCK}By_User": True,
    f"{_BLOCK}Enabled": True,
    f"{_BLOCK}Notify_Failed": False,
    "CAS_enabled": False,
    "CAS_login_url": "",
    "Site_Name": "Dragoman",
}
"""What cannot be changed here, as it is."""
_PRIVATE = (_BLOCK, _RATE, "Rate_Limiter_", _SECRET)
"""How the names begin of what nobody but administrators is told."""


async def public(call: Call, query: SettingsQuery) -> PublicSettings | Answer:
    """Return a page of what a sign-in screen reads (contract section 6.2), by name."""
    values = await _every(call, await call.core.settings.in_force())
    return choosing.page({name: value for name, value in values.items() if not name.startswith(_PRIVATE)}, query)


async def every(call: Call, query: SettingsQuery) -> PublicSettings | Answer:
    """Return a page of all settings that there are, by name. Raises NotAllowed: for administrators."""
    return choosing.page(await _every(call, await call.core.settings.shown_to(call.signed_in)), query)


async def one(call: Call, name: str) -> Setting:
    """Return one setting. Raises NotAllowed, SettingRefused for a name that there is not."""
    values = await _every(call, await call.core.settings.shown_to(call.signed_in))
    if name not in values:
        raise SettingRefused(name, "there is no such setting")
    return Setting(name, values[name])


async def change(call: Call, name: str, value: Any) -> None:
    """Change a setting that is one of the core's; say yes to what is so already. Under the test switch, keep any other.

    Raises NotAllowed, SettingRefused in this wire's own units.
    """
    settings, test = call.core.settings, call.config(Config).test
    mapped = _mapped(test).get(name)
    if mapped is None and test:
        await _keep(call, name, value)
        return
    if mapped is None:
        shown = await one(call, name)
        if (type(value), value) != (type(shown.value), shown.value):
            raise SettingRefused(name, "it is not changed here")
        return
    try:
        floor = settings.floor(mapped.core)
        said = mapped.show(floor)
        # Where two words of the file are one here, that of the file is meant, if it can be.
        wanted = floor if (type(value), value) == (type(said), said) else mapped.take(value)
        await settings.set(mapped.core, wanted, call.signed_in, client=call.client)
    except SettingRefused:
        loosest = _text(mapped.show(settings.floor(mapped.core)))
        bound = "" if test else f", no looser than {loosest}, which the configuration file says"
        why = f"it takes {mapped.wanted}{bound}"
        raise SettingRefused(name, why) from None


def _mapped(test: bool) -> Mapping[str, Mapped]:
    return {**MAPPED, **UNDER_TEST} if test else MAPPED


async def _keep(call: Call, name: str, value: Any) -> None:
    """Keep what is no setting here, so that it can be read again; it does nothing (contract section 16, no. 27)."""
    if not isinstance(value, (bool, int, float, str)):
        raise SettingRefused(name, "it takes a text, a number, true or false")
    await call.core.settings.shown_to(call.signed_in)

    def keep(body: str | None) -> Edited:
        kept = _kept(body)
        changes = {} if kept.get(name) == value else {name: (_text(kept.get(name, "")), _text(value))}
        return Edited(msgspec.json.encode({**kept, name: value}).decode(), changes)

    await call.core.documents.edit(_DOCUMENT, keep, call.signed_in, call.client)


def _kept(body: str | None) -> dict[str, Shown]:
    return {} if body is None else msgspec.json.decode(body, type=dict[str, bool | int | float | str])


async def _every(call: Call, in_force: Mapping[str, Any]) -> Mapping[str, Shown]:
    config = call.config(Config)
    mails = config.test or (await call.core.settings.current()).mail.enabled
    mapped = {
        name: each.show(in_force[each.core]) if mails or not each.mailed else False
        for name, each in _mapped(config.test).items()
    }
    house = await call.core.accounts.default_organization()
    here: dict[str, Shown] = {
        "LDAP_Enable": config.directory, "Site_Url": site_of(call), _EXEMPT: ", ".join(config.exempt_networks),
        "uniqueID": _unique_id(house),
    }  # fmt: skip
    held = await call.core.documents.find(_DOCUMENT) if config.test else None
    return {**_FIXED, **here, **_kept(None if held is None else held.body), **mapped}


def _text(value: Shown) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=16)
def _unique_id(house: Id) -> str:
    """Return an id of this installation that tells nothing else; made from its first organization's id."""
    return hashlib.sha256(b"rocketchat uniqueID" + house).hexdigest()[:17]
