"""Handing letters over: to a real mail server, and to servers that misbehave at every step."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dragoman.adapters.mail import render
from dragoman.adapters.mail.connection import Gone, Server
from dragoman.adapters.mail.render import Unfit
from dragoman.adapters.mail.smtp import SmtpMailer
from dragoman.core.ports import DeliveryFailed, Letter, Refused, Unreachable
from dragoman.model import Secret
from kit.certificates import self_signed
from kit.clock import START, MovableClock
from kit.post import Phase, Post, Security

pytestmark = pytest.mark.slow

LINK = "https://id.example.com/reset-password?token=" + "Aa-_" * 11
VALUES = {"name": "Ada Example", "site": "Example", "at": "2026-11-22T14:05:00Z", "hours": "1", "link": LINK}
ADA = "ada@example.com"


@pytest.fixture(autouse=True)
async def loaded() -> None:
    """Load templates first: short deadlines are for servers here."""
    await render.ready()


def letter(to: str = ADA, *, kind: str = "reset", number: int = 7, language: str = "en", **values: str) -> Letter:
    return Letter(bytes([number]) * 16, kind, to, language, {**VALUES, **values})


@asynccontextmanager
async def mailer(port: int, **changes: Any) -> AsyncIterator[SmtpMailer]:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 5.0, **changes}
    made = SmtpMailer(Server(**given), "Example sign-in <id@example.com>", MovableClock())
    try:
        yield made
    finally:
        await made.close()


async def failing(made: SmtpMailer, sent: Letter | None = None) -> DeliveryFailed:
    """Return why a letter failed; its reason and traceback may hold nothing of the letter or of the server's words."""
    sent = sent or letter()
    with pytest.raises(DeliveryFailed) as caught:
        await made.send(sent)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for hidden in (sent.to, sent.to.partition("@")[0] + "@", sent.values["link"], "Aa-_Aa-_", "as told", "pass-phrase"):
        assert hidden not in told
    return caught.value


# ---------------------------------------------------------------- a server that works


async def test_a_letter_arrives_as_written() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            await made.send(letter())
        (got,) = post.letters
    assert (got.sender, got.to) == ("id@example.com", ADA)
    assert got.message["From"] == "Example sign-in <id@example.com>"
    assert got.message["To"] == ADA
    assert got.subject == "Choose a new password for Example"
    assert parsedate_to_datetime(got.message["Date"]).timestamp() * 1000 == START
    assert got.message_id == f"<{'07' * 16}@example.com>"
    assert got.message["Auto-Submitted"] == "auto-generated"
    assert got.message["Content-Language"] == "en"
    assert got.message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in got.message.iter_parts()] == ["text/plain", "text/html"]
    assert got.links() == [LINK]
    assert f'href="{LINK}"' in got.html
    assert got.raw.isascii()
    assert max(len(line) for line in got.raw.split(b"\r\n")) <= 998


async def test_a_second_hand_over_is_recognised() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            await made.send(letter(number=1))
            await made.send(letter(number=1))
            await made.send(letter(number=2))
        first, again, other = post.letters
    assert first.message_id == again.message_id != other.message_id
    assert first.raw == again.raw


async def test_a_code_stands_alone() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            await made.send(letter(kind="code", code="402913", minutes="10", language="de"))
        (got,) = post.letters
    assert got.code() == "402913"
    assert "402913" not in got.subject
    assert "Anmeldecode" in got.subject
    assert ">402913<" in got.html


async def test_work_shares_connections() -> None:
    with Post(delay=0.02) as post:
        async with mailer(post.port, connections=3) as made:
            await made.send(letter(number=100))
            await made.send(letter(number=101))
            assert post.connections == 1
            await asyncio.gather(*(made.send(letter(number=n)) for n in range(12)))
            assert 1 < post.connections <= 3
        assert len({got.message_id for got in post.letters}) == 14


async def test_connections_without_work_are_closed() -> None:
    with Post() as post:
        async with mailer(post.port, idle=0.1) as made:
            await made.send(letter())
            assert post.open == 1
            await _until(lambda: post.open == 0)
            await made.send(letter())
            assert post.connections == 2
            await made.close()
            await _until(lambda: post.open == 0)


async def test_a_letter_under_way_survives_close() -> None:
    with Post(delay=0.2) as post:
        async with mailer(post.port) as made:
            under_way = asyncio.create_task(made.send(letter()))
            await _until(lambda: post.tried == 1)
            await made.close()
            await under_way
            assert len(post.letters) == 1
            await _until(lambda: post.open == 0)


