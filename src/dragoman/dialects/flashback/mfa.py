"""Flashback's second factors: setting up, proving, letting go, and what an organization wants (contract section 7).

The calls that go on with a sign-in take its limited token as bearer. Setting up, enabling and disabling ask for a
session whose proof is fresh (decision 25).
"""

from __future__ import annotations

import asyncio
import uuid

import segno

from dragoman.core.assertions import Assertion
from dragoman.core.own_factors import Begun
from dragoman.core.refusals import NotEnrolled, NotFound
from dragoman.dialects.flashback import wire, wire_mfa
from dragoman.dialects.flashback.routes import DOOR
from dragoman.dialects.flashback.wire_mfa import FACTORS, Prove, Setup, SetupData
from dragoman.http import Call, operation
from dragoman.model import Person, Secret

TAG = "mfa"
_DONE = {200: wire.Done}
_APP = {"app": {"mfaType": "GOOGLE_AUTH"}}


async def _person(call: Call) -> Person:
    """Return who is signed in, or whose sign-in waits."""
    if call.caller is not None:
        return await call.core.accounts.person(call.caller.account)
    return await call.core.factors.waiting(DOOR, call.bearer() or "")


@operation("GET", "/mfa/status", answers={200: wire_mfa.Status}, accepts_limited=True, tag=TAG)
async def status(call: Call) -> wire_mfa.Status:
    """Tell how things stand with one's second factors. `sessionVerified` is false for a limited token."""
    person = await _person(call)
    primary = await call.core.own_factors.primary(person.account)
    return wire_mfa.status(person, primary, call.core.clock.now(), verified=call.caller is not None)


@operation("GET", "/mfa/methods", answers={200: wire_mfa.Methods}, accepts_limited=True, tag=TAG)
async def methods(call: Call) -> wire_mfa.Methods:
    """List the methods: whether this installation offers each, and whether one has it."""
    links, passkeys = await call.core.own_factors.offered()
    return wire_mfa.methods(await _person(call), links=links, passkeys=passkeys)


@operation(
    "POST", "/mfa/setup", body=wire_mfa.OfType, answers={200: Setup}, accepts_limited=True, verified=True, tag=TAG,
    examples=_APP,
)  # fmt: skip
async def setup(call: Call, body: wire_mfa.OfType) -> Setup:
    """Begin to set a method up: an app's secret with its QR code, or what the browser needs for a passkey.

    A magic link is in force at once. With a limited token, while the organization wants a second factor, an app is set
    up and a code goes to the proved address, which `/mfa/verify-setup` takes as `emailCode`.
    """
    if call.caller is None:
        return await _shown(await call.core.enrolment.begin(DOOR, call.bearer() or "", call.client))
    if body.mfa_type == "PASSKEY":
        options = wire_mfa.options(await call.core.passkeys.ask_for_new(call.caller))
        return Setup(message="Make the passkey", data=SetupData(options=options))
    if body.mfa_type == "MAGIC_LINK":
        return _codes(await call.core.own_factors.enable_email(call.caller, call.client, recovery=True))
    return await _shown(await call.core.own_factors.begin_totp(call.caller, call.client))


@operation(
    "POST", "/mfa/verify-setup", body=Prove, answers={200: Setup}, accepts_limited=True, verified=True, tag=TAG,
    examples={"app": {"mfaType": "GOOGLE_AUTH", "code": "123456"}},
)  # fmt: skip
async def verify_setup(call: Call, body: Prove) -> Setup:
    """Bring a method into force: with a code of the app, or the passkey that the browser made.

    Other clients of the account end. With a limited token the sign-in is begun anew, with the app.
    """
    core, caller = call.core, call.caller
    if caller is None:
        code, mailed = body.given("code"), body.given("email_code")
        return _codes(await core.enrolment.confirm(DOOR, call.bearer() or "", code, mailed, call.client))
    if body.mfa_type == "PASSKEY":
        return _codes(await core.passkeys.keep(caller, body.given("credential"), body.name, call.client))
    if body.mfa_type == "MAGIC_LINK":
        raise NotEnrolled  # it was in force at once: there is nothing to verify
    return _codes(await core.own_factors.confirm_totp(caller, body.given("code"), call.client))


@operation(
    "POST", "/mfa/passkey/complete-registration", body=wire_mfa.Registration, answers={200: Setup}, verified=True,
    tag=TAG,
)  # fmt: skip
async def complete_registration(call: Call, body: wire_mfa.Registration) -> Setup:
    """Keep the passkey that the browser made: the same as `/mfa/verify-setup` with it."""
    return _codes(await call.core.passkeys.keep(call.signed_in, body.credential, body.name, call.client))


@operation(
    "POST", "/mfa/verify-login", body=Prove, answers={200: wire.Verified}, accepts_limited=True, tag=TAG,
    examples={"totp": {"mfaType": "GOOGLE_AUTH", "code": "123456"}},
)  # fmt: skip
async def verify_login(call: Call, body: Prove) -> wire.Verified:
    """Finish a sign-in; the bearer is the limited token of the login.

    With a code of the app, of a mail or a recovery code; with the token of a magic link; with what a passkey signed.
    """
    given: str | Assertion
    if body.mfa_type == "PASSKEY" and body.credential is not None:
        given = Assertion(body.credential)
    elif body.mfa_type == "MAGIC_LINK" and body.token is not None:
        given = await call.core.factors.code_of_link(body.token)
    else:
        given = body.given("credential" if body.mfa_type == "PASSKEY" else "code")
    return wire.verified(await call.core.signin.with_code(DOOR, call.bearer() or "", given, call.client))


