"""The methods: one table for every way they come in, DDP and REST's `method.call` (contract sections 7.5 and 13.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from dragoman.core.doors import DAY
from dragoman.core.refusals import NotForKeys, NotSignedIn, Refusal, of_storage
from dragoman.dialects.rocketchat import entrance, errors, forms, memory, registering
from dragoman.dialects.rocketchat.ddp import factors, limits, messages
from dragoman.dialects.rocketchat.ddp.messages import Date, NotDone, Problem, Token, parameter
from dragoman.dialects.rocketchat.proof import Given, proof_of
from dragoman.dialects.rocketchat.wire import ALIAS, Digest, Login
from dragoman.http import Answer, Call
from dragoman.model import Caller, Password, Pending, SignedIn

_NO_END = 90 * DAY * 1000
"""What is said of the end of a token that has none (contract section 16, no. 25)."""


class Visit:
    """Who calls methods: a connection, or one call over REST."""

    connection = ""
    """Names the connection for its limits."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.given: Given | None = None
        """A code with its method that came along with the call under way (contract section 7.4)."""
        self.held: SignedIn | None = None
        """As whom it is signed in. The row is asked again before anything is done on the strength of it."""

    @property
    def user(self) -> str:
        """The id of who is signed in, empty for nobody."""
        return self.held.person.aliases[ALIAS] if self.held is not None else ""

    async def hold(self, held: SignedIn | None) -> None:
        """Be signed in as somebody else, or as nobody."""
        self.held = held

    async def caller(self) -> Caller:
        """Return who is signed in, as the session's row says now. Raises NotSignedIn."""
        if self.held is None:
            raise NotSignedIn
        return await self.call.core.sessions.again(self.held.session)

    async def client(self) -> Caller:
        """The same, but not with a key (decision 17). Raises NotForKeys too."""
        caller = await self.caller()
        if caller.session.narrow:
            raise NotForKeys
        return caller

    async def proved(self, caller: Caller) -> Caller:
        """Return the caller with a proof that is fresh, be it by what was given. Raises NotDone, asking for one."""
        if await self.call.core.proving.is_fresh(caller, self.call.client):
            return caller
        proved = await proof_of(self.call, caller, self.given)
        if isinstance(proved, Answer):
            raise NotDone(messages.of_answer(proved))
        return proved

    async def outcome(self, name: str, params: list[Any]) -> dict[str, Any]:
        """Call a method within its limits; return what a `result` says of it: `result`, `error`, or nothing."""
        method = METHODS.get(name)
        before = self.given
        try:
            params, given = _options(params)
            self.given = given or before
            self._count(name if method is not None else "")
            if method is None:
                return {"error": messages.not_found("Method", name)}
            result = await method(self, params)
        except NotDone as no:
            return {"error": no.problem}
        except Refusal as no:
            return {"error": messages.of_refusal(no, self.call)}
        except Exception as broken:
            away = of_storage(broken)
            if away is None:
                raise
            return {"error": messages.of_refusal(away, self.call)}
        finally:
            self.given = before
        return {} if result is None else {"result": result}

    def _count(self, method: str) -> None:
        now, client = self.call.core.clock.monotonic(), self.call.client
        wait = limits.wait(
            memory.of(self.call).methods, now, method, address=client.network, user=self.user,
            connection=self.connection,
        )  # fmt: skip
        if wait:
            raise NotDone(messages.too_many(wait))


class _Again(Struct, rename="camel"):
    """Which method is to be called with a code."""

    code: str
    method: str
    ddp_method: str
    params: list[Any] = []


class _Options(Struct, rename="camel"):
    """What clients add to the parameters of a method that asked them for a code."""

    two_factor_code: str
    two_factor_method: str


def _options(params: list[Any]) -> tuple[list[Any], Given | None]:
    """Return the parameters without a code that was added to them, and that code."""
    if params and isinstance(params[-1], dict) and params[-1].keys() == {"twoFactorCode", "twoFactorMethod"}:
        options = parameter(params, -1, _Options)
        return params[:-1], Given(options.two_factor_code, options.two_factor_method)
    return params, None


def _again(params: list[Any]) -> _Again | None:
    if len(params) == 4:
        payload, method, code, name = params
        params = [{"params": payload, "method": method, "code": code, "ddpMethod": name}]
    try:
        return msgspec.convert(params[0], _Again) if params else None
    except msgspec.ValidationError:
        return None


def _token(visit: Visit, held: SignedIn, kind: str | None = None) -> Token:
    ends_at = held.session.ends_at or visit.call.core.clock.now() + _NO_END
    return Token(held.person.aliases[ALIAS], held.token, Date(ends_at), UNSET if kind is None else kind)