# ---------------------------------------------------------------- encryption, signing in


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_and_signed_in(security: Security, tmp_path: Path) -> None:
    known = self_signed(tmp_path, "127.0.0.1")
    with Post(security, known.context(), user=("dragoman", "pass-phrase é")) as post:
        login = {"username": "dragoman", "password": Secret("pass-phrase é")}
        async with mailer(post.port, security=security, ca_file=str(known.file), **login) as made:
            await made.send(letter())
            await made.send(letter())
        assert [(got.encrypted, got.login) for got in post.letters] == [(True, "dragoman")] * 2
        assert post.connections == 1


def test_encrypted_on_uvloop(tmp_path: Path) -> None:
    """The loop that serves has transports of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_encrypted_and_signed_in("starttls", tmp_path))
        runner.run(test_encrypted_and_signed_in("tls", tmp_path))


@pytest.mark.parametrize(("security", "phase"), [("starttls", "STARTTLS"), ("tls", "connect")])
async def test_certificates_are_checked(security: Security, phase: str, tmp_path: Path) -> None:
    ours, other = self_signed(tmp_path, "127.0.0.1"), self_signed(tmp_path, "mail.example.com")
    with Post(security, ours.context()) as post:
        for changes, why in (({}, "self-signed"), ({"ca_file": str(other.file)}, "self-signed")):
            async with mailer(post.port, security=security, **changes) as made:
                assert _reason(await failing(made)) == (Unreachable, f"{phase}: certificate refused ({why})")
        async with mailer(post.port, security=security, verify=False) as made:
            await made.send(letter())
        assert post.tried == len(post.letters) == 1
    with Post(security, other.context()) as post:
        async with mailer(post.port, security=security, ca_file=str(other.file)) as made:
            assert _reason(await failing(made)) == (Unreachable, f"{phase}: certificate refused (other address)")


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    late = self_signed(tmp_path, "127.0.0.1", expired=True)
    with Post("tls", late.context()) as post:
        async with mailer(post.port, security="tls", ca_file=str(late.file)) as made:
            assert _reason(await failing(made)) == (Unreachable, "connect: certificate refused (expired)")


async def test_encryption_is_never_given_up() -> None:
    with Post() as post:
        async with mailer(post.port, security="starttls") as made:
            assert _reason(await failing(made)) == (Unreachable, "STARTTLS: not offered")
        async with mailer(post.port, security="tls") as made:
            assert _reason(await failing(made)) == (Unreachable, "connect: TLS failed")
        assert post.tried == 0


async def test_a_missing_authority_is_told() -> None:
    async with mailer(1, security="tls", ca_file="/nonexistent/ca.pem") as made:
        assert _reason(await failing(made)) == (Unreachable, "TLS: the file of authorities cannot be read")


async def test_a_failed_login_is_not_the_letters_fault() -> None:
    with Post(user=("dragoman", "right")) as post:
        async with mailer(post.port, username="dragoman", password=Secret("pass-phrase")) as made:
            assert _reason(await failing(made)) == (Unreachable, "AUTH: 535")
        async with mailer(post.port) as made:
            assert _reason(await failing(made)) == (Unreachable, "MAIL: 530")


async def test_a_password_waits_until_it_is_asked_for() -> None:
    seen: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, {}, seen)

    async with speaking(talk) as port, mailer(port, username="dragoman", password=Secret("pass-phrase")) as made:
        assert _reason(await failing(made)) == (Unreachable, "AUTH: not offered")
    assert seen == ["connect", "EHLO"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(("code", "kind"), [(450, Unreachable), (550, Refused), (554, Refused), (535, Unreachable)])
async def test_answers_at_each_phase(phase: Any, code: int, kind: type[DeliveryFailed]) -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            post.refuse(code, phase, times=1)
            assert _reason(await failing(made)) == (kind, f"{phase}: {code}")
            await made.send(letter("bob@example.com"))
        assert [got.to for got in post.letters] == ["bob@example.com"]
        assert post.connections == 1, "a refused letter does not cost the connection"


async def test_only_the_refused_letter_suffers() -> None:
    with Post() as post:
        post.refuse(550, "RCPT", to=ADA)
        async with mailer(post.port, connections=1) as made:
            sent = [letter(ADA if n % 2 else f"bob{n}@example.com", number=n) for n in range(8)]
            ends = await asyncio.gather(*(made.send(one) for one in sent), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), Refused] * 4
        assert sorted(got.to for got in post.letters) == [f"bob{n}@example.com" for n in range(0, 8, 2)]
        assert post.connections == 1


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA", "middle", "answer"])
async def test_a_server_that_dies(phase: Phase) -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            post.die(phase, to=None)
            named = "DATA" if phase in ("middle", "answer") else phase
            assert _reason(await failing(made)) == (Unreachable, f"{named}: connection lost")
            await made.send(letter())
        assert len(post.letters) == (2 if phase == "answer" else 1)
        assert len({got.message_id for got in post.letters}) == 1


async def test_a_server_that_is_away() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            await made.send(letter())
            with post.down():
                assert _reason(await failing(made)) == (Unreachable, "connect: ECONNREFUSED")
            await made.send(letter())
            assert len(post.letters) == 2


async def test_a_kept_connection_that_ended() -> None:
    """Whether or not the end was noticed before the next letter, that letter arrives, once."""
    with Post() as post:
        async with mailer(post.port) as made:
            for noticed in (True, False):
                await made.send(letter())
                post.hang_up()
                if noticed:
                    await _until(lambda: post.open == 0)
                post.clear()
                await made.send(letter())
                assert len(post.letters) == 1


# ---------------------------------------------------------------- addresses


async def test_internationalised_addresses() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            await made.send(letter("jörg@bücher.example"))
            await made.send(letter("Ada@Bücher.example"))
        full, plain = post.letters
    assert (full.to, plain.to) == ("jörg@xn--bcher-kva.example", "Ada@xn--bcher-kva.example")
    assert "To: jörg@xn--bcher-kva.example" in full.raw.decode()
    assert plain.raw.isascii()


async def test_a_server_without_smtputf8() -> None:
    with Post(utf8=False) as post:
        async with mailer(post.port) as made:
            why = await failing(made, letter("jörg@bücher.example"))
            assert _reason(why) == (Refused, "SMTPUTF8: not offered, and the address needs it")
            await made.send(letter("ada@bücher.example"))
        assert [got.to for got in post.letters] == ["ada@xn--bcher-kva.example"]
        assert post.connections == 1


@pytest.mark.parametrize(
    "to",
    [
        "", "ada", "@example.com", "ada@", "ada@example.com\r\nRCPT TO:<eve@example.com>", "ada\n@example.com",
        "ada@example.com, eve@example.com", "<ada@example.com>", "ada(x)@example.com", '"ada"@example.com',
        "ada@exa mple.com", "ada@example.com> BODY=7BIT", "ada\x00@example.com", "ada\u2028@example.com",
        "\u202eada@example.com", "ada\ud800@example.com", "ada@-x.example", "ada@" + "x" * 64 + ".example",
        "x" * 65 + "@example.com", "ada@example.com.", "ada@exämple\u202e.com", "ada@[127.0.0.1] x",
    ],
)  # fmt: skip
async def test_odd_addresses_never_reach_the_server(to: str) -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            with pytest.raises(Refused, match=r"^no mail goes to such an address$"):
                await made.send(letter(to))
        assert post.connections == 0


async def test_what_cannot_be_put_into_words_is_refused() -> None:
    with Post() as post:
        async with mailer(post.port) as made:
            assert _reason(await failing(made, letter(link="javascript:alert(1)")))[0] is Refused
            assert _reason(await failing(made, letter(kind="unheard-of")))[0] is Refused
        assert post.connections == 0


@pytest.mark.parametrize(
    "from_", ["", "Example", "Example <id@example.com", "id@example.com\r\nBcc: eve@example.com", "é@x.com"]
)
def test_a_sender_must_be_one(from_: str) -> None:
    with pytest.raises(Unfit):
        SmtpMailer(Server("127.0.0.1"), from_, MovableClock())


async def test_a_senders_name_may_hold_anything() -> None:
    with Post() as post:
        made = SmtpMailer(
            Server("127.0.0.1", post.port, "none"), 'Käse, "Brot" & Co. <id@bücher.example>', MovableClock()
        )
        await made.send(letter())
        await made.close()
        (got,) = post.letters
    assert got.sender == "id@xn--bcher-kva.example"
    (shown,) = got.message["From"].addresses
    assert (shown.display_name, shown.addr_spec) == ('Käse, "Brot" & Co.', "id@xn--bcher-kva.example")


# ---------------------------------------------------------------- servers of our own

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWERS = {
    "EHLO": b"250 hello",
    "RSET": b"250 ok",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go",
    "QUIT": b"221 bye",
}


@asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[int]:
    """Serve `talk` on a free port; yield the port."""
    talks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, odd: dict[str, Any], seen: list[str]
) -> None:
    """Speak SMTP properly, but for the phases in `odd`: bytes to say instead, or a function to call."""

    async def say(phase: str, usual: bytes) -> None:
        seen.append(phase)
        told = odd.get(phase, usual + b"\r\n")
        if callable(told):
            await told(writer)
        else:
            writer.write(told)
            await writer.drain()

    await say("connect", b"220 hello")
    while line := await reader.readline():
        phase = line[:4].decode().upper()
        await say(phase, ANSWERS[phase])
        if phase == "DATA":
            await reader.readuntil(b"\r\n.\r\n")
            await say("content", b"250 kept")


async def silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def dribbling(writer: asyncio.StreamWriter) -> None:
    """One byte at a time, never an end."""
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.02)


PHASES = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content"]


@pytest.mark.parametrize("odd", [silent, dribbling])
@pytest.mark.parametrize("phase", PHASES)
async def test_time_runs_out_at_every_phase(phase: str, odd: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, {phase: odd}, [])

    async with speaking(talk) as port, mailer(port, timeout=0.4) as made:
        begun = time.monotonic()
        why = await failing(made)
        assert time.monotonic() - begun < 1.5
        named = "DATA" if phase == "content" else phase
        assert _reason(why) == (Unreachable, f"{named}: no answer within 0.4 s")


NONSENSE = (
    b"hello there\r\n",
    b"2\r\n",
    b"-1 x\r\n",
    b"999 ok\r\n",
    b"\xff\xfe\x00\r\n",
    b"x" * 40_000,
    b"250-" + b"y" * 20_000 + b"\r\n" * 3,
    b"250-a\r\n" * 9000,
)


@pytest.mark.parametrize("phase", [*PHASES, "STAR"])
async def test_a_server_that_talks_nonsense(phase: str) -> None:
    """Nothing it says is taken for a letter taken, and nothing but SMTP's own refusals counts against the letter."""
    for said in (*NONSENSE, b"354 go\r\n" if phase != "DATA" else b"250 ok\r\n"):

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            odd = {phase: said} if phase != "STAR" else {"EHLO": b"250-hello\r\n250 STARTTLS\r\n", "STAR": said}
            await answer(reader, writer, odd, [])

        security = "starttls" if phase == "STAR" else "none"
        async with speaking(talk) as port, mailer(port, timeout=0.4, security=security) as made:
            assert isinstance(await failing(made), Unreachable), said[:20]


