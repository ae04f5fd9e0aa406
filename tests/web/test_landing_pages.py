"""The pages behind mailed links: whole flows; links looked at, used up, crossed, too old; hostile values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest

from dragoman import web
from dragoman.app import gateway, mounts
from dragoman.core import refusals
from dragoman.core.accounts import NewAccount
from dragoman.core.recovery import Changed
from dragoman.core.tickets import LIVES, Purpose
from dragoman.core.tokens import Signed
from dragoman.http.address import Proxies
from dragoman.http.call import Call
from dragoman.model import Person
from dragoman.storage.engine import Statement
from dragoman.storage.schema import metadata
from dragoman.storage.sqlite import SqliteEngine
from dragoman.web import pages
from dragoman.web.errors import refuse
from dragoman.web.words import LANGUAGES, catalogue, language_for, masked
from journeys.drivers import DRIVERS, FLASHBACK, Asked
from kit.house import PASSWORD, House, open_house
from kit.recipes import NEW_PASSWORD

pytestmark = pytest.mark.slow

PATHS: dict[Purpose, str] = {
    "reset": "/reset-password", "verify": "/verify", "invite": "/invite", "undo": "/undo", "open": "/open",
}  # fmt: skip
BOTH = {"password": NEW_PASSWORD, "again": NEW_PASSWORD}
FORMS: dict[Purpose, dict[str, str]] = {"reset": BOTH, "verify": {}, "invite": BOTH, "undo": {}, "open": {}}
VOID = frozenset({"meta", "link", "input", "br"})


class Reader(HTMLParser):
    """A page as a browser reads it: its elements, what they refer to, and that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


TAGS = {
    "html", "head", "meta", "title", "link", "body", "header", "main", "h1", "p", "bdi", "dl", "div", "dt", "dd",
    "form", "label", "input", "button", "a", "code",
}  # fmt: skip


def read(answer: httpx2.Response, token: str = "-") -> Reader:
    """Read a page and hold it to the rules that each of these pages keeps."""
    page = Reader(answer.text)
    assert {tag for tag, _ in page.elements} <= TAGS
    refers = [
        (tag, name, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "srcset", "action", "formaction", "data", "poster", "ping", "style", "background")
        or name.startswith("on")
    ]
    [style] = page.all("link")
    assert style["rel"] == "stylesheet"
    assert re.fullmatch(r"/static/style-[0-9a-f]{16}\.css", style["href"])
    assert {(tag, name, value) for tag, name, value in refers if tag != "link"} <= {("a", "href", "/reset-password")}
    assert {"name": "robots", "content": "noindex"} in page.all("meta")
    assert not any("http-equiv" in meta for meta in page.all("meta"))
    [html] = page.all("html")
    assert html["lang"] == answer.headers["content-language"]
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert len(token) < 8 or token not in answer.text, "the token is in the page"
    _hold_form(page)
    _hold_headers(answer, bool(page.all("form")))
    return page


def _hold_form(page: Reader) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in page.all("label")}
    for field in page.all("input"):
        assert field["id"] in labelled
        assert field["autocomplete"] in ("email", "new-password")
        assert set(field.get("aria-describedby", "").split()) <= set(ids)
        if "aria-invalid" in field:
            assert "problem" in field["aria-describedby"].split()
    for form in page.all("form"):
        assert form == {"method": "post"}
        assert len(page.all("button")) == 1


def _hold_headers(answer: httpx2.Response, has_form: bool) -> None:
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "style-src": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
        "form-action": "'self'" if has_form else "'none'",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept-Language"
    assert "set-cookie" not in answer.headers
    asks = has_form and 'name="email"' in answer.text
    assert answer.headers["referrer-policy"] == ("same-origin" if asks else "no-referrer")


def said(page: Reader) -> str:
    return " ".join(" ".join(page.words).split())


def heading(answer: httpx2.Response) -> str:
    return re.search("<h1>(.*?)</h1>", answer.text)[1]  # type: ignore[index]


