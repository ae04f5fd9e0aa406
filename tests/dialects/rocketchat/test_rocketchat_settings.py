"""Settings over Rocket.Chat's wire: contract sections 6.2, 6.5, 7.1 and 10. They tighten, never loosen (threat 37)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from dragoman.app import policy
from dragoman.dialects.rocketchat import DIALECT
from dragoman.dialects.rocketchat.settings import MAPPED
from dragoman.http.openapi import document
from kit.house import PASSWORD, House, house_over, open_house

LOGIN, SETTINGS = "/api/v1/login", "/api/v1/settings"
BLOCK, FACTOR = "Block_Multiple_Failed_Logins_", "Accounts_TwoFactorAuthentication_"
RATE = "API_Enable_Rate_Limiter"
BY_USER = f"{BLOCK}Attempts_Until_Block_by_User"
MAIL = {
    "mail__transport": "smtp", "mail__sender": "id@example.com", "server__public_url": "https://id.example.com",
    "accounts__registration": "public", "dialects__rocketchat__rate_limit": True,
    "dialects__rocketchat__rate_limit_calls": 100_000, "dialects__rocketchat__rate_limit_register": 100,
}  # fmt: skip

DEFAULTS: dict[str, Any] = {
    BY_USER: 10,
    f"{BLOCK}Time_To_Unblock_By_User_In_Minutes": 5.0,
    f"{BLOCK}Attempts_Until_Block_By_Ip": 50,
    f"{BLOCK}Time_To_Unblock_By_Ip_In_Minutes": 5.0,
    f"{FACTOR}Max_Invalid_Email_Code_Attempts": 5,
    f"{FACTOR}By_Email_Enabled": True,
    f"{FACTOR}By_Email_Code_Expiration": 600,
    f"{FACTOR}MaxDelta": 1,
    f"{FACTOR}RememberFor": 600,
    RATE: True,
    f"{RATE}_Limit_Calls_Default": 100_000,
    f"{RATE}_Limit_Time_Default": 60_000,
    "Rate_Limiter_Limit_RegisterUser": 100,
    "Accounts_RegistrationForm": "Public",
    "Accounts_ManuallyApproveNewUsers": False,
    "Accounts_EmailVerification": False,
    "Accounts_PasswordReset": True,
}
"""What the configuration of this file says, in the contract's names and units."""

TIGHTER: dict[str, Any] = {
    BY_USER: 2,
    f"{BLOCK}Time_To_Unblock_By_User_In_Minutes": 7.5,
    f"{BLOCK}Attempts_Until_Block_By_Ip": 8,
    f"{BLOCK}Time_To_Unblock_By_Ip_In_Minutes": 60,
    f"{FACTOR}Max_Invalid_Email_Code_Attempts": 1,
    f"{FACTOR}By_Email_Enabled": False,
    f"{FACTOR}By_Email_Code_Expiration": 90,
    f"{FACTOR}MaxDelta": 0,
    f"{FACTOR}RememberFor": 100,
    f"{RATE}_Limit_Calls_Default": 50_000,
    f"{RATE}_Limit_Time_Default": 120_500,
    "Rate_Limiter_Limit_RegisterUser": 1,
    "Accounts_RegistrationForm": "Disabled",
    "Accounts_ManuallyApproveNewUsers": True,
    "Accounts_EmailVerification": True,
    "Accounts_PasswordReset": False,
}

