"""Registering, the write block, links to register with (contract sections 4.3 and 4.15, section 8 no. 7)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialects.flashback.talk import assert_no, bearer, claims, profile, refresh
from dragoman.dialects import flashback
from dragoman.model import Person
from kit.house import PASSWORD, House, open_house

NEW = "Correct horse battery 9"
ADA = {
    "email": "ada@example.com", "password": NEW, "firstName": "Ada", "lastName": "Example",
    "companyName": "Example Ltd", "isBusiness": True,
}  # fmt: skip
BOB = {**ADA, "email": "bob@example.com", "firstName": "Bob"}
HOME, ELSEWHERE = "192.0.2.1", "203.0.113.66"
LINK = {"dialects__flashback__link_activate": "https://app.example.com/a/{id}?t={token}"}


@pytest.fixture
async def linking(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose front end has a page for links to register with; nobody registers without one."""
    async with open_house(tmp_path, accounts__sign_up="disabled", **LINK) as opened:
        yield opened


async def register(house: House, body: Any = None, **more: Any) -> httpx2.Response:
    return await house.post("/user/register", json=ADA if body is None else body, **more)


async def test_registering_makes_an_owner_of_an_organization_and_signs_in(house: House) -> None:
    answer = await register(
        house, {**ADA, "companyWebsite": "https://example.com", "phone": "+49 30 1", "zipcode": "1"}
    )
    body = answer.json()
    assert answer.status_code == 201
    assert list(body) == [
        "success", "accessToken", "refreshToken", "tokenId", "expiresAt", "verificationTokenId", "user",
    ]  # fmt: skip
    assert body["expiresAt"] == house.clock.now() + 3_600_000
    person = await ada(house)
    account = person.account
    assert body["user"] == {
        "id": str(uuid.UUID(bytes=account.id)), "email": "ada@example.com", "name": "Ada Example",
        "orgId": str(uuid.UUID(bytes=account.organization)), "orgRole": 255,
    }  # fmt: skip
    assert account.organization != await house.core.accounts.default_organization()
    assert (account.default_organization, account.business, account.administrator) == (False, True, False)
    assert claims(body["accessToken"])["email"] == "ada@example.com"
    shown = (await profile(house, body["accessToken"])).json()["data"]
    assert (shown["orgRole"], shown["validated"], shown["isBusiness"]) == (255, False, True)
    assert (await refresh(house, body["refreshToken"])).status_code == 200
    login = (await house.post("/user/login", json={"email": ADA["email"], "password": NEW})).json()
    assert login["verificationTokenId"] == body["verificationTokenId"]


async def ada(house: House) -> Person:
    return await house.core.accounts.person(await house.core.accounts.named("ada@example.com"))


async def test_a_company_without_a_name_and_a_stale_bearer(house: House) -> None:
    body = {**ADA, "companyName": "", "isBusiness": False}
    answer = await register(house, body, headers=bearer("stale"))
    assert answer.status_code == 201
    assert await house.core.accounts.organization("Ada Example") == (await ada(house)).account.organization