async def ada(house: House, **fields: Any) -> Person:
    """Add Ada, or whoever the fields make of her."""
    return await house.ada(**fields)


async def link(house: House, purpose: Purpose, person: Person | None = None) -> str:
    """Return the token of a good link of this purpose, of Ada unless a person is named."""
    if purpose == "invite":
        person = await house.core.accounts.add(NewAccount(email="bob@example.com", status="invited"), None)
    person = person or await ada(house, verified=purpose != "verify")
    change = msgspec.json.encode(Changed("email", person.email or "", "thief@example.com")).decode()
    return await house.ticket(purpose, person, change if purpose == "undo" else "")


async def everything(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    return {name: sorted(await house.db.scan(Statement(f"select * from {name}")), key=repr) for name in metadata.tables}


# ---------------------------------------------------------------- whole flows


async def test_a_forgotten_password_is_replaced_everywhere(house: House) -> None:
    await ada(house)
    held = {driver: await driver.held(house.request) for driver in DRIVERS}
    read(await house.get("/reset-password"))
    answer = await house.post("/reset-password", data={"email": " ADA@example.com "})
    assert answer.status_code == 200
    assert "Look into your mailbox" in said(read(answer))
    [letter] = await house.letters("reset")
    path = letter.values["link"].removeprefix("http://dragoman.test")
    token = path.removeprefix("/reset-password/")

    shown = said(read(await house.get(path), token))
    assert "Ada Example" in shown
    assert "a•••@example.com" in shown
    assert "ada@example.com" not in shown
    done = await house.post(path, data=BOTH)
    assert (done.status_code, heading(done)) == (200, "Your new password is set")
    read(done, token)
    for driver in DRIVERS:
        assert not await driver.live(house.request, held[driver]), driver
        await driver.refused(house.request, "wrong", password=PASSWORD)
        await driver.held(house.request, password=NEW_PASSWORD)
    assert len(await house.letters("password_reset")) == 1


async def test_a_second_factor_is_neither_told_nor_skipped(house: House) -> None:
    plain = await ada(house)
    pages_of_one = [
        await house.get(f"/reset-password/{await link(house, 'reset', plain)}"),
        await house.post(f"/reset-password/{await link(house, 'reset', plain)}", data=BOTH),
    ]
    await house.enrol_totp(plain)
    token = await link(house, "reset", plain)
    pages_of_other = [
        await house.get(f"/reset-password/{token}"),
        await house.post(f"/reset-password/{token}", data=BOTH),
    ]
    assert [page.text for page in pages_of_one] == [page.text for page in pages_of_other]
    assert isinstance(await FLASHBACK.sign_in(house.request, password=NEW_PASSWORD), Asked)
    assert await house.sessions() == []


async def test_an_address_is_confirmed(house: House) -> None:
    person = await ada(house, verified=False)
    token = await link(house, "verify", person)
    shown = said(read(await house.get(f"/verify/{token}"), token))
    assert "a•••@example.com" in shown
    assert "Dragoman" in shown
    assert "mistyped" in shown, "what to do when it was not you"
    answer = await house.post(f"/verify/{token}")
    assert (answer.status_code, heading(answer)) == (200, "Your address is confirmed")
    after = await house.core.accounts.person(await house.core.accounts.by_id(person.account.id))
    assert after.emails[0].state == "verified"


async def test_an_invitation_is_accepted(house: House) -> None:
    bob = await house.core.accounts.add(NewAccount(email="bob@example.com", first_name="Bob", status="invited"), None)
    await house.core.recovery.invite(bob.account, by="Ada Example")
    token = await house.token("invite")
    page = read(await house.get(f"/invite/{token}"), token)
    assert "Bob" in said(page)
    assert [field["autocomplete"] for field in page.all("input")] == ["new-password"] * 2
    empty = await house.post(f"/invite/{token}")
    assert (empty.status_code, "Type a password." in said(read(empty, token))) == (400, True)
    answer = await house.post(f"/invite/{token}", data=BOTH)
    assert (answer.status_code, heading(answer)) == (200, "Your account is ready")
    await FLASHBACK.held(house.request, "bob@example.com", NEW_PASSWORD)


async def test_a_change_is_taken_back_and_leads_to_a_new_password(house: House) -> None:
    person = await ada(house)
    held = await FLASHBACK.held(house.request)
    token = await link(house, "undo", person)
    shown = said(read(await house.get(f"/undo/{token}"), token))
    assert "What it will be again a•••@example.com" in shown
    assert "What is taken away t•••@example.com" in shown
    answer = await house.post(f"/undo/{token}")
    assert (answer.status_code, heading(answer)) == (200, "The change is taken back")
    assert [a["href"] for a in read(answer, token).all("a")] == ["/reset-password"]
    assert not await FLASHBACK.live(house.request, held)


async def test_the_owner_lets_himself_in_from_where_he_is(house: House) -> None:
    person = await ada(house)
    for n in range(10):
        await FLASHBACK.sign_in(house.request, password="wrong", address=f"198.51.100.{n}")
    await FLASHBACK.refused(house.request, "locked", address="203.0.113.7")
    token = await link(house, "open", person)
    read(await house.get(f"/open/{token}", address="203.0.113.7"), token)
    await FLASHBACK.refused(house.request, "locked", address="203.0.113.7")
    answer = await house.post(f"/open/{token}", address="203.0.113.7")
    assert (answer.status_code, heading(answer)) == (200, "You can sign in from here")
    await FLASHBACK.held(house.request, address="203.0.113.7")
    await FLASHBACK.refused(house.request, "locked", address="198.51.100.1")


async def test_a_link_in_a_doors_own_form_is_good_here(tmp_path: Path) -> None:
    """A contract may give tokens a form of their own; without a template its letters lead here all the same."""
    probe = next(mount.dialect for mount in mounts_of(tmp_path) if mount.dialect.name == "probe")
    assert probe.door is not None
    form = Signed("formed_ticket", "HS256", "verify_email")
    door = msgspec.structs.replace(probe.door, name="formed", ticket=form)
    formed = type(probe)(**{
        **{name: getattr(probe, name) for name in probe.__dataclass_fields__},
        "name": "formed", "prefixes": ("/formed",), "operations": (), "door": door,
    })  # fmt: skip
    async with open_house(tmp_path, also=(formed,)) as house:
        person = await ada(house, verified=False)
        token = await house.ticket("verify", person, door=door)
        assert token.count(".") == 2
        assert (await house.get(f"/verify/{token}")).status_code == 200
        assert (await house.get(f"/verify/{token[:-4]}AAAA")).status_code == 404
        assert (await house.post(f"/verify/{token}")).status_code == 200
        assert (await house.post(f"/verify/{token}")).status_code == 404
        late = await house.ticket("verify", person, door=door)
        house.clock.move(24 * 3600 + 1)
        assert (await house.get(f"/verify/{late}")).status_code == 410


def mounts_of(folder: Path) -> tuple[Any, ...]:
    from kit.house import fast_settings

    return mounts(fast_settings(folder / "unused"))


# ---------------------------------------------------------------- good, bad and old links


@pytest.mark.parametrize("purpose", PATHS)
async def test_looking_changes_nothing(house: House, purpose: Purpose) -> None:
    path = f"{PATHS[purpose]}/{await link(house, purpose)}"
    before = await everything(house)
    for method in ("GET", "HEAD", "GET"):
        answer = await house.request(method, path)
        assert answer.status_code == 200
        assert bool(answer.content) == (method == "GET")
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert (await house.request(method, path)).status_code == 405
    assert await everything(house) == before
    assert (await house.post(path, data=FORMS[purpose])).status_code == 200, "and nothing was used up"
    assert await everything(house) != before


async def test_the_form_for_a_link_changes_nothing(house: House) -> None:
    before = await everything(house)
    for method in ("GET", "HEAD"):
        assert (await house.request(method, "/reset-password")).status_code == 200
        assert (await house.request(method, "/reset-password/")).status_code == 200
    assert await everything(house) == before


@pytest.mark.parametrize("purpose", PATHS)
async def test_bad_links_are_all_alike(house: House, purpose: Purpose) -> None:
    """Unknown, used, cut off, of another purpose, of an account that is not active: one page, whatever is asked."""
    used = await link(house, purpose)
    assert (await house.post(f"{PATHS[purpose]}/{used}", data=FORMS[purpose])).status_code == 200
    person = await house.add(email="carol@example.com", username="carol", verified=False)
    crossed = [await house.ticket(other, person, "x@example.com") for other in PATHS if other not in (purpose, "undo")]
    gone = await house.ticket(purpose, person, "carol@example.com")
    await house.core.life.set_status(person.account, "suspended")
    seen = set()
    for token in (
        used,
        *crossed,
        gone,
        "x" * 43,
        used[:-1],
        used + "A",
        "%C3%9F",
        "a.b.c",
        "%22%3E%3Cb%3E",
        "x" * 5000,
    ):
        for method in ("GET", "POST"):
            before = await everything(house)
            answer = await house.request(method, f"{PATHS[purpose]}/{token}", data=FORMS[purpose])
            seen.add((answer.status_code, answer.text))
            assert await everything(house) == before
            read(answer, token)
    [(status, text)] = seen
    assert status == 404
    assert "carol" not in text.lower()
    assert "Ada" not in text


@pytest.mark.parametrize("purpose", PATHS)
async def test_an_old_link_says_what_to_do_next(house: House, purpose: Purpose) -> None:
    token = await link(house, purpose)
    house.clock.move(LIVES[purpose] / 1000 - 1)
    assert (await house.get(f"{PATHS[purpose]}/{token}")).status_code == 200
    house.clock.move(2)
    before = await everything(house)
    for method in ("GET", "POST"):
        answer = await house.request(method, f"{PATHS[purpose]}/{token}", data=FORMS[purpose])
        assert answer.status_code == 410
        page = read(answer, token)
        assert "too old" in heading(answer)
        assert len(said(page)) > 60
        assert "Ada" not in answer.text
    assert await everything(house) == before


async def test_a_bad_password_leaves_the_link_good(house: House) -> None:
    token = await link(house, "reset")
    path = f"/reset-password/{token}"
    tries = {
        "too short": ("short", "short"),
        "too long": ("x" * 257, "x" * 257),
        "easy to guess": ("password1", "password1"),
        "not the same": (NEW_PASSWORD, NEW_PASSWORD + " "),
        "Type a password": ("", ""),
    }
    before = await everything(house)
    for reason, (password, again) in tries.items():
        answer = await house.post(path, data={"password": password, "again": again})
        page = read(answer, token)
        assert answer.status_code == 400
        assert reason in said(page), reason
        assert page.all("input")[0]["aria-invalid"] == "true"
        assert "Error: " in answer.text
        assert not any("value" in field for field in page.all("input"))
    for body in ({}, {"again": "x"}, {"other": "x"}):
        assert (await house.post(path, data=body)).status_code == 400
    assert await everything(house) == before
    assert (await house.post(path, data={"password": NEW_PASSWORD})).status_code == 200


async def test_weak_is_weak_only_for_who_holds_a_good_link(house: House) -> None:
    await ada(house)
    for body in ({"password": "x"}, {}, {"password": NEW_PASSWORD, "again": "x"}):
        answer = await house.post("/reset-password/" + "x" * 43, data=body)
        assert (answer.status_code, heading(answer)) == (404, "This link does not work")


# ---------------------------------------------------------------- asking for a link


async def test_asking_is_answered_alike_for_everybody(house: House) -> None:
    await ada(house)
    bob = await house.add(email="bob@example.com", username="bob")
    await house.core.life.set_status(bob.account, "suspended")
    answers = set()
    for address in ("ada@example.com", "bob@example.com", "nobody@example.com", "ada@example.com"):
        answer = await house.post("/reset-password", data={"email": address})
        answers.add((answer.status_code, answer.text))
        read(answer)
    assert len(answers) == 1
    assert [letter.to for letter in await house.letters()] == ["ada@example.com"], "the second time it was too soon"


@pytest.mark.parametrize(
    "address", ["", "ada", "@", "ada@", "a b@example.com", "a@b@c", "x" * 300 + "@example.com", "<b>"]
)
async def test_what_is_no_address_is_asked_for_again(house: House, address: str) -> None:
    answer = await house.post("/reset-password", data={"email": address})
    page = read(answer)
    assert answer.status_code == 400
    assert "Type the whole e-mail address" in said(page)
    assert page.all("input")[0]["aria-invalid"] == "true"


@pytest.mark.parametrize("off", [{"mail__transport": "off"}, {"accounts__password_reset": False}])
async def test_where_it_is_not_offered_the_page_says_so(tmp_path: Path, off: dict[str, Any]) -> None:
    async with open_house(tmp_path, **off) as house:
        for method in ("GET", "POST"):
            answer = await house.request(method, "/reset-password", data={"email": "ada@example.com"})
            read(answer)
            assert (answer.status_code, heading(answer)) == (403, "Not offered here")


SENDERS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"origin": "http://dragoman.test"}, True),
    ({"origin": "https://login.example.com"}, True),
    ({"origin": "https://evil.example.com"}, False),
    ({"origin": "http://dragoman.test.example.com"}, False),
    ({"origin": "null"}, False),
    ({"sec-fetch-site": "same-origin"}, True),
    ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
    ({"sec-fetch-site": "none"}, True),
    ({"sec-fetch-site": "same-site", "origin": "http://dragoman.test"}, False),
    ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "cross-site", "origin": "http://dragoman.test"}, False),
]