async def test_answers_that_come_before_they_are_due() -> None:
    """A server that says yes to everything in one breath has not taken the letter."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, {"MAIL": b"250 ok\r\n" * 5, "DATA": b"250 ok\r\n", "content": b""}, [])

    async with speaking(talk) as port, mailer(port, timeout=0.4) as made:
        assert isinstance(await failing(made), Unreachable)


@pytest.mark.parametrize("said", [b"421 too long idle\r\n", b"", None])
async def test_a_kept_connection_that_does_not_answer(said: bytes | None) -> None:
    """It was closed with 421, cut, or it is there and silent: the letter goes over a new one."""
    talks: list[list[str]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen: list[str] = []
        talks.append(seen)

        async def second(writer: asyncio.StreamWriter) -> None:
            if len(talks) == 1 and seen.count("MAIL") == 2:
                if said is None:
                    await asyncio.sleep(60)
                writer.write(said or b"")
                raise ConnectionResetError
            writer.write(b"250 ok\r\n")

        await answer(reader, writer, {"MAIL": second}, seen)

    async with speaking(talk) as port, mailer(port, timeout=1.5) as made:
        await made.send(letter())
        await made.send(letter())
    assert [seen.count("content") for seen in talks] == [1, 1]


async def test_421_at_first_is_no_reason_to_go_on() -> None:
    talks = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal talks
        talks += 1
        await answer(reader, writer, {"MAIL": b"421 too many of you\r\n"}, [])

    async with speaking(talk) as port, mailer(port) as made:
        assert _reason(await failing(made)) == (Unreachable, "MAIL: 421")
    assert talks == 1


@pytest.mark.parametrize(("phase", "code"), [("connect", 554), ("connect", 421), ("EHLO", 500), ("EHLO", 450)])
async def test_a_server_that_does_not_want_us(phase: str, code: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, {phase: f"{code} no\r\n".encode()}, [])

    async with speaking(talk) as port, mailer(port) as made:
        assert _reason(await failing(made)) == (Unreachable, f"{phase}: {code}")


async def test_waiting_for_a_connection_counts() -> None:
    with Post(delay=30) as post:
        async with mailer(post.port, connections=2, timeout=0.4) as made:
            begun = time.monotonic()
            ends = await asyncio.gather(*(made.send(letter()) for _ in range(9)), return_exceptions=True)
            assert time.monotonic() - begun < 1.5
            assert {type(end) for end in ends} <= {Unreachable, Gone}


async def test_giving_up_a_letter_closes_its_connection() -> None:
    with Post(delay=30) as post:
        async with mailer(post.port, connections=1) as made:
            under_way = asyncio.create_task(made.send(letter()))
            await _until(lambda: post.tried == 1)
            await asyncio.sleep(0.05)
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            await _until(lambda: post.open == 0)
            post.delay = 0
            await made.send(letter())


def _reason(why: object) -> tuple[type, str]:
    """Return whether it is for good, and the reason."""
    return (Refused if isinstance(why, Refused) else Unreachable if isinstance(why, Unreachable) else type(why)), str(
        why
    )


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not there():  # noqa: ASYNC110 - the servers tell nobody
            await asyncio.sleep(0.01)
