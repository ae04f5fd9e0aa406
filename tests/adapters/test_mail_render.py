"""Letters in words: complete in every language, safe whatever the values hold, whole as a message."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default as rules
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.adapters.mail import render as mail
from dragoman.adapters.mail.console import ConsoleMailer
from dragoman.adapters.mail.message import message, sender
from dragoman.adapters.mail.render import LANGUAGES, Rendered, Unfit, catalogue, clean, render
from dragoman.core.letters import ASKED_FOR, KINDS
from dragoman.core.ports import Letter, Refused
from kit.clock import START

COMMON = ("name", "site", "at")
LINK = "https://id.example.com/verify?token=Aa-_1.b~c&x=%20"
FULL = {
    "name": "Ada Example", "site": "Example Corp", "at": "2026-11-22T14:05:09Z", "link": LINK, "code": "402913",
    "hours": "24", "minutes": "10", "days": "7", "by": "Bob Example", "address": "192.0.2.7",
    "client": "Firefox 140 on Linux", "factor": "totp", "key": "ci", "provider": "google",
    "old": "ada@example.com", "new": "ada@example.org",
}  # fmt: skip
NEEDED = {
    "reset": {"link"},
    "verify": {"link"},
    "invite": {"link"},
    "activate": {"link"},
    "code": {"code"},
    "magic": {"link", "code"},
}
SENDER = sender("Example <id@example.com>")
EVERY = [(language, kind) for language in LANGUAGES for kind in KINDS]


def values(kind: str, **changes: str) -> dict[str, str]:
    return {**{name: FULL[name] for name in (*COMMON, *KINDS[kind])}, **changes}


def letter(kind: str, language: str = "en", to: str = "ada@example.com", **changes: str) -> Letter:
    return Letter(bytes(range(16)), kind, to, language, values(kind, **changes))


class Page(HTMLParser):
    """What is in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(words: Rendered) -> str:
    """Return the text form with its lines joined."""
    return " ".join(words.text.split())


# ---------------------------------------------------------------- the catalogues


def _phrases(entry: Mapping[str, Any]) -> Iterator[str]:
    for value in entry.values():
        yield from [value] if isinstance(value, str) else value


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_exactly_the_kinds(language: str) -> None:
    assert set(catalogue(language)["kinds"]) == set(KINDS)
    shape = {section: sorted(entry) for section, entry in catalogue("en").items() if section != "kinds"}
    assert {section: sorted(entry) for section, entry in catalogue(language).items() if section != "kinds"} == shape
    assert len(catalogue(language)["time"]["months"]) == 12


@pytest.mark.parametrize(("language", "kind"), EVERY)
def test_a_kind_shows_what_it_has_and_nothing_else(language: str, kind: str) -> None:
    entry = catalogue(language)["kinds"][kind]
    assert set(entry) <= {"subject", "before", "facts", "link", "button", "code", "after", "closing"}
    assert {"subject", "before", "closing"} <= set(entry)
    places = {name for phrase in _phrases(entry) for name in re.findall(r"\{(\w+)\}", phrase)}
    flags = {name for phrase in _phrases(entry) for name in re.findall(r"\[\[(\w+)\?", phrase)}
    shown = (places | set(entry.get("facts", ()))) - set(COMMON)
    shown |= {name for name, key in (("link", "button"), ("code", "code")) if key in entry}
    assert shown == set(KINDS[kind])
    assert flags <= set(KINDS[kind])
    assert not re.findall(r"\{(link|code)\}", "".join(_phrases(entry))), "links and codes have lines of their own"
    assert "at" in entry.get("facts", ()) or kind in ASKED_FOR, "a notice says when"
    assert set(entry) == set(catalogue("en")["kinds"][kind])


def test_languages_differ() -> None:
    """What was copied and not translated would be found here."""
    english, german = catalogue("en")["kinds"], catalogue("de")["kinds"]
    for kind in KINDS:
        common = set(_phrases(english[kind])) & set(_phrases(german[kind]))
        assert common <= {"", *FULL}


# ---------------------------------------------------------------- a letter with everything, and with nothing


