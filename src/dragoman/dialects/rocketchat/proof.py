"""Proof in the call: what protected operations ask for when the session's proof is not fresh (contract section 7.4).

The same for REST, where code and method come in headers, and for methods, where they come among the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragoman.core import refusals
from dragoman.dialects.rocketchat import errors, memory, permissions
from dragoman.dialects.rocketchat.wire import Why
from dragoman.http import Answer, Call
from dragoman.http.faults import TooManyRequests
from dragoman.http.rates import Rate
from dragoman.model import Caller, Password, Person

CODE_HEADER, METHOD_HEADER = "x-2fa-code", "x-2fa-method"

Method = Literal["totp", "email", "password"]
_FACTORS: Mapping[Method, tuple[str, ...]] = {"totp": ("totp", "recovery"), "email": ("email", "recovery")}
"""What a code may be of, by the method that a client names: a recovery code is typed where every other is."""
_NAMED: Mapping[str, Method] = {"totp": "totp", "email": "email"}
_ASKED = Rate(10, 60.0)
"""How often a session is told to bring a proof: for callers whom no other rate holds."""
_LONGEST = 64
"""Characters of the longest code: the hex SHA-256 of a password."""


class Given(Struct, frozen=True):
    """A code with the method it is of, as a client sent them: both or none (contract section 7.4)."""

    code: str
    method: str


def given_in_headers(call: Call) -> Given | None:
    """Return what the headers of a call bring."""
    code, method = call.header(CODE_HEADER), call.header(METHOD_HEADER)
    return Given(code, method) if code and method else None


async def prove(call: Call) -> Answer | None:
    """Take the proof in the headers of a call, or return the answer that asks for one.

    Nobody is asked for a proof who lacks the permission anyway (contract section 1.1, "order"). Raises NotAllowed.
    """
    await permissions.asked(call)
    proved = await proof_of(call, call.signed_in, given_in_headers(call))
    if isinstance(proved, Answer):
        return proved
    call.caller = proved
    return None


async def proof_of(call: Call, caller: Caller, given: Given | None) -> Caller | Answer:
    """Return the caller as the proof makes it, or the answer that asks for a proof, for another, or for none any more.

    Repeating without end comes to an end: five misses end the session, and what is closed by a budget, or is asked for
    once more and once more, is answered by what no client repeats (contract section 7.4).
    """
    if given is None:
        now = call.core.clock.now()
        counted = memory.of(call).asked.count(now, caller.session.id, _ASKED)
        return (
            await _asked_for(call, caller)
            if counted.fits
            else errors.fault(TooManyRequests(counted.ends_at - now), call)
        )
    person = await call.core.accounts.person(caller.account)
    method = _method(given.method, person)
    try:
        if method == "password":
            password = Password.from_digest(given.code if len(given.code) <= _LONGEST else "")
            return await call.core.proving.with_password(caller, password, call.client)
        return await call.core.proving.with_code(caller, given.code, call.client, only=_FACTORS[method])
    except (refusals.AccountLocked, refusals.NetworkBlocked, refusals.TooManyCodes, refusals.CodeVoid):
        return errors.in_call("totp-max-attempts", _why(method, person))
    except refusals.WrongCode as no:
        return errors.in_call("totp-invalid", _why(method, person, no))
    except refusals.WrongPassword:
        return errors.in_call("totp-invalid", _why(method, person))


async def _asked_for(call: Call, caller: Caller) -> Answer:
    asked = await call.core.proving.challenge(caller, call.client)
    if asked.password:
        return errors.in_call("totp-required", _why("password", asked.person))
    return errors.in_call("totp-required", errors.second_factor(asked.offers, asked.person, asked.mailed))


def _method(named: str, person: Person) -> Method:
    """Return the method that counts: the one that is named, else the first that is enrolled (contract section 7.2)."""
    method = _NAMED.get(named)
    if method is not None:
        return method
    if not person.has_second_factor:
        return "password"
    return "totp" if "totp" in person.factors or "email" not in person.factors else "email"


def _why(method: Method, person: Person, no: refusals.WrongCode | None = None) -> Why:
    """Return the details of a code that is not taken: of the method that was tried, with those there are."""
    held: tuple[str, ...] = tuple(each for each in ("totp", "email") if each in person.factors)
    if no is not None:
        held = errors.methods(no.offers)
    if method == "email":
        told = errors.second_factor(("email",), person, None if no is None else no.mailed)
    else:
        told = Why(method=method, code_generated=False)
    return replace(told, available_methods=held)