async def _arrived(visit: Visit, outcome: SignedIn | Pending, kind: str) -> Token:
    """Hold what a sign-in came to, or ask for the code that it waits for."""
    if isinstance(outcome, Pending):
        raise NotDone(messages.of_answer(errors.code_wanted(outcome)))
    await visit.hold(outcome)
    return _token(visit, outcome, kind)


async def login(visit: Visit, params: list[Any]) -> Token:
    """Sign in with one of the forms that REST takes, but for the flat ones."""
    form = forms.read(parameter(params, 0, Login), flat=False)
    if form is None:
        raise NotDone(messages.USER_NOT_FOUND)
    try:
        outcome = await entrance.enter(visit.call, form)
    except NotSignedIn:
        raise NotDone(messages.USER_NOT_FOUND) from None
    return await _arrived(visit, outcome, "resume" if isinstance(form, forms.ByToken) else "password")


async def logout(visit: Visit, _: list[Any]) -> None:
    """Sign out: the token ends, the connection stays. Nobody signed in is no error."""
    held = visit.held
    await visit.hold(None)
    if held is not None:
        try:
            caller = await visit.call.core.sessions.again(held.session)
        except NotSignedIn:
            return
        await visit.call.core.sessions.sign_out(caller, visit.call.client)


async def get_new_token(visit: Visit, _: list[Any]) -> Token:
    """Give another token with the end of the old one, and be signed in with it from now on."""
    held = await visit.call.core.signin.derive(await visit.client(), visit.call.client)
    await visit.hold(held)
    return _token(visit, held)


async def remove_other_tokens(visit: Visit, _: list[Any]) -> None:
    """End all other sessions; keys stay (table C, "others")."""
    await visit.call.core.sessions.end_others(await visit.client(), visit.call.client)


async def logout_other_clients(visit: Visit, params: list[Any]) -> Token | None:
    """The same, and tell the token that stays."""
    await remove_other_tokens(visit, params)
    if visit.held is None:
        return None
    return msgspec.structs.replace(_token(visit, visit.held), id=UNSET)


async def register_user(visit: Visit, params: list[Any]) -> str | None:
    """Register in the default organization, and tell the id; nobody is signed in. Where accounts are concealed, tell
    nothing: a mail says the rest.
    """
    form = parameter(params, 0, registering.Form)
    refused = registering.unfit(form)
    if refused is not None:
        raise NotDone(messages.of_answer(refused))
    person = (await registering.register(visit.call, form)).person
    return None if person is None else person.aliases[ALIAS]


async def send_forgot_password_email(visit: Visit, params: list[Any]) -> bool:
    """Have a link mailed with which a new password is set; yes for addresses that nobody has, too."""
    address = parameter(params, 0, str)
    await visit.call.core.recovery.request_reset(visit.call.door.name, address, visit.call.client)
    return True


async def reset_password(visit: Visit, params: list[Any]) -> Token:
    """Set a new password with the token of a mailed link, end everything else, and sign in."""
    token, password = parameter(params, 0, str), forms.password_of(parameter(params, 1, str | Digest))  # type: ignore[arg-type]
    if password is None:
        raise NotDone(messages.MATCH_FAILED)
    return await _with_ticket(visit, "reset", token, password)


async def verify_email(visit: Visit, params: list[Any]) -> Token:
    """Confirm an address with the token of a mailed link, and sign in."""
    return await _with_ticket(visit, "verify", parameter(params, 0, str), None)


async def _with_ticket(visit: Visit, purpose: Any, token: str, password: Password | None) -> Token:
    call, by = visit.call, None
    if visit.held is not None:
        with suppress(NotSignedIn):
            by = await visit.caller()
    outcome = await call.core.signin.with_ticket(call.door, purpose, token, call.client, password=password, by=by)
    return await _arrived(visit, outcome, "password")


async def call_with_two_factor(visit: Visit, params: list[Any]) -> Any:
    """Call another method with a code: `{code, method, ddpMethod, params}`, or the same one by one."""
    wanted = _again(params)
    if wanted is None or METHODS.get(wanted.ddp_method) in (None, call_with_two_factor):
        raise NotDone(messages.MATCH_FAILED)
    visit.given = Given(wanted.code, wanted.method)
    outcome = await visit.outcome(wanted.ddp_method, wanted.params)
    if "error" in outcome:
        raise NotDone(outcome["error"])
    return outcome.get("result")


METHODS: Mapping[str, Callable[[Visit, list[Any]], Awaitable[Any]]] = {
    "login": login,
    "logout": logout,
    "getNewToken": get_new_token,
    "removeOtherTokens": remove_other_tokens,
    "logoutOtherClients": logout_other_clients,
    "registerUser": register_user,
    "sendForgotPasswordEmail": send_forgot_password_email,
    "resetPassword": reset_password,
    "verifyEmail": verify_email,
    "callWithTwoFactorRequired": call_with_two_factor,
    **factors.METHODS,
}

__all__ = ["METHODS", "Problem", "Visit"]
