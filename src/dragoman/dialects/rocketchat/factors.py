"""Rocket.Chat's endpoints about second factors: one's own, somebody else's, OAuth's (contract sections 7.5, 7.6)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from dragoman.core import refusals
from dragoman.core.refusals import NotOffered
from dragoman.dialects.rocketchat import permissions, wire
from dragoman.dialects.rocketchat.errors import failure
from dragoman.dialects.rocketchat.proof import CODE_HEADER, METHOD_HEADER
from dragoman.http import Answer, Call, operation
from dragoman.model import Account

_PROOF = (CODE_HEADER, METHOD_HEADER)


class Whose(Struct, rename="camel"):
    """Whose factor is meant: the caller's own where nobody is named."""

    user_id: str | UnsetType | None = UNSET
    username: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET


class LoginCode(Struct):
    """The code with which a browser comes back from another service."""

    code: Annotated[str, Meta(min_length=64, max_length=64)]


class Challenge(Struct, rename="camel"):
    """A sign-in by another service that waits for a second factor."""

    challenge_id: str | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET


class Redeemed(Struct, frozen=True, rename="camel"):
    """What the client signs in with from now on."""

    login_token: str
    user_id: str
    success: bool


async def _target(call: Call, body: Whose) -> Account:
    """Return whom a body names. Raises NotFound, NotAllowed for somebody else without the permission."""
    caller, accounts = call.signed_in.account, call.core.accounts
    person = await accounts.person(caller)
    own = {person.aliases[wire.ALIAS], person.username}
    id, name = body.user_id or None, body.username or body.user or None
    if (id or name or person.username) in own:
        return caller
    await permissions.needs(call, "edit-other-user-totp")
    return await (accounts.by_alias(wire.ALIAS, id) if id else accounts.by_username(name or ""))


@operation("POST", "/api/v1/users.2fa.enableEmail", answers={200: wire.Done}, fresh=True, headers=_PROOF,
           tag="second factor")  # fmt: skip
async def enable_email(call: Call) -> wire.Done | Answer:
    """Have codes mailed at each sign-in from now on; every other client of the account ends."""
    try:
        await call.core.own_factors.enable_email(call.signed_in, call.client)
    except refusals.AlreadyEnrolled:
        return wire.DONE
    except refusals.VerificationRequired:
        return failure(400, "Invalid user", "error-invalid-user")
    return wire.DONE


@operation("POST", "/api/v1/users.2fa.disableEmail", answers={200: wire.Done}, fresh="always", headers=_PROOF,
           tag="second factor")  # fmt: skip
async def disable_email(call: Call) -> wire.Done:
    """Have no more codes mailed. Wants a proof in each call."""
    try:
        await call.core.own_factors.disable(call.signed_in, "email", call.client)
    except refusals.NotEnrolled:
        return wire.DONE
    return wire.DONE


@operation("POST", "/api/v1/users.resetTOTP", body=Whose, answers={200: wire.Done}, fresh="always", headers=_PROOF,
           tag="second factor", examples={"own": {}, "another": {"username": "bob"}})  # fmt: skip
async def reset_totp(call: Call, body: Whose) -> wire.Done:
    """Remove an authenticator app and end every client of its account. Wants a proof in each call."""
    await call.core.factors.remove(call.signed_in, await _target(call, body), ("totp",), call.client)
    return wire.DONE


@operation("POST", "/api/v1/users.resetE2EKey", body=Whose, answers={200: wire.Done}, fresh="always", headers=_PROOF,
           tag="second factor")  # fmt: skip
async def reset_e2e_key(call: Call, body: Whose) -> wire.Done:
    """Refuse: no keys of encrypted rooms are kept here."""
    await _target(call, body)
    raise NotOffered


# ---------------------------------------------------------------- the way back from OAuth in a browser

_BAD_CODE = failure(400, "Invalid code", "error-invalid-code")
_NO_ID = failure(400, 'The required "challengeId" param is missing', "error-parameter-required")
_NO_CODE = failure(400, 'The required "code" param is missing', "error-parameter-required")
_NO_CHALLENGE = failure(400, "Challenge not found", "error-challenge-not-found")
_EXPIRED = failure(400, "Challenge expired", "error-challenge-expired")
_WRONG_METHOD = failure(400, "Invalid challenge method", "error-invalid-challenge-method")
_TOO_MANY = failure(400, "TOTP Maximun Failed Attempts Reached", "totp-max-attempts")


def _no_challenge(refusal: refusals.NoSuchAttempt) -> Answer:
    return _EXPIRED if refusal.expired else _NO_CHALLENGE


@operation("POST", "/api/v1/loginCode.redeem", body=LoginCode, answers={200: Redeemed}, access="open",
           tag="second factor")  # fmt: skip
async def redeem(call: Call, body: LoginCode) -> Answer:
    """Refuse: no browser comes back here from another service with a code, so that no code is good."""
    return _BAD_CODE


@operation("POST", "/api/v1/twoFactorChallenges.sendEmailCode", body=Challenge, answers={200: wire.Done},
           access="open", tag="second factor")  # fmt: skip
async def send_challenge_code(call: Call, body: Challenge) -> wire.Done | Answer:
    """Mail another code for a sign-in that waits for one."""
    if not body.challenge_id:
        return _NO_ID
    try:
        await call.core.factors.mail_code_again(call.door, body.challenge_id, call.client)
    except refusals.NoSuchAttempt as no:
        return _no_challenge(no)
    except refusals.NotOffered:
        return _WRONG_METHOD
    return wire.DONE


@operation("POST", "/api/v1/twoFactorChallenges.verifyChallenge", body=Challenge, answers={200: Redeemed},
           access="open", tag="second factor")  # fmt: skip
async def verify_challenge(call: Call, body: Challenge) -> Redeemed | Answer:
    """Finish a sign-in that waits for a code."""
    if not body.challenge_id or not body.code:
        return _NO_CODE if body.challenge_id else _NO_ID
    try:
        outcome = await call.core.signin.with_code(call.door, body.challenge_id, body.code, call.client)
    except refusals.NoSuchAttempt as no:
        return _no_challenge(no)
    except (refusals.CodeVoid, refusals.TooManyCodes):
        return _TOO_MANY
    except refusals.WrongCode:
        return _BAD_CODE
    return Redeemed(outcome.token, outcome.person.aliases[wire.ALIAS], True)


OPERATIONS = (
    enable_email, disable_email, reset_totp, reset_e2e_key, redeem, send_challenge_code, verify_challenge
)  # fmt: skip