@pytest.mark.parametrize(("language", "kind"), EVERY)
def test_every_value_is_shown_in_both_forms(language: str, kind: str) -> None:
    words = render(letter(kind, language))
    page = Page(words.html)
    inside = " ".join(page.text.split())
    for name in KINDS[kind]:
        expected = {
            "hours": ["24 hours", "24 Stunden"], "minutes": ["10 minutes", "10 Minuten"], "days": ["7 days", "7 Tage"],
            "factor": ["authenticator app", "Authenticator-App"],
        }.get(name, [FULL[name]])  # fmt: skip
        assert any(text in seen(words) for text in expected), name
        assert any(text in inside for text in expected), name
    assert "Ada Example" in seen(words)
    assert "Example Corp" in words.subject
    if "link" in KINDS[kind]:
        assert LINK in words.text.split("\n"), "a link has a line of its own"
        assert ("a", "href", LINK) in page.attributes
    if "code" in KINDS[kind]:
        assert "402913" in [line.strip() for line in words.text.split("\n")]
        assert "402913" not in words.subject
    if kind not in ASKED_FOR:
        assert ("22 November 2026, 14:05 UTC" if language == "en" else "22. November 2026, 14:05 Uhr (UTC)") in seen(
            words
        )


@pytest.mark.parametrize(("language", "kind"), EVERY)
def test_empty_values_read_well(language: str, kind: str) -> None:
    keep = {"site", "at"} | NEEDED.get(kind, set())
    words = render(letter(kind, language, **{name: "" for name in values(kind) if name not in keep}))
    nothing = render(Letter(bytes(16), kind, "ada@example.com", language, {k: FULL[k] for k in NEEDED.get(kind, ())}))
    for one in (words, nothing):
        for form in (one.subject, seen(one), " ".join(Page(one.html).text.split())):
            assert not re.search(r"[{}\[\]|]| [,.;:!?]|[,.;:!?][,.;:]", form), form
        assert re.match(r"(Hello|Guten Tag),\n\n\S", one.text)
        assert "\n\n\n" not in one.text
        lines = [line.strip() for line in one.text.split("\n") if line]
        for line, following in pairwise(lines):
            assert not line.endswith(":") or following in (LINK, FULL["code"]), line
        said = re.split(r"(?<=[.!?])\s+", seen(one).partition(",")[2].strip())
        assert not [sentence for sentence in said if not sentence[0].isupper()]
    assert "Dragoman" in nothing.subject
    if "link" not in NEEDED.get(kind, ()):
        assert "http" not in words.text
        assert "a" not in Page(words.html).tags


@pytest.mark.parametrize("kind", ["address_changed", "phone_changed"])
def test_without_an_undo_link_nobody_is_left_alone(kind: str) -> None:
    assert "write to the administrators" in seen(render(letter(kind, link="")))
    assert "take the change back here:" in seen(render(letter(kind)))


def test_a_magic_link_alone_or_a_code_alone() -> None:
    assert "code there" not in seen(render(letter("magic", code="")))
    assert "Open this link" not in seen(render(letter("magic", link="")))


@pytest.mark.parametrize("kind", sorted(NEEDED))
def test_what_was_asked_for_must_be_there(kind: str) -> None:
    with pytest.raises(Unfit):
        render(letter(kind, link="", **({"code": ""} if "code" in KINDS[kind] else {})))


@pytest.mark.parametrize(
    ("language", "unit", "count", "shown"),
    [
        ("en", "hours", "1", "1 hour"), ("en", "hours", "24", "24 hours"), ("en", "hours", "168", "7 days"),
        ("de", "hours", "1", "1 Stunde"), ("de", "hours", "48", "2 Tage"), ("de", "hours", "49", "49 Stunden"),
        ("en", "minutes", "1", "1 minute"), ("en", "minutes", "60", "1 hour"), ("de", "minutes", "15", "15 Minuten"),
        ("de", "days", "1", "1 Tag"), ("en", "days", "30", "30 days"), ("en", "days", "some", "some"),
    ],
)  # fmt: skip
def test_spans_are_said_as_people_say_them(language: str, unit: str, count: str, shown: str) -> None:
    kind = {"hours": "reset", "minutes": "code", "days": "invite"}[unit]
    assert f" {shown}" in seen(render(letter(kind, language, **{unit: count})))


@pytest.mark.parametrize(
    ("at", "shown"),
    [("2026-03-01T00:30:00+01:00", "28 February 2026, 23:30 UTC"), ("2026-03-01T00:30:00", "1 March 2026, 00:30 UTC"),
     ("yesterday", "yesterday")],
)  # fmt: skip
def test_moments_are_said_in_words(at: str, shown: str) -> None:
    assert f"When: {shown}\n" in render(letter("new_network", at=at)).text


