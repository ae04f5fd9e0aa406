"""How the pages behind mailed links are made: their forms, their words, their headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from dragoman.core.policy import Policy
from dragoman.http.call import Answer, Call
from dragoman.web.headers import FORMS, OWN_REFERRER
from dragoman.web.render import render
from dragoman.web.words import Words, catalogue, language_for

TAG = "links"
"""The tag of the operations whose errors, too, look like these pages."""


class Address(Struct, frozen=True):
    """The form that asks for a link. What is left out counts as empty, so that the page can say what is missing."""

    email: str = ""


class Chosen(Struct, frozen=True):
    """The form in which a password is chosen, twice, since nobody sees what they type there."""

    password: str = ""
    again: str | None = None
    """None where a program sends the form: whoever did not type cannot mistype."""

    def problem(self) -> str:
        """Return the name of the sentence about what is wrong with the form itself, empty when nothing is."""
        if not self.password:
            return "needed"
        return "" if self.again in (None, self.password) else "differ"


def page(
    call: Call, name: str, status: int = 200, *, headers: Sequence[tuple[str, str]] = (), request_id: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> Answer:  # fmt: skip
    """Return a page that says something.

    :param name: where the catalogue has it: `asked`, `reset.done`.
    :param facts: what is shown beside it: names of labels in `common`, and values.
    """
    return _answer(call, "landing.html", name, status, headers, request_id=request_id, facts=facts)


def form(
    call: Call, name: str, fields: str, *, problem: str = "", facts: Sequence[tuple[str, str]] = ()
) -> Answer:  # fmt: skip
    """Return a page with a form, which goes to where the page came from.

    :param fields: `address`, `password`, or empty for a button alone.
    :param problem: the name of the sentence in the catalogue about what is to be corrected.
    :param facts: what is shown of the account: names of labels in `common`, and values.
    """
    headers = (*FORMS, *(OWN_REFERRER if fields == "address" else ()))
    status = 400 if problem else 200
    return _answer(call, "landing_form.html", name, status, headers, fields=fields, problem=problem, facts=facts)


def from_elsewhere(call: Call) -> bool:
    """Tell whether a browser says that another website sent this form.

    `Sec-Fetch-Site` says it best, but is only sent over TLS and on loopback; else `Origin`, which must be the address
    that was asked or the one in the configuration. Programs that send neither are no browsers.
    """
    site = call.header("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    return call.header("origin") not in (None, _policy(call).mail.base) and not call.origin_allowed


def _answer(
    call: Call, template: str, name: str, status: int, headers: Sequence[tuple[str, str]], **more: Any
) -> Answer:  # fmt: skip
    language = language_for(call.header("accept-language"))
    words, site = catalogue(language), _policy(call).issuer
    values = {"site": site}
    facts = [(words["common"][label], value) for label, value in more.pop("facts", ())]
    shown = {"problem": "", "request_id": "", **more, "facts": facts, "values": values}
    own = _section(words, name)
    fixed = {"own": own, "common": words["common"], "problems": words["problems"], "language": language, "site": site}
    body = render(template, **fixed, title=own["title"].format(**values), **shown)
    return Answer(status, body, (*headers, ("content-language", language), ("vary", "Accept-Language")))


def _section(words: Words, name: str) -> Words:
    """Return a page of the catalogue; what it may lack is empty."""
    found = words
    for part in name.split("."):
        found = found[part]
    return {"link": "", "note": "", "button": "", **found}


def _policy(call: Call) -> Policy:
    return call.core.settings.latest()