LOOSER: dict[str, tuple[Any, ...]] = {
    BY_USER: (11, 0, -1, 2**31, 10**30),
    f"{BLOCK}Time_To_Unblock_By_User_In_Minutes": (4.999, 3 / 60, 0, -5, 1e-9, 1441, 1e308),
    f"{BLOCK}Attempts_Until_Block_By_Ip": (51, 0, -50),
    f"{BLOCK}Time_To_Unblock_By_Ip_In_Minutes": (4, 8 / 60, 0),
    f"{FACTOR}Max_Invalid_Email_Code_Attempts": (6, 0, -5),
    f"{FACTOR}By_Email_Enabled": (),
    f"{FACTOR}By_Email_Code_Expiration": (601, 3600, 0, -600, 59),
    f"{FACTOR}MaxDelta": (2, 10, -1),
    f"{FACTOR}RememberFor": (601, 1800, -1, 0),
    "Accounts_RegistrationForm": ("Secret", "public", "PUBLIC", "private", ""),
    "Accounts_ManuallyApproveNewUsers": (),
    "Accounts_EmailVerification": (),
    RATE: (),
    f"{RATE}_Limit_Calls_Default": (100_001, 0, -1),
    f"{RATE}_Limit_Time_Default": (59_999, 60, 0, -60_000, 3_600_001),
    "Rate_Limiter_Limit_RegisterUser": (101, 0, -1),
    "Accounts_PasswordReset": (),
}
"""Beyond what the file allows; of the switches the file's own value is the loosest there is."""