@operation("POST", "/mfa/passkey/auth-options", answers={200: Setup}, accepts_limited=True, tag=TAG)
async def auth_options(call: Call) -> Setup:
    """Return what the browser is to sign with a passkey for the sign-in that waits."""
    options = wire_mfa.options(await call.core.passkeys.ask(DOOR, call.bearer() or ""))
    return Setup(message="Sign with the passkey", data=SetupData(options=options))


@operation("POST", "/mfa/magic-link/send", answers=_DONE, accepts_limited=True, tag=TAG)
async def send_link(call: Call) -> wire.Done:
    """Mail a link, with a code, for the sign-in that waits. Says yes while the sending budget is spent, too."""
    await call.core.factors.mail_code_again(DOOR, call.bearer() or "", call.client)
    return wire.Done(message="A link is on its way")


@operation("POST", "/mfa/magic-link/activate", body=wire_mfa.LinkToken, answers=_DONE, access="open", tag=TAG)
async def activate_link(call: Call, body: wire_mfa.LinkToken) -> wire.Done:
    """Tell whoever opened a link which code to type where the sign-in waits.

    The sign-in itself goes on only there (decision 5): with the code, or with the link's token, at `/mfa/verify-login`.
    """
    code = await call.core.factors.code_of_link(body.token)
    return wire.Done(message=f"Type {code[:3]}-{code[3:]} where you are signing in")


@operation("POST", "/mfa/enable", body=wire_mfa.OfType, answers=_DONE, verified=True, tag=TAG, examples=_APP)
async def enable(call: Call, body: wire_mfa.OfType) -> wire.Done:
    """Enable a method that is set up; a magic link needs no setting up."""
    person = await call.core.accounts.person(call.signed_in.account)
    if FACTORS[body.mfa_type] not in person.factors:
        if body.mfa_type != "MAGIC_LINK":
            raise NotEnrolled
        await call.core.own_factors.enable_email(call.signed_in, call.client)
    return wire.Done(message="The method is enabled")


@operation("POST", "/mfa/disable", body=wire_mfa.OfType, answers=_DONE, verified=True, tag=TAG, examples=_APP)
async def disable(call: Call, body: wire_mfa.OfType) -> wire.Done:
    """Let go of a method. Refused for the last one while the organization wants one."""
    await call.core.own_factors.disable(call.signed_in, FACTORS[body.mfa_type], call.client)
    return wire.Done(message="The method is disabled")


@operation("POST", "/mfa/primary", body=wire_mfa.OfType, answers=_DONE, verified=True, tag=TAG, examples=_APP)
async def primary(call: Call, body: wire_mfa.OfType) -> wire.Done:
    """Say which of the enabled methods clients ask for first."""
    await call.core.own_factors.choose_primary(call.signed_in, FACTORS[body.mfa_type], call.client)
    return wire.Done(message="The method is asked for first")


@operation("POST", "/mfa/reset", body=wire_mfa.Reset, answers=_DONE, verified=True, tag=TAG)
async def reset(call: Call, body: wire_mfa.Reset) -> wire.Done:
    """Remove all second factors of one's own, or of somebody else of the organization from rank 254 on.

    Every client of that account ends; its owner is told.
    """
    target = call.signed_in.account
    if body.reset_user_id is not None:
        try:
            target = await call.core.accounts.by_id(uuid.UUID(body.reset_user_id).bytes)
        except ValueError:
            raise NotFound from None
    await call.core.factors.remove(call.signed_in, target, tuple(FACTORS.values()), call.client)
    return wire.Done(message="The second factors are removed")


@operation(
    "POST", "/mfa/organization/enforce", body=wire_mfa.Enforce, answers=_DONE, verified=True, tag=TAG,
    examples={"on": {"enforced": True}},
)  # fmt: skip
async def enforce(call: Call, body: wire_mfa.Enforce) -> wire.Done:
    """Want a second factor of every member of the organization, or no longer; from rank 254 on.

    Members have the days of `accounts.enrol_days` to set one up.
    """
    await call.core.factors.enforce(call.signed_in, body.enforced, call.client)
    return wire.Done(message="A second factor is wanted" if body.enforced else "No second factor is wanted")


async def _shown(begun: Begun) -> Setup:
    """Return what the owner of an app that is being set up must see."""
    url = begun.url.reveal()
    picture = await asyncio.to_thread(lambda: segno.make(url).svg_data_uri(scale=4))
    return Setup(
        message="Add the secret to the app and verify a code of it",
        data=SetupData(
            secret=begun.seed.reveal(), qr_code=picture, otpauth_url=url, expires_at=begun.ends_at,
            backup_codes=tuple(code.reveal() for code in begun.recovery_codes),
        ),
    )  # fmt: skip


def _codes(drawn: tuple[Secret, ...]) -> Setup:
    """Return that a method is in force, with the recovery codes that came with it, if any."""
    shown = SetupData(backup_codes=tuple(code.reveal() for code in drawn)) if drawn else SetupData()
    return Setup(message="The method is in force", data=shown)


OPERATIONS = (
    status,
    methods,
    setup,
    verify_setup,
    complete_registration,
    verify_login,
    auth_options,
    send_link,
    activate_link,
    enable,
    disable,
    primary,
    reset,
    enforce,
)