async def test_two_with_the_same_local_part_and_company(house: House) -> None:
    first, second = [await register(house, {**ADA, "email": f"ada@{n}.example.com"}) for n in "ab"]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["user"]["orgId"] != second.json()["user"]["orgId"], "never joined by a name"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "Short 9"}, "WEAK_PASSWORD"),
        ({"password": "correct horse battery 9"}, "WEAK_PASSWORD"),
        ({"password": "CORRECT HORSE BATTERY 9"}, "WEAK_PASSWORD"),
        ({"password": "Correct horse battery"}, "WEAK_PASSWORD"),
        ({"password": "Password1"}, "WEAK_PASSWORD"),
        ({"password": "Aa1" * 100}, "WEAK_PASSWORD"),
        ({"password": ""}, "WEAK_PASSWORD"),
        ({"email": "ada"}, "INVALID_EMAIL"),
        ({"email": "ada@example"}, "INVALID_EMAIL"),
        ({"email": "ada@exa mple.com"}, "INVALID_EMAIL"),
        ({"email": "root@example.com"}, "EMAIL_ALREADY_EXISTS"),
        ({"email": " ROOT@example.com"}, "EMAIL_ALREADY_EXISTS"),
        ({"firstName": 5}, "INVALID_REQUEST"),
        ({"firstName": "x" * 256}, "INVALID_REQUEST"),
        ({"firstName": "a\u0001"}, "INVALID_REQUEST"),
        ({"isBusiness": "yes"}, "INVALID_REQUEST"),
        ({"companyName": None}, "INVALID_REQUEST"),
        ({"activationUid": "x"}, "INVALID_REQUEST"),
        ({"activationUid": "x", "activationToken": "y"}, "INVALID_ACTIVATION_LINK"),
    ],
)
async def test_what_is_refused(house: House, change: dict[str, Any], code: str) -> None:
    assert_no(await register(house, {**ADA, **change}), 400, code)
    assert await house.sessions() == []


@pytest.mark.parametrize("missing", ADA)
async def test_a_field_that_is_missing(house: House, missing: str) -> None:
    answer = await register(house, {name: value for name, value in ADA.items() if name != missing})
    assert_no(answer, 400, "INVALID_REQUEST")
    assert missing in answer.json()["message"]


async def test_reading_before_the_address_is_verified_writing_after(house: House) -> None:
    """Contract section 8, no. 7."""
    body = (await register(house)).json()
    signed_in = bearer(body["accessToken"])
    assert (await profile(house, body["accessToken"])).status_code == 200
    assert_no(await house.post("/links", json={"email": "x@example.com"}, headers=signed_in), 403, "EMAIL_NOT_VERIFIED")
    house.clock.move(61)
    assert (await house.post(f"/user/resend-verification/{body['verificationTokenId']}")).status_code == 200
    token = await house.token("verify")
    asked = await house.post("/user/pre-verify-email", json={"token": token})
    assert asked.json()["hasPassword"] is True, "from where she registered"
    assert (await house.post("/user/verify-email", json={"token": token})).status_code == 200
    after = await house.post("/links", json={"email": "x@example.com"}, headers=signed_in)
    assert_no(after, 403, "FORBIDDEN")  # no page is configured for links, but nothing else is in the way
    assert (await house.post("/user/login", json={"email": ADA["email"], "password": NEW})).status_code == 200


EXEMPT = {
    ("POST", "/user/logout"), ("POST", "/mfa/verify-login"),
    ("POST", "/sessions/{session_id}/revoke"), ("POST", "/sessions/revoke-all"),
    ("POST", "/sessions/{session_id}/heartbeat"), ("DELETE", "/token/{token_id}"), ("POST", "/devices/trust"),
    ("POST", "/devices/{device_id}/untrust"), ("DELETE", "/devices/{device_id}"),
}  # fmt: skip
"""What somebody may do who never verified an address: sign out, stay signed in, see to his clients."""


def test_every_other_write_waits_for_a_verified_address() -> None:
    for operation in flashback.DIALECT.operations:
        if operation.method == "GET" or operation.access in ("open", "optional"):
            continue
        here = (operation.method, operation.path)
        assert operation.verified or operation.accepts_limited or here in EXEMPT, here


# ---------------------------------------------------------------- who may, and what is told


async def test_where_nobody_registers(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__sign_up="disabled", accounts__registration="public") as house:
        for body in (ADA, {**ADA, "email": "root@example.com"}):
            assert_no(await register(house, body), 403, "FORBIDDEN")


@pytest.mark.parametrize("how", [{"accounts__sign_up": "private"}, {"accounts__conceal": True}])
async def test_nothing_is_told_where_accounts_are_concealed(tmp_path: Path, how: dict[str, Any]) -> None:
    async with open_house(tmp_path, **how) as house:
        answers = [await register(house), await register(house, {**ADA, "email": "root@example.com"})]
        assert {(each.status_code, each.text) for each in answers} == {
            (201, '{"success":true,"message":"Look into your mailbox: a message says how to go on"}')
        }
        assert await house.sessions() == []
        assert [letter.to for letter in await house.letters("registered_already")] == ["root@example.com"]
        token = await house.token("verify")
        assert (await house.post("/user/verify-email", json={"token": token})).status_code == 200