ODD: tuple[Any, ...] = (
    None, "", "10", "true", "0x5", [], [5], {}, {"$gt": 0}, {"value": 1}, [None], "x" * 3000, "\u0000", "\ud7ff\ue000",
)  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house that mails, where anybody may register: everything can be made stricter."""
    async with open_house(tmp_path, **MAIL) as opened:
        await opened.ada()
        await opened.add(username="bob", administrator=True)
        yield opened


async def log_in(house: House, user: str = "bob", **more: Any) -> dict[str, str]:
    answer = await house.post(LOGIN, json={"user": user, "password": PASSWORD}, **more)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}


async def say(house: House, headers: dict[str, str], name: str, value: Any) -> httpx2.Response:
    return await house.post(f"{SETTINGS}/{name}", headers=headers, json={"value": value})


async def listed(house: House, headers: dict[str, str], path: str = SETTINGS) -> dict[str, Any]:
    answer = await house.get(path, headers=headers, params={"count": 0})
    assert answer.status_code == 200, answer.text
    return {each["_id"]: each["value"] for each in answer.json()["settings"]}


async def wrong(house: House, *, address: str = "192.0.2.1", user: str = "ada") -> str:
    answer = await house.post(LOGIN, json={"user": user, "password": "wrong"}, address=address)
    assert answer.status_code == 401
    return str(answer.json()["error"])


# ---------------------------------------------------------------- reading


async def test_every_setting_is_read_by_administrators(house: House) -> None:
    bob = await log_in(house)
    shown = await listed(house, bob)
    assert DEFAULTS.items() <= shown.items()
    assert MAPPED.keys() == DEFAULTS.keys()
    for name, value in shown.items():
        answer = await house.get(f"{SETTINGS}/{name}", headers=bob)
        assert answer.json() == {"_id": name, "value": value, "success": True}
    page = (await house.get(SETTINGS, headers=bob, params={"count": 2, "offset": 1})).json()
    assert [each["_id"] for each in page["settings"]] == sorted(shown)[1:3]
    assert (page["count"], page["offset"], page["total"], page["success"]) == (2, 1, len(shown), True)


async def test_others_are_told_no(house: House) -> None:
    ada = await log_in(house, "ada")
    body = {"value": 3}
    for method, path in (("GET", SETTINGS), ("GET", f"{SETTINGS}/{BY_USER}"), ("POST", f"{SETTINGS}/{BY_USER}"),
                         ("GET", f"{SETTINGS}/nothing"), ("POST", f"{SETTINGS}/nothing"),
                         ("POST", f"{SETTINGS}/LDAP_Enable")):  # fmt: skip
        sent = {"json": body} if method == "POST" else {}
        answer = await house.request(method, path, headers=ada, **sent)
        text = "User does not have the permissions required for this action [error-unauthorized]"
        assert (answer.status_code, answer.json()) == (403, {"success": False, "error": text})
        anonymous = await house.request(method, path, **sent)
        assert (anonymous.status_code, anonymous.json()["error"]) == (401, "You must be logged in to do this.")
    assert (await house.core.settings.in_force())["limits.account_5_minutes"] == 10


async def test_a_setting_that_is_not_there(house: House) -> None:
    bob = await log_in(house)
    for name in (
        "nothing",
        "limits.account_hour",
        "block_multiple_failed_logins_enabled",
        "%E2%82%AC",
        "x" * 900,
    ):
        for answer in (await house.get(f"{SETTINGS}/{name}", headers=bob), await say(house, bob, name, True)):
            assert answer.status_code == 400, answer.text
            assert answer.json()["errorType"] == "error-invalid-setting-value"
            assert answer.json()["success"] is False
            assert len(answer.text) < 500


async def test_settings_public_shows_what_is_in_force(house: House) -> None:
    bob = await log_in(house)
    before = await listed(house, {}, "/api/v1/settings.public")
    private = (BLOCK, RATE, "Rate_Limiter_")
    assert not [name for name in before if name.startswith(private)]
    public = {name for name in DEFAULTS if not name.startswith(private)}
    assert {name: before[name] for name in public} == {name: DEFAULTS[name] for name in public}
    for name, value in TIGHTER.items():
        assert (await say(house, bob, name, value)).json() == {"success": True}, name
    tight = {name: value for name, value in (await listed(house, bob)).items() if name in TIGHTER}
    assert tight == TIGHTER
    after = await listed(house, {}, "/api/v1/settings.public")
    assert {name: after[name] for name in public} == {name: TIGHTER[name] for name in public}


async def test_what_needs_mail_is_off_without_a_mailer(tmp_path: Path) -> None:
    async with open_house(tmp_path, mail__transport="off") as house:
        shown = await listed(house, {}, "/api/v1/settings.public")
    assert (shown["Accounts_PasswordReset"], shown[f"{FACTOR}By_Email_Enabled"]) == (False, False)
    assert shown["Accounts_RegistrationForm"] == "Disabled"


# ---------------------------------------------------------------- changing


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != RATE])
async def test_a_setting_becomes_stricter_and_as_loose_again_as_the_file(house: House, name: str) -> None:
    bob = await log_in(house)
    for value in (TIGHTER[name], DEFAULTS[name]):
        answer = await say(house, bob, name, value)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert (await house.get(f"{SETTINGS}/{name}", headers=bob)).json()["value"] == value
    if name != f"{FACTOR}RememberFor":
        assert policy(house.settings) == await house.core.settings.current()


async def test_the_loosest_settings_over_http(house: House, tmp_path: Path) -> None:
    """Threat 37: whatever an administrator's session sends, nothing is below the floor of the file."""
    bob = await log_in(house)
    floor = policy(house.settings)
    before = await house.core.newest_events(1)
    everything = await listed(house, bob)
    for name, shown in everything.items():
        kind = (True, False) if isinstance(shown, bool) else ()
        values = [*LOOSER.get(name, ()), *ODD, *(v for v in kind if v is not shown), *((True,) if not kind else (1, 0))]
        for value in values:
            if value == shown and type(value) is type(shown):
                continue
            if name in TIGHTER and value is TIGHTER[name]:
                continue
            answer = await say(house, bob, name, value)
            assert answer.status_code == 400, (name, value, answer.text)
            body = answer.json()
            assert body["success"] is False
            if value in ("\0", 10**30):  # fits nowhere, whatever it is for
                assert body["errorType"] == "invalid-params"
                continue
            assert body["errorType"] == "error-invalid-setting-value", value
            assert body["error"].startswith(f"Value for setting {name} is refused: ")
            assert body["error"].endswith(" [error-invalid-setting-value]")
            assert len(body["error"]) < 300
    assert await listed(house, bob) == everything
    assert await house.core.settings.current() == floor
    assert await house.core.newest_events(1) == before
    async with house_over(house.db, house.settings, tmp_path, house.clock) as other:
        assert await other.core.settings.current() == floor


