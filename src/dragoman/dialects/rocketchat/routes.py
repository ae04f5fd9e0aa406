"""Rocket.Chat's operations: signing in, signing out, who am I, and discovery (its contract, sections 3 to 7).

The calls about mailed links are in `mailed`.
"""

from __future__ import annotations

from typing import cast

from dragoman.core.refusals import NotSignedIn
from dragoman.dialects.rocketchat import (
    accounts,
    avatars,
    discovery,
    entrance,
    errors,
    factors,
    forms,
    keys,
    ldap,
    mailed,
    method_call,
    permissions,
    public,
    registering,
    settings,
    wire,
)
from dragoman.dialects.rocketchat.config import Config
from dragoman.http import Answer, Call, operation
from dragoman.model import Caller, Pending, Person, Typed

_CODE_HEADER = "x-2fa-code"


class Known(Caller, frozen=True):
    """A caller together with the person, whom the second header had to be compared with anyway."""

    person: Person


async def authenticate(call: Call) -> Known:
    """Return who holds the token of `X-Auth-Token`, if `X-User-Id` names the same person (contract section 1)."""
    token, user = call.header("x-auth-token"), call.header("x-user-id")
    if not token or not user:
        raise NotSignedIn
    caller = await call.core.sessions.authenticate(call.door, token)
    person = await call.core.accounts.person(caller.account)
    if person.aliases.get(wire.ALIAS) != user:
        raise NotSignedIn
    return Known(caller.session, caller.account, person)


@operation(
    "POST",
    "/api/v1/login",
    body=wire.Login,
    answers={200: wire.LoggedIn},
    access="open",
    headers=(_CODE_HEADER,),
    tag="authentication",
    examples={
        "name or address": {"user": "ada", "password": "correct horse battery"},
        "with code": {"user": "ada@example.com", "password": "correct horse battery", "code": "123456"},
        "resume": {"resume": "9HqLlyZOugoStsXCUfD_0YdwnNnunAJF8V47U3QHXSq"},
    },
)
async def login(call: Call, body: wire.Login) -> wire.LoggedIn | Answer:
    """Sign in with a password, plain or as digest, with a code where one is asked for, or with a kept token.

    Anything that is not exactly one of the known forms is `Unauthorized`, like a wrong password.
    """
    form = forms.read(body, call.header(_CODE_HEADER))
    if form is None:
        return errors.UNAUTHORIZED
    outcome = await entrance.enter(call, form)
    if isinstance(outcome, Pending):
        return errors.code_wanted(outcome)
    resumed_at = call.core.clock.now() if isinstance(form, forms.ByToken) else None
    return wire.logged_in(outcome, public.site_of(call), resumed_at)


@operation(
    "POST",
    "/api/v1/users.2fa.sendEmailCode",
    body=wire.CodeWanted,
    answers={200: wire.Done},
    access="open",
    tag="second factor",
    examples={"username": {"emailOrUsername": "ada"}},
)
async def send_email_code(call: Call, body: wire.CodeWanted) -> wire.Done | Answer:
    """Mail a new code for the second step of a login. Says yes whoever is named, and whether or not one is sent."""
    if not body.email_or_username:
        return errors.failure(400, "emailOrUsername is required", "error-parameter-required")
    await call.core.factors.mail_code(call.door, Typed("any", body.email_or_username), call.client)
    return wire.Done(True)


async def logout(call: Call) -> wire.LoggedOut:
    """Sign out: the presented token stops working, and nothing else."""
    await call.core.sessions.sign_out(call.signed_in, call.client)
    return wire.LOGGED_OUT


@operation("GET", "/api/v1/me", answers={200: wire.Myself}, access="any", tag="authentication")
async def me(call: Call) -> wire.Myself:
    """Tell who is signed in."""
    caller = cast("Known", call.signed_in)
    return wire.me(caller.person, public.site_of(call), wire.Myself, success=True)


async def info(call: Call) -> wire.Info:
    """Tell which server this is; whoever has `view-statistics` sees the whole version."""
    return public.info(call.config(Config).version, whole=await permissions.has(call, "view-statistics"))


@operation(
    "GET",
    "/api/v1/settings.public",
    query=wire.SettingsQuery,
    answers={200: wire.PublicSettings},
    access="open",
    tag="discovery",
)
async def settings_public(call: Call, query: wire.SettingsQuery) -> wire.PublicSettings | Answer:
    """List the settings that a sign-in screen reads."""
    return await settings.public(call, query)


@operation("GET", "/api/v1/settings.oauth", answers={200: wire.LoginServices}, access="open", tag="discovery")
async def settings_oauth(call: Call) -> wire.LoginServices:
    """List the login services of others: none."""
    return public.LOGIN_SERVICES


@operation(
    "GET", "/api/v1/settings", query=wire.SettingsQuery, answers={200: wire.PublicSettings}, tag="administration"
)  # fmt: skip
async def settings_all(call: Call, query: wire.SettingsQuery) -> wire.PublicSettings | Answer:
    """List every setting that there is; for administrators with `view-privileged-setting`."""
    await permissions.needs(call, "view-privileged-setting")
    return await settings.every(call, query)


@operation("GET", "/api/v1/settings/{setting_id}", answers={200: wire.OneSetting}, tag="administration")
async def setting(call: Call) -> wire.OneSetting:
    """Tell what a setting is; for administrators with `view-privileged-setting`."""
    await permissions.needs(call, "view-privileged-setting")
    shown = await settings.one(call, call.path["setting_id"])
    return wire.OneSetting(shown.id, shown.value, success=True)


@operation(
    "POST",
    "/api/v1/settings/{setting_id}",
    body=wire.SettingChange,
    answers={200: wire.Done},
    fresh=True,
    tag="administration",
    examples={"failures of one account": {"value": 5}},
)
async def change_setting(call: Call, body: wire.SettingChange) -> wire.Done:
    """Change a setting, in force for the very next call; for administrators with `edit-privileged-setting`.

    It can be made stricter than the configuration file says, and as loose again as the file, never looser.
    """
    await permissions.asked(call)
    await settings.change(call, call.path["setting_id"], body.value)
    return wire.Done(True)


OPERATIONS = (
    login,
    send_email_code,
    operation("POST", "/api/v1/logout", answers={200: wire.LoggedOut}, access="any", tag="authentication")(logout),
    # Deprecated, but the newest published SDK still calls it (contract section 4).
    operation("GET", "/api/v1/logout", answers={200: wire.LoggedOut}, access="any", tag="authentication")(logout),
    me,
    operation("GET", "/api/info", answers={200: wire.Info}, access="optional", tag="discovery")(info),
    operation("GET", "/api/v1/info", answers={200: wire.Info}, access="optional", tag="discovery")(info),
    settings_public,
    settings_oauth,
    settings_all,
    setting,
    change_setting,
    *mailed.OPERATIONS,
    *avatars.OPERATIONS,
    *discovery.OPERATIONS,
    *registering.OPERATIONS,
    *keys.OPERATIONS,
    *ldap.OPERATIONS,
    *permissions.OPERATIONS,
    *accounts.OPERATIONS,
    *factors.OPERATIONS,
    *method_call.OPERATIONS,
)
