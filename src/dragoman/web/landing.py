"""The pages behind mailed links: plain forms over `core.recovery`, which decides everything.

Whatever reads a page changes nothing, since programs that look through mail follow links: the button does it, once. A
page tells nothing of an account before its link proved good, and never whether there is a second factor.
"""

from __future__ import annotations

from dragoman.core import identifiers
from dragoman.core.doors import Door
from dragoman.core.recovery import Linked
from dragoman.core.refusals import (
    BadIdentifier,
    BadTicket,
    PasswordNeeded,
    Refusal,
    SamePassword,
    TicketExpired,
    WeakPassword,
)
from dragoman.core.tickets import Purpose
from dragoman.http.call import Answer, Call
from dragoman.http.operation import Operation, operation
from dragoman.model import Password
from dragoman.web.plain import TAG, Address, Chosen, form, from_elsewhere, page
from dragoman.web.render import ready
from dragoman.web.words import masked, short

DOOR = "pages"
"""The door that a request for a link names (table A)."""
_FIELDS = {"reset": "password", "invite": "password"}


def operations() -> tuple[Operation, ...]:
    """Return the pages, a GET and a POST for each."""
    return (*_ASKING, *_CHOOSING, *_PRESSING)


# ---------------------------------------------------------------- asking for a link


@operation("GET", "/reset-password", access="open", hidden=True, tag=TAG)
async def forgotten(call: Call) -> Answer:
    """Ask for the address to which a link for a new password is to be sent."""
    await ready()
    await call.core.recovery.offer_reset()
    return form(call, "ask", "address")


@operation("POST", "/reset-password", body=Address, access="open", hidden=True, tag=TAG)
async def send_link(call: Call, body: Address) -> Answer:
    """Have a link sent, and say the same whoever has the address.

    Refused where a browser says that another website sent the form.
    """
    await ready()
    if from_elsewhere(call):
        return page(call, "no.elsewhere", 403)
    try:
        identifiers.check("email", body.email)
    except BadIdentifier:
        return form(call, "ask", "address", problem="address")
    await call.core.recovery.request_reset(DOOR, body.email, call.client)
    return page(call, "asked")


_ASKING = (forgotten, send_link)

# ---------------------------------------------------------------- links with which a password is chosen


@operation("GET", "/reset-password/{token}", access="open", hidden=True, tag=TAG)
async def new_password(call: Call) -> Answer:
    """Ask for the new password of whoever holds the link."""
    return await _asked(call, "reset")


@operation("POST", "/reset-password/{token}", body=Chosen, access="open", hidden=True, tag=TAG)
async def set_password(call: Call, body: Chosen) -> Answer:
    """Set the password; every session and key ends."""
    return await _chosen(call, "reset", body)


@operation("GET", "/invite/{token}", access="open", hidden=True, tag=TAG)
async def invitation(call: Call) -> Answer:
    """Say who is invited, and ask for a password."""
    return await _asked(call, "invite")


@operation("POST", "/invite/{token}", body=Chosen, access="open", hidden=True, tag=TAG)
async def accept_invitation(call: Call, body: Chosen) -> Answer:
    """Bring the account to life with its password."""
    return await _chosen(call, "invite", body)


_CHOOSING = (new_password, set_password, invitation, accept_invitation)

# ---------------------------------------------------------------- links with one button


@operation("GET", "/verify/{token}", access="open", hidden=True, tag=TAG)
async def address_in_question(call: Call) -> Answer:
    """Say which address would be confirmed."""
    return await _asked(call, "verify")


@operation("POST", "/verify/{token}", body=Chosen, access="open", hidden=True, tag=TAG)
async def confirm_address(call: Call, body: Chosen) -> Answer:
    """Record that the address was proved; with a new password, where it was somebody else who registered it."""
    linked, _ = await _linked(call, "verify")
    if await _is_strangers(call, "verify", linked):
        return await _chosen(call, "verify", body)
    return await _done(call, "verify")


@operation("GET", "/undo/{token}", access="open", hidden=True, tag=TAG)
async def change_in_question(call: Call) -> Answer:
    """Say which change would be taken back."""
    return await _asked(call, "undo")