async def test_newcomers_who_wait_for_approval(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts__approval=True) as house:
        answer = await register(house)
        assert (answer.status_code, list(answer.json())) == (201, ["success", "message", "user"])
        assert_no(
            await house.post("/user/login", json={"email": ADA["email"], "password": NEW}), 401, "USER_INACTIVE"
        )  # fmt: skip
        await house.core.life.set_status((await ada(house)).account, "active")
        assert (await house.post("/user/login", json={"email": ADA["email"], "password": NEW})).status_code == 200


async def test_too_many_registrations_of_a_network(tmp_path: Path) -> None:
    async with open_house(tmp_path, limits__registrations_hour=1) as house:
        assert (await register(house)).status_code == 201
        answer = await register(house, BOB)
        assert_no(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) > 3000


# ---------------------------------------------------------------- links


async def owner(house: House, **fields: Any) -> dict[str, str]:
    """Sign in an owner of an organization of her own."""
    organization = await house.core.accounts.organization("Carol Ltd")
    wanted = {"email": "carol@example.com", "first_name": "Carol", "verified": True, "rank": 255, **fields}
    await house.add(organization=organization, **wanted)
    return await signed_in(house, "carol@example.com")


async def signed_in(house: House, email: str) -> dict[str, str]:
    answer = await house.post("/user/login", json={"email": email, "password": PASSWORD})
    return bearer(answer.json()["accessToken"])


async def make(house: House, headers: dict[str, str], email: str = "ada@example.com") -> httpx2.Response:
    return await house.post("/links", json={"email": email}, headers=headers)


async def mailed(house: House) -> tuple[str, str]:
    """Return id and token of the link that was mailed last."""
    link = (await house.letters("activate"))[-1].values["link"]
    id, _, token = link.removeprefix("https://app.example.com/a/").partition("?t=")
    return id, token


async def activate(house: House, id: str, token: str, info: Any = None) -> httpx2.Response:
    return await house.post("/user/activate", json={"uid": id, "token": token, "registrationInfo": info or ADA})


@pytest.mark.parametrize("over_register", [False, True])
async def test_a_link_lets_its_address_join(linking: House, over_register: bool) -> None:
    carol = await owner(linking)
    made = await make(linking, carol)
    id, token = await mailed(linking)
    assert (made.status_code, made.json()) == (
        201, {"success": True, "uuid": id, "email": "ada@example.com", "activatedAt": None},
    )  # fmt: skip
    [letter] = await linking.letters("activate")
    assert (letter.to, letter.values["by"], letter.values["name"]) == ("ada@example.com", "Carol", "")
    looked = await linking.get(f"/links/{id}?token={token}")
    assert (looked.status_code, looked.json()) == (200, made.json())
    if over_register:
        answer = await register(linking, {**ADA, "activationUid": id, "activationToken": token})
    else:
        answer = await activate(linking, id, token)
    assert answer.status_code == (201 if over_register else 200)
    body = answer.json()
    assert list(body) == ["success", "accessToken", "refreshToken", "tokenId", "expiresAt", "user"]
    carols = await linking.core.accounts.named("carol@example.com")
    assert (body["user"]["orgId"], body["user"]["orgRole"]) == (str(uuid.UUID(bytes=carols.organization)), 0)
    assert (await profile(linking, body["accessToken"])).json()["data"]["validated"] is True
    assert (await linking.get(f"/links/{id}?token={token}")).json()["activatedAt"] is not None
    assert_no(await activate(linking, id, token), 400, "INVALID_ACTIVATION_LINK")