@pytest.mark.parametrize(
    ("asked", "got"), [("de", "de"), ("de-AT", "de"), ("DE_ch", "de"), ("en", "en"), ("fr", "en"), ("", "en")]
)
def test_languages_fall_back(asked: str, got: str) -> None:
    words = render(letter("reset", asked))
    assert words.language == got
    assert f'<html lang="{got}">' in words.html


def test_an_unknown_factor_is_named_as_it_is() -> None:
    assert "Second step: hardware key\n" in render(letter("factor_added", factor="hardware key")).text


# ---------------------------------------------------------------- values are data

NASTY = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><a href="https://evil.example">', "{{ 7 * 7 }}",
    "{link}{site}", "[[link? x|y]]", "a\r\nBcc: eve@example.com\r\n\r\nHello", "\x1b[2J\x07\x00\x9b31m",
    "\u202egnp.exe", "\u2028\u2029\x85", "\ud800", "é" * 5000, "&lt;b&gt;",
)  # fmt: skip
PLAIN = ("html", "head", "meta", "title", "body", "div", "p", "table", "tr", "td", "a", "br", "span")


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("kind", ["invite", "new_network", "factor_removed", "address_changed", "code"])
def test_values_stay_data(kind: str, nasty: str) -> None:
    words = render(letter(kind, **{name: nasty for name in values(kind) if name != "link"}))
    page = Page(words.html)
    assert set(page.tags) <= set(PLAIN)
    assert {value for tag, name, value in page.attributes if name in ("href", "src")} <= {LINK}
    assert "49" not in words.text
    for form in (words.subject, words.text, words.html):
        assert not [c for c in form if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff"]
        assert not set(form) & set("\u202e\u2028\u2029")
    assert "\n" not in words.subject
    words.text.encode(), words.html.encode()


@pytest.mark.parametrize(
    "name",
    ["Visit https://evil.example", "evil.example/win", "www.evil", "you won: evil.example", "eve@evil.example", "x//y"],
)
def test_names_lead_nowhere(name: str) -> None:
    """Whoever registers somebody else's address under such a name must not advertise through us."""
    words = render(letter("invite", name=name, by=name))
    assert "evil" not in words.text + words.html + words.subject
    assert words.text.startswith("Hello,\n")
    assert "You have been invited" in words.text


@pytest.mark.parametrize(
    "name", ["Ada Example", "J. R. R. Tolkien", "J.R.R. Tolkien", "Jean-Luc O'Neil", "李小龙", "Ada, Jr."]
)
def test_names_are_shown(name: str) -> None:
    assert render(letter("reset", name=name)).text.startswith(f"Hello {name},\n")


def test_values_have_a_longest_length() -> None:
    words = render(letter("new_network", name="N" * 500, client="C" * 5000, site="S" * 500))
    assert f"Hello {'N' * 59}…," in seen(words)
    assert "C" * 159 + "…\n" in words.text
    assert len(words.subject) < 200


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", "//evil.example/x", "/reset?token=1", "https://",
        "ftp://example.com/", "https://example.com/ x", "https://example.com/\nBcc: x", 'https://example.com/"><script>',
        "https://example.com/\u202e", "https://exämple.com/", "http://[::1/", "https://example.com/<b>", " https://a.b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["reset", "lane_closed"])
def test_links_are_http_or_nothing(kind: str, link: str) -> None:
    with pytest.raises(Unfit) as why:
        render(letter(kind, link=link))
    assert link not in str(why.value)


@pytest.mark.parametrize(
    "link", ["http://127.0.0.1:8080/reset#t=1", "https://[::1]/r/a.b.c", "https://id.example.com/v/" + "x.-_~" * 200]
)
def test_links_stay_whole(link: str) -> None:
    words = render(letter("reset", link=link))
    assert link in words.text.split("\n")
    assert ("a", "href", link) in Page(words.html).attributes


@pytest.mark.parametrize(("language", "kind"), EVERY)
def test_html_loads_nothing_and_runs_nothing(language: str, kind: str) -> None:
    page = Page(render(letter(kind, language)).html)
    assert set(page.tags) <= set(PLAIN)
    assert {name for _, name, _ in page.attributes} <= {"lang", "charset", "name", "content", "style", "href", "role"}
    assert not [value for _, name, value in page.attributes if name == "style" and ("url(" in value or "@" in value)]
    assert {tag for tag, name, _ in page.attributes if name == "href"} <= {"a"}


@given(st.text(max_size=400))
def test_a_clean_value_is_one_printable_line(value: str) -> None:
    line = clean(value)
    assert len(line.splitlines()) <= 1
    assert line == clean(line) == " ".join(line.split())
    assert len(line) <= 300
    line.encode()


HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version",
    "Content-Type", "Content-Language",
]  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_value_can_add_a_header_or_a_part(kind: str, data: st.DataObject) -> None:
    odd = st.one_of(st.text(max_size=120), st.sampled_from(NASTY), st.text("\r\n\x00:<>@ =?abc\u2028é", max_size=60))
    changes = {name: data.draw(odd) for name in values(kind) if name not in ("link", "code")}
    raw = message(letter(kind, data.draw(st.sampled_from(LANGUAGES)), **changes), SENDER, START).content
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw)
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    parsed = message_from_bytes(raw, policy=rules)
    assert sorted(parsed.keys()) == sorted(HEADERS)
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    words = render(letter(kind, **changes))
    assert str(parsed["To"]) == "ada@example.com"
    if parsed["Content-Language"] == "en":
        assert str(parsed["Subject"]) == words.subject