async def test_a_floor_that_the_file_tightened_holds(tmp_path: Path) -> None:
    limits = {"limits__account_5_minutes": 3, "limits__account_minutes": 20, "accounts__conceal": True}
    async with open_house(tmp_path, **limits) as house:
        await house.add(username="bob", administrator=True)
        bob = await log_in(house)
        for name, value in ((BY_USER, 4), (f"{BLOCK}Time_To_Unblock_By_User_In_Minutes", 19.5), (BY_USER, 10),
                            ("Accounts_RegistrationForm", "Public")):  # fmt: skip
            assert (await say(house, bob, name, value)).status_code == 400
        answer = await say(house, bob, BY_USER, 4)
        assert answer.json()["error"] == (
            f"Value for setting {BY_USER} is refused: it takes a whole number from 1, no looser than 3, which the"
            " configuration file says [error-invalid-setting-value]"
        )
        assert (await say(house, bob, BY_USER, 2)).status_code == 200


async def test_what_is_fixed_says_yes_to_what_is_so(house: House) -> None:
    bob = await log_in(house)
    for name, value in (await listed(house, bob)).items():
        if name not in MAPPED:
            assert (await say(house, bob, name, value)).json() == {"success": True}, name
    assert (await say(house, bob, f"{BLOCK}Enabled", 1)).status_code == 400
    assert not [e for e in await house.core.newest_events(100) if e.kind == "setting_changed"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b"null", b'{"Value":3}', b'"value"', b"value=3"])
async def test_a_body_without_a_value(house: House, body: bytes) -> None:
    headers = {**await log_in(house), "content-type": "application/json"}
    answer = await house.post(f"{SETTINGS}/{BY_USER}", headers=headers, content=body)
    assert answer.status_code == 400
    assert answer.json()["errorType"] == "invalid-params"
    assert "value" in answer.json()["error"] or b"{" not in body


async def test_a_form_sends_strings_only(house: House) -> None:
    """As in the original, whose numbers and switches take no strings (contract section 1)."""
    bob = await log_in(house)
    assert (await house.post(f"{SETTINGS}/{BY_USER}", headers=bob, data={"value": "3"})).status_code == 400
    answer = await house.post(f"{SETTINGS}/Accounts_RegistrationForm", headers=bob, data={"value": "Disabled"})
    assert answer.json() == {"success": True}


# ---------------------------------------------------------------- who may, and what is kept of it


async def test_a_change_needs_a_fresh_proof(house: House) -> None:
    bob = await log_in(house)
    house.clock.move(601)
    answer = await say(house, bob, BY_USER, 3)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "totp-required")
    assert (await house.get(f"{SETTINGS}/{BY_USER}", headers=bob)).json()["value"] == 10
    bob = await log_in(house)
    assert (await say(house, bob, f"{FACTOR}RememberFor", 120)).status_code == 200
    house.clock.move(119)
    assert (await say(house, bob, BY_USER, 3)).status_code == 200
    house.clock.move(2)
    assert (await say(house, bob, BY_USER, 2)).status_code == 400, "two minutes are over, ten are not"


async def test_codes_of_an_app_may_be_held_to_their_own_half_minute(house: House) -> None:
    bob = await log_in(house)
    device = await house.enrol_totp(await house.core.accounts.person(await house.core.accounts.named("ada")))
    late = {"user": "ada", "password": PASSWORD, "code": device.code()}
    house.clock.move(30)
    assert (await say(house, bob, f"{FACTOR}MaxDelta", 0)).status_code == 200
    assert (await house.post(LOGIN, json=late)).json()["error"] == "totp-invalid"
    assert (await house.post(LOGIN, json={**late, "code": device.code()})).status_code == 200


async def test_a_change_is_a_line_of_the_audit_trail(house: House) -> None:
    bob = await log_in(house, address="203.0.113.9")
    answer = await house.post(
        f"{SETTINGS}/{FACTOR}By_Email_Code_Expiration", headers=bob, json={"value": 300}, address="203.0.113.9"
    )
    assert answer.status_code == 200
    line = (await house.core.newest_events(1))[0]
    assert (line.kind, line.door, line.address) == ("setting_changed", "rocketchat", "203.0.113.9")
    assert line.account == (await house.core.accounts.named("bob")).id
    assert (line.detail["name"], line.detail["from"], line.detail["to"]) == ("accounts.code_minutes", "10.0", "5.0")


