"""What the server tells everybody about itself: its version, its address, its public settings."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from msgspec import UNSET

from dragoman.dialects.rocketchat.config import Config
from dragoman.dialects.rocketchat.wire import (
    Build,
    Commit,
    Details,
    Info,
    LoginServices,
    MinimumClients,
    PublicSettings,
    Setting,
    SettingsQuery,
)
from dragoman.http import Call
from dragoman.model import Id

_CLIENTS = MinimumClients("3.9.6", "4.39.0")
LOGIN_SERVICES = LoginServices((), True)

_HOST = re.compile(r"(?:[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# What a sign-in screen reads (contract sections 6.2 and 7.1), as it is here.
_VALUES: dict[str, bool | int | str] = {
    "API_Gitlab_URL": "",
    "Accounts_EmailOrUsernamePlaceholder": "",
    "Accounts_EmailVerification": False,
    "Accounts_Iframe_api_method": "POST",
    "Accounts_Iframe_api_url": "",
    "Accounts_ManuallyApproveNewUsers": False,
    "Accounts_PasswordPlaceholder": "",
    "Accounts_RegistrationForm": "Disabled",
    "Accounts_RegistrationForm_LinkReplacementText": "",
    "Accounts_ShowFormLogin": True,
    "Accounts_TwoFactorAuthentication_By_Email_Auto_Opt_In": False,
    "Accounts_TwoFactorAuthentication_By_Email_Code_Expiration": 600,
    "Accounts_TwoFactorAuthentication_By_Email_Enabled": False,
    "Accounts_TwoFactorAuthentication_By_TOTP_Enabled": True,
    "Accounts_TwoFactorAuthentication_Enabled": True,
    "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback": True,
    "Accounts_TwoFactorAuthentication_MaxDelta": 1,
    "Accounts_TwoFactorAuthentication_Max_Invalid_Email_Code_Attempts": 5,
    "Accounts_TwoFactorAuthentication_RememberFor": 600,
    "Accounts_iframe_enabled": False,
    "Accounts_twoFactorAuthentication_email_available_for_OAuth_users": False,
    "CAS_enabled": False,
    "CAS_login_url": "",
    "LDAP_Enable": False,
    "Site_Name": "Dragoman",
}


@lru_cache(maxsize=16)
def info(version: str, *, whole: bool) -> Info:
    """Return what the server says of itself; `whole` is for administrators, others see major and minor number."""
    if not whole:
        return Info(".".join(version.split(".")[:2]), _CLIENTS, True)
    return Info(version, _CLIENTS, True, Details(version, Build("any"), Commit(version), "1.0.0"))


def site_of(call: Call) -> str:
    """Return the server's address without a slash at its end: the configured one, else the one the client called.

    The latter goes back to the same client only, in an answer that nobody may keep.
    """
    if configured := call.config(Config).site_url:
        return configured.rstrip("/")
    return _site(call.scheme, call.header("host") or "")


@lru_cache(maxsize=256)
def _site(scheme: str, host: str) -> str:
    return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


def settings(query: SettingsQuery, site: str, house: Id, *, resets: bool) -> PublicSettings:
    """Return a page of the public settings, by name.

    :param site: the server's address, `Site_Url`.
    :param house: the id of the organization made at set-up, from which `uniqueID` is made.
    :param resets: whether a forgotten password may be reset by mail.
    """
    values = _VALUES | {"Accounts_PasswordReset": resets, "Site_Url": site, "uniqueID": _unique_id(house)}
    wanted = values.keys() if query.id is UNSET else {name.strip() for name in query.id.split(",")} & values.keys()
    found = [Setting(name, values[name]) for name in sorted(wanted)]
    page = tuple(found[query.offset :][: query.count or None])
    return PublicSettings(page, len(page), query.offset, len(found), True)


@lru_cache(maxsize=16)
def _unique_id(house: Id) -> str:
    """Return an id of this installation that tells nothing else."""
    return hashlib.sha256(b"rocketchat uniqueID" + house).hexdigest()[:17]