@pytest.mark.parametrize(
    "site",
    ["=?utf-8?b?ZXZpbA==?=", "Käse & Brot", "N" * 80, "é" * 80, "\U0001f600" * 80, 'a "b" \\ <c@d>', "a =?", "Ä =?x?="],
    ids=range(8),
)
def test_headers_say_exactly_what_was_given(site: str) -> None:
    made = message(letter("reset", site=site), sender(f"{site} <id@example.com>"), START)
    parsed = message_from_bytes(made.content, policy=rules)
    assert str(parsed["Subject"]) == f"Choose a new password for {site}"
    (shown,) = parsed["From"].addresses
    assert shown.addr_spec == "id@example.com"
    name = shown.display_name if site.isascii() and "=?" not in site else _joined(made.content)
    assert name == site
    assert max(len(line) for line in made.content.partition(b"\r\n\r\n")[0].split(b"\r\n")) <= 120


def _joined(raw: bytes) -> str:
    """Return the name in From as RFC 2047 section 6.2 says; the newer parser leaves space between encoded words."""
    words = raw.decode().partition("From: ")[2].partition(" <")[0]
    return str(make_header(decode_header(words)))


# ---------------------------------------------------------------- the console


async def test_the_console_shows_the_text() -> None:
    stream = io.StringIO()
    await ConsoleMailer(stream).send(letter("reset", to="ada\x1b[2J@example.com", name="Ada \x1b]0;x\x07"))
    shown = stream.getvalue()
    assert "printed, not sent" in shown
    assert "reset to ada\\x1b[2J@example.com" in shown
    assert LINK in shown.split("\n")
    assert not [c for c in shown if not c.isprintable() and c != "\n"]


async def test_the_console_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    mailer = ConsoleMailer()
    await mailer.send(letter("code", "de"))
    await mailer.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "402913" in err


async def test_the_console_knows_narrow_terminals() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    await ConsoleMailer(stream).send(letter("password_changed", "de", name="李"))
    stream.seek(0)
    assert "ge\\xe4ndert" in stream.read()


async def test_the_console_refuses_what_it_cannot_say() -> None:
    with pytest.raises(Refused):
        await ConsoleMailer(io.StringIO()).send(letter("reset", link=""))


# ---------------------------------------------------------------- loading


def test_nothing_heavy_is_loaded_before_the_first_letter() -> None:
    code = (
        "import sys, dragoman.adapters.mail.render, dragoman.adapters.mail.console\n"
        "print([name for name in ('jinja2', 'aiosmtplib', 'email.message', 'tomllib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert found.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(mail.__file__).parents[3])}


async def test_ready_loads_everything_once() -> None:
    await asyncio.gather(mail.ready(), mail.ready())
    assert mail._environment.cache_info().currsize == 1
    assert catalogue("en") is catalogue("en")


def test_catalogues_are_what_lies_in_the_folder() -> None:
    folder = Path(mail.__file__).parent / "languages"
    assert {path.stem for path in folder.iterdir()} == set(LANGUAGES)
    for path in folder.iterdir():
        assert tomllib.loads(path.read_text("utf-8")) == catalogue(path.stem)