async def test_another_website_cannot_have_letters_sent(tmp_path: Path) -> None:
    async with open_house(tmp_path, server__public_url="https://login.example.com") as house:
        for number, (headers, good) in enumerate(SENDERS):
            email = f"guest{number}@example.com"
            await house.add(email=email, username=f"guest{number}", verified=True)
            answer = await house.post("/reset-password", data={"email": email}, headers=headers)
            read(answer)
            assert (answer.status_code == 200) == good, headers
            assert (answer.status_code == 403) == (not good), headers
            assert (email in {letter.to for letter in await house.letters()}) == good


async def test_behind_a_link_the_sender_does_not_matter(house: House) -> None:
    """The token is the capability: who has it can send it from anywhere, and who has not cannot."""
    token = await link(house, "verify")
    answer = await house.post(f"/verify/{token}", headers={"origin": "null", "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200


async def test_password_managers_find_the_page(house: House) -> None:
    answer = await house.get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/reset-password", b"")
    assert (await house.get(answer.headers["location"])).status_code == 200
    strange = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert (await house.get(strange)).status_code == 404


# ---------------------------------------------------------------- hostile requests and values


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {site} %s",
    "Ada\u202eelpmaxE",
    "&lt;b&gt;",
)


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    async with open_house(tmp_path, accounts__issuer=f"Site {name}") as house:
        for purpose in ("reset", "undo"):
            email = f"{purpose}@example.com" if purpose == "undo" else f'"<b>{purpose}"@example.com'
            person = await house.add(
                email=email, username=purpose, first_name=name, last_name="Example", verified=True
            )  # fmt: skip
            token = await link(house, purpose, person)  # type: ignore[arg-type]
            for form in (None, FORMS[purpose]):  # type: ignore[index]
                method = "GET" if form is None else "POST"
                answer = await house.request(method, f"{PATHS[purpose]}/{token}", data=form)  # type: ignore[index]
                assert answer.status_code == 200
                shown = " ".join(read(answer, token).words)
                assert f"Site {name}" in shown
                assert form is not None or f"{name} Example" in shown
                assert "49" not in re.sub(r"[^\d]", " ", shown).split()


async def test_a_long_name_is_cut(house: House) -> None:
    person = await house.add(email="long@example.com", username="long", first_name="N" * 200, verified=True)
    shown = said(read(await house.get(f"/reset-password/{await link(house, 'reset', person)}")))
    assert "N" * 79 + "…" in shown
    assert "N" * 80 not in shown


BODIES: dict[str, tuple[int, dict[str, Any]]] = {
    "JSON": (415, {"json": {"password": NEW_PASSWORD}}),
    "multipart": (415, {"files": {"password": ("x", NEW_PASSWORD)}}),
    "plain": (415, {"content": "password=x", "headers": {"content-type": "text/plain"}}),
    "no UTF-8": (400, {"content": b"password=%ff"}),
    "NUL": (400, {"content": b"password=a%00bcdefghijk"}),
    "an object": (400, {"content": b"password[a]=b&email[a]=b"}),
    "a list": (400, {"content": b"password[]=b&email[]=b"}),
    "too much": (413, {"content": b"password=" + b"x" * 70_000}),
    "many": (400, {"content": b"&".join(b"p%d=x" % n for n in range(1100))}),
}


@pytest.mark.parametrize("body", BODIES)
async def test_bad_bodies_get_a_page(house: House, body: str) -> None:
    token = await link(house, "reset")
    status, wanted = BODIES[body]
    if "content" in wanted:
        wanted = {"headers": {"content-type": "application/x-www-form-urlencoded"}, **wanted}
    before = await everything(house)
    for path in (f"/reset-password/{token}", "/reset-password"):
        for language, words in (("en", "nothing was done"), ("de", "nichts geschehen")):
            headers = {**wanted.get("headers", {}), "accept-language": language}
            answer = await house.post(path, **{**wanted, "headers": headers})
            assert answer.status_code == status
            assert words in said(read(answer, token))
    assert await everything(house) == before
    assert (await house.post(f"/reset-password/{token}", data=BOTH)).status_code == 200


async def test_a_failing_database_gets_a_page(house: House) -> None:
    token = await link(house, "reset")
    await house.db.close()
    for method in ("GET", "POST"):
        answer = await house.request(method, f"/reset-password/{token}", data=BOTH)
        read(answer, token)
        assert (answer.status_code, heading(answer)) == (503, "Not just now")
        assert int(answer.headers["retry-after"]) >= 1
    house.db = await SqliteEngine.open(house.settings.database)


NO: list[tuple[refusals.Refusal, int, str]] = [
    (refusals.Busy(3), 503, "Not just now"),
    (refusals.Unavailable(1), 503, "Not just now"),
    (refusals.TooSoon(30), 429, "Too often"),
    (refusals.NetworkBlocked(30), 429, "Too often"),
    (refusals.NotOffered(), 403, "Not offered here"),
    (refusals.NotActive("suspended"), 403, "This cannot be done here"),
    (refusals.BadTicket(), 404, "This invitation does not work"),
    (refusals.TicketExpired(), 410, "This invitation is too old"),
]


@pytest.mark.parametrize(("refusal", "status", "shown"), NO, ids=lambda value: getattr(type(value), "__name__", ""))
async def test_every_no_of_the_core_has_a_page(
    house: House, refusal: refusals.Refusal, status: int, shown: str
) -> None:  # fmt: skip
    dialect = pages(mounts(house.settings))
    scope = {"type": "http", "method": "POST", "path": "/invite/x", "headers": [], "query_string": b""}
    call = Call(house.core, scope, dialect, "id", Proxies())
    call.operation = next(
        each for each in dialect.operations if (each.method, each.path) == ("POST", "/invite/{token}")
    )
    answer = refuse(refusal, call)
    assert answer.status == status
    assert f"<h1>{shown}</h1>" in answer.body.decode()
    waits = refusal.retry_after if isinstance(refusal, refusals.Waiting) else None
    assert dict(answer.headers).get("retry-after") == (None if waits is None else str(waits))


async def test_the_access_log_knows_templates_only(house: House) -> None:
    class Log:
        lines: ClassVar[list[dict[str, Any]]] = []

        def info(self, event: str, **facts: Any) -> None:
            self.lines.append(facts)

        error = info

    log = Log()
    house.app = gateway(house.core, house.settings, mounts(house.settings), access_log=log)
    tokens = []
    for purpose, path in PATHS.items():
        person = await house.add(email=f"{purpose}@example.com", username=purpose)
        token = await link(house, purpose, person)
        tokens.append(token)
        for method in ("GET", "HEAD", "POST", "DELETE"):
            await house.request(method, f"{path}/{token}?x={token}", data=FORMS[purpose])
    assert {line["path"] for line in log.lines} == {*(f"{path}/{{token}}" for path in PATHS.values()), "(none)"}
    assert not any(token in repr(log.lines) for token in tokens)
    assert not any(token.encode() in house.app.metrics.text() for token in tokens)


# ---------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"), ("", "en"), ("de", "de"), ("DE-at", "de"), ("fr", "en"), ("fr, de;q=0.3, en;q=0.2", "de"),
        ("en, de", "en"), ("de, en", "de"), ("en;q=0.5, de;q=0.6", "de"), ("de;q=0", "en"), ("*", "en"),
        ("de;q=x", "en"), ("de;q=1.5", "en"), ("de;q=-1", "en"), ("de;q=0.1234", "en"), (";;,,;q=1", "en"),
        ("deutsch", "en"), ("x," * 4000 + "de", "en"), ("de;q=0.8,en-GB;q=0.9", "en"), ("fr-CH,de-CH ; q=0.4", "de"),
    ],
)  # fmt: skip
def test_the_language_is_what_the_browser_asks_for(header: str | None, language: str) -> None:
    assert language_for(header) == language