async def test_a_personal_token_changes_nothing(house: House) -> None:
    """A key may not (decision 17): the operation takes full client sessions only."""
    for operation in DIALECT.operations:
        if operation.path.startswith(SETTINGS) and "." not in operation.path:
            assert operation.access == "client"
            assert operation.fresh is (operation.method == "POST")


# ---------------------------------------------------------------- in force


async def test_failures_in_parallel_against_a_budget_just_set(house: House) -> None:
    """As the original's own tests do it, with numbers that tighten (contract section 10)."""
    bob = await log_in(house)
    await house.add(username="eve")
    assert (await say(house, bob, BY_USER, 2)).status_code == 200
    found = Counter(await asyncio.gather(*(wrong(house, address=f"198.51.100.{n}") for n in range(2))))
    assert found == {"Unauthorized": 2}
    assert await wrong(house) == "error-login-blocked-for-user"
    right = await house.post(LOGIN, json={"user": "ada", "password": PASSWORD}, address="198.51.100.1")
    assert right.json()["error"] == "error-login-blocked-for-user"
    eve = await house.post(LOGIN, json={"user": "eve", "password": PASSWORD}, address="198.51.100.1")
    assert eve.status_code == 200, "one person's failures block nobody else"
    house.clock.move(301)
    assert (await house.post(LOGIN, json={"user": "ada", "password": PASSWORD})).status_code == 200
    assert await wrong(house, address="198.51.100.200") == "Unauthorized", "a success clears the count"


async def test_the_network_follows_too(house: House) -> None:
    bob = await log_in(house)
    assert (await say(house, bob, f"{BLOCK}Attempts_Until_Block_By_Ip", 3)).status_code == 200
    assert (await say(house, bob, f"{BLOCK}Time_To_Unblock_By_Ip_In_Minutes", 10)).status_code == 200
    found = [await wrong(house, address="203.0.113.5", user=f"nobody{n}") for n in range(4)]
    assert found == ["Unauthorized"] * 3 + ["error-login-blocked-for-ip"]
    house.clock.move(400)
    assert await wrong(house, address="203.0.113.5") == "error-login-blocked-for-ip"
    house.clock.move(201)
    assert await wrong(house, address="203.0.113.5") == "Unauthorized"


async def test_a_change_here_is_in_force_in_another_process_at_once(house: House, tmp_path: Path) -> None:
    bob = await log_in(house)
    async with house_over(house.db, house.settings, tmp_path, house.clock) as other:
        assert (await listed(other, bob))[BY_USER] == 10
        assert (await say(house, bob, BY_USER, 1)).status_code == 200
        assert (await listed(other, bob))[BY_USER] == 1
        assert [await wrong(other), await wrong(other)] == ["Unauthorized", "error-login-blocked-for-user"]
        await other.core.settings.unset("limits.account_5_minutes", None)
        assert (await house.get(f"{SETTINGS}/{BY_USER}", headers=bob)).json()["value"] == 10


async def test_answers_fit_the_document(house: House) -> None:
    shown = json.loads(json.dumps(document(DIALECT)))
    bob = await log_in(house)
    one = "/api/v1/settings/{setting_id}"
    for answer, method, path in (
        (await house.get(SETTINGS, headers=bob), "get", SETTINGS),
        (await house.get(f"{SETTINGS}/{BY_USER}", headers=bob), "get", one),
        (await house.get(f"{SETTINGS}/nothing", headers=bob), "get", one),
        (await say(house, bob, BY_USER, 3), "post", one),
        (await say(house, bob, BY_USER, 30), "post", one),
        (await say(house, bob, f"{BLOCK}Time_To_Unblock_By_User_In_Minutes", 7.5), "post", one),
    ):
        responses = shown["paths"][path][method]["responses"]
        media = responses.get(str(answer.status_code), responses["default"])["content"]["application/json"]
        jsonschema.validate(answer.json(), {**media["schema"], "components": shown["components"]})