@operation("POST", "/undo/{token}", access="open", hidden=True, tag=TAG)
async def take_change_back(call: Call) -> Answer:
    """Bring the former address or number back; leads on to a new password."""
    return await _done(call, "undo")


@operation("GET", "/open/{token}", access="open", hidden=True, tag=TAG)
async def closed_sign_in(call: Call) -> Answer:
    """Say from where the owner could sign in again."""
    return await _asked(call, "open")


@operation("POST", "/open/{token}", access="open", hidden=True, tag=TAG)
async def open_sign_in(call: Call) -> Answer:
    """Let the owner sign in again from the network of this request."""
    return await _done(call, "open")


@operation("GET", "/magic/{token}", access="open", hidden=True, tag=TAG)
async def code_of_link(call: Call) -> Answer:
    """Show the code of a link for the second step; the sign-in goes on only where it waits (decision 5)."""
    await ready()
    code = await call.core.factors.code_of_link(call.path["token"])
    return page(call, "magic", facts=[("code", f"{code[:3]}-{code[3:]}")])


_PRESSING = (
    address_in_question,
    confirm_address,
    change_in_question,
    take_change_back,
    closed_sign_in,
    open_sign_in,
    code_of_link,
)

# ---------------------------------------------------------------- what they share


async def _asked(call: Call, purpose: Purpose, problem: str = "") -> Answer:
    """Show the form of a good link. Raises BadTicket, TicketExpired."""
    await ready()
    linked, _ = await _linked(call, purpose)
    name, fields = str(purpose), _FIELDS.get(purpose, "")
    if await _is_strangers(call, purpose, linked):
        name, fields = "verify.stranger", "password"
    return form(call, name, fields, problem=problem, facts=_facts(purpose, linked))


async def _is_strangers(call: Call, purpose: Purpose, linked: Linked) -> bool:
    """Tell whether the one who confirms an address is not known to be the one who registered it (decision 15)."""
    return purpose == "verify" and await call.core.recovery.asks_password(purpose, linked.person, call.client, None)


async def _chosen(call: Call, purpose: Purpose, body: Chosen) -> Answer:
    """Use a link with a password; where that is not good, show the form again: the link still is."""
    if problem := body.problem():
        return await _asked(call, purpose, problem)
    try:
        return await _done(call, purpose, Password.from_plain(body.password))
    except (WeakPassword, SamePassword, PasswordNeeded) as why:
        return await _asked(call, purpose, _problem(why))


async def _done(call: Call, purpose: Purpose, password: Password | None = None) -> Answer:
    """Use a link and say that it is done."""
    await ready()
    _, door = await _linked(call, purpose)
    await call.core.recovery.use(purpose, call.path["token"], call.client, password=password, door=door)
    return page(call, f"{purpose}.done")


async def _linked(call: Call, purpose: Purpose) -> tuple[Linked, Door | None]:
    """Return what a link tells, and the door in whose form its token is, None for the usual form.

    A door whose contract gives tokens a form of their own mails those, also where its links lead here.
    """
    token = call.path["token"]
    doors: list[Door | None] = [None]
    if "." in token:
        doors = [door for door in call.core.doors.values() if door.ticket_of(purpose) is not None]
    refused = BadTicket()
    for door in doors:
        try:
            return await call.core.recovery.look(purpose, token, door=door), door
        except TicketExpired:
            raise
        except BadTicket as why:
            refused = why
    raise refused


def _facts(purpose: Purpose, linked: Linked) -> list[tuple[str, str]]:
    """Return what is shown of an account to whoever holds a good link, by the name of its label."""
    person = linked.person
    if purpose == "undo":
        shown = [("account", person.name), ("back", masked(linked.address)), ("gone", masked(linked.gone))]
    else:
        address = person.email if purpose == "open" else linked.address
        shown = [("account", person.name), ("address", masked(address))]
    return [(label, short(value)) for label, value in shown if value]


def _problem(why: Refusal) -> str:
    """Return the name of the sentence that says what is wrong with a password."""
    if isinstance(why, WeakPassword):
        return why.reason
    return "same" if isinstance(why, SamePassword) else "needed"