async def test_the_pages_speak_german(house: House) -> None:
    german = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}
    token = await link(house, "reset")
    asked = await house.get("/reset-password", headers=german)
    assert "Link schicken" in said(read(asked))
    assert asked.headers["content-language"] == "de"
    assert "Neues Passwort setzen" in said(read(await house.get(f"/reset-password/{token}", headers=german), token))
    weak = await house.post(f"/reset-password/{token}", data={"password": "kurz"}, headers=german)
    assert "Dieses Passwort ist zu kurz" in said(read(weak, token))
    assert "<title>Fehler: " in weak.text
    done = await house.post(f"/reset-password/{token}", data=BOTH, headers=german)
    assert heading(done) == "Ihr neues Passwort gilt"
    bad = await house.get(f"/reset-password/{token}", headers=german)
    assert heading(bad) == "Dieser Link funktioniert nicht"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from leaves(each, f"{path}[{number}]")
    else:
        yield path, value


def test_every_language_says_everything() -> None:
    assert {path.stem for path in (Path(web.__file__).parent / "languages").iterdir()} == set(LANGUAGES)
    english = dict(leaves(catalogue("en")))
    for language in LANGUAGES[1:]:
        other = dict(leaves(catalogue(language)))
        assert other.keys() == english.keys()
        for path, phrase in other.items():
            assert set(re.findall(r"\{.*?\}", phrase)) <= {"{site}"}, path
            assert phrase.strip(), path
    assert "{site}" in english[".verify.lead[0]"]


def test_the_catalogues_are_plain_toml_without_markup() -> None:
    for language in LANGUAGES:
        raw = (Path(web.__file__).parent / "languages" / f"{language}.toml").read_text("utf-8")
        assert not re.search(r"[<>]|https?:", "".join(phrase for _, phrase in leaves(tomllib.loads(raw))))


@pytest.mark.parametrize(
    ("whole", "shown"),
    [
        ("ada@example.com", "a•••@example.com"), ("a@example.com", "•••@example.com"), ("+491701234567", "•••67"),
        ("", ""), (None, ""), ("@", "•••@"), ('"a@b"@example.com', '"•••@example.com'), ("7", "•••7"),
    ],
)  # fmt: skip
def test_addresses_are_masked(whole: str | None, shown: str) -> None:
    assert masked(whole) == shown