async def test_an_address_somebody_else_claims_goes_to_who_was_sent_the_link(tmp_path: Path) -> None:
    async with open_house(tmp_path, **LINK) as house:
        await register(house, address=ELSEWHERE)
        house.clock.move(61)
        await make(house, await owner(house))
        answer = await activate(house, *await mailed(house), {**ADA, "firstName": "True"})
        assert answer.json()["user"]["name"] == "True Example"
        taken = await house.core.accounts.person(await house.core.accounts.named("username:ada"))
        assert taken.emails == (), "who only claimed it has it no more"


@pytest.mark.parametrize("rank", [0, 1, 2, 253])
async def test_who_may_not_make_links(linking: House, rank: int) -> None:
    assert_no(await make(linking, await owner(linking, rank=rank)), 403, "FORBIDDEN")


async def test_a_link_is_worth_what_its_maker_is(linking: House) -> None:
    carol = await owner(linking)
    await make(linking, carol)
    id, token = await mailed(linking)
    await linking.core.life.set_status(await linking.core.accounts.named("carol@example.com"), "suspended")
    assert_no(await activate(linking, id, token), 400, "INVALID_ACTIVATION_LINK")


async def test_links_that_do_not_fit(linking: House) -> None:
    await make(linking, await owner(linking))
    id, token = await mailed(linking)
    other = str(uuid.UUID(int=7))
    for wrong_id, wrong_token in ((other, token), (id, "x" * 43), ("x", token), (id, token[:-1])):
        assert_no(await activate(linking, wrong_id, wrong_token), 400, "INVALID_ACTIVATION_LINK")
        assert_no(await linking.get(f"/links/{wrong_id}?token={wrong_token}"), 400, "INVALID_ACTIVATION_LINK")
    assert_no(await activate(linking, id, token, BOB), 400, "INVALID_ACTIVATION_LINK")
    assert_no(await activate(linking, id, token, {**ADA, "password": "short"}), 400, "WEAK_PASSWORD")
    assert_no(await linking.get(f"/links/{id}"), 400, "INVALID_REQUEST")
    linking.clock.move(7 * 24 * 3600)
    assert_no(await activate(linking, id, token), 400, "INVALID_ACTIVATION_LINK")


async def test_a_taken_address_is_not_told_to_who_makes_links(linking: House) -> None:
    answer = await make(linking, await owner(linking), "root@example.com")
    assert answer.status_code == 201
    assert await linking.letters("activate") == []


# ---------------------------------------------------------------- quota (contract section 4.6)


async def test_a_plan_from_the_configuration(tmp_path: Path) -> None:
    plan = {
        "dialects__flashback__plan__id": "sub_trial", "dialects__flashback__plan__name": "Trial",
        "dialects__flashback__plan__description": "Free trial",
        "dialects__flashback__plan__capabilities": (
            "STORAGE_TOTAL_BYTES STORAGE ALL_TIME 10737418240 Storage in bytes", "API_CALLS CALLS DAILY 5",
        ),
    }  # fmt: skip
    async with open_house(tmp_path, **plan) as house:
        answer = await house.get("/user/quota", headers=await owner(house))
        assert (answer.status_code, answer.json()) == (200, {
            "success": True,
            "subscription": {"id": "sub_trial", "name": "Trial", "description": "Free trial"},
            "quotaUsage": [
                {
                    "capability": {"id": "cap_001", "code": "STORAGE_TOTAL_BYTES", "description": "Storage in bytes",
                                   "type": "STORAGE", "periodType": "ALL_TIME"},
                    "usage": {"current": 0, "max": 10737418240, "percentage": 0},
                },
                {
                    "capability": {"id": "cap_002", "code": "API_CALLS", "description": "", "type": "CALLS",
                                   "periodType": "DAILY"},
                    "usage": {"current": 0, "max": 5, "percentage": 0},
                },
            ],
        })  # fmt: skip


async def test_no_plan_and_nobody_signed_in(house: House) -> None:
    assert_no(await house.get("/user/quota"), 401, "NO_AUTH_USER")
    assert_no(await house.get("/user/quota", headers=await owner(house)), 404, "NO_ACTIVE_SUBSCRIPTION")
