"""The dialect as a whole: total tables, CORS, paths, and its OpenAPI document."""

from __future__ import annotations

import inspect
import json
import shlex
from pathlib import Path

import pytest

from dialects.flashback.talk import CREDENTIALS, assert_no, log_in, refresh
from dragoman.app import gateway
from dragoman.core import refusals
from dragoman.dialects import flashback
from dragoman.dialects.flashback import errors
from dragoman.http import Mount, faults
from dragoman.http.openapi import document
from kit.house import House, open_house

APP = "https://app.example.com"
WAITING = sorted((k for k in refusals.catalogue() if issubclass(k, refusals.Waiting)), key=lambda k: k.__name__)


def test_every_refusal_and_every_fault_has_an_answer() -> None:
    assert set(errors.REFUSALS) == refusals.catalogue()
    assert set(errors.FAULTS) == faults.catalogue()


def test_every_error_code_is_in_the_readme() -> None:
    readme = (Path(inspect.getfile(flashback)).parent / "README.md").read_text()
    said = {no.code for no in (*errors.FAULTS.values(), *errors.MISSING.values(), errors.INVALID_ROLE)}
    reachable = {
        refusals.UnknownAccount, refusals.WrongPassword, refusals.NoPasswordSet, refusals.NotActive, refusals.WrongCode,
        refusals.AccountLocked, refusals.Busy, refusals.Unavailable, refusals.NoUsableFactor, refusals.TooManyCodes,
        refusals.NoSuchAttempt, refusals.NotSignedIn, refusals.LimitedToken, refusals.BadRefreshToken,
        refusals.RefreshTokenExpired, refusals.FreshProofRequired, refusals.VerificationRequired, refusals.NotAdmitted,
        refusals.NotFound, refusals.NotAllowed, refusals.LastOwner, refusals.IdentifierTaken,
    }  # fmt: skip
    for code in said | {errors.REFUSALS[kind].code for kind in reachable}:
        assert f"`{code}`" in readme, code


@pytest.mark.parametrize("kind", WAITING)
async def test_what_time_heals_says_how_long(house: House, kind: type[refusals.Waiting]) -> None:
    from dragoman.http.address import Proxies
    from dragoman.http.call import Call

    scope = {"type": "http", "method": "POST", "path": "/user/login", "headers": [], "query_string": b""}
    answer = errors.refuse(kind(7), Call(house.core, scope, flashback.DIALECT, "id", Proxies()))
    assert ("retry-after", "7") in answer.headers
    assert answer.status in (429, 503)


# ---------------------------------------------------------------- paths


async def test_paths_that_are_nothing_wear_the_dialects_clothes(house: House) -> None:
    taken = {each.path for each in flashback.DIALECT.operations}
    for path in (*(set(flashback.DIALECT.prefixes) - taken), "/user/nobody/at/home", "/auth/nobody", "/mfa/x"):
        assert_no(await house.get(path), 404, "NOT_FOUND")
    answer = await house.get("/user/login")
    assert_no(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


async def test_a_doubled_leading_slash(house: House) -> None:
    await house.ada()
    answer = await house.post("http://dragoman.test//user/login", json=CREDENTIALS)
    assert answer.status_code == 200
    headers = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    assert (await house.get("http://dragoman.test//user/profile", headers=headers)).status_code == 200
    assert_no(await house.get("http://dragoman.test//user/no/thing"), 404, "NOT_FOUND")


async def test_health_has_the_documented_shape(house: House) -> None:
    answer = await house.get("/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (200, "ok", None)
    assert set(answer.json()) == {"status", "timestamp", "error"}


async def test_a_prefix(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__flashback__prefix="/flashback") as house:
        await house.ada()
        assert (await house.post("/flashback/user/login", json=CREDENTIALS)).status_code == 200
        assert (await house.post("/user/login", json=CREDENTIALS)).status_code == 404


# ---------------------------------------------------------------- browsers


async def test_a_configured_origin_may_call(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__flashback__origins=[APP]) as house:
        await house.ada()
        asked = {
            "Origin": APP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        for path in ("/user/login", "http://dragoman.test//user/login"):
            preflight = await house.request("OPTIONS", path, headers=asked)
            assert preflight.status_code == 204
            assert preflight.headers["access-control-allow-origin"] == APP
            assert "POST" in preflight.headers["access-control-allow-methods"]
            allowed = preflight.headers["access-control-allow-headers"].lower()
            assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
            assert "origin" in preflight.headers["vary"].lower()
        answer = await house.post("/user/login", json=CREDENTIALS, headers={"Origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP
        refused = await house.post("/user/login", json={}, headers={"Origin": APP})
        assert refused.headers["access-control-allow-origin"] == APP


async def test_other_origins_may_not(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__flashback__origins=[APP]) as house:
        for origin in ("https://evil.example", "https://app.example.com.evil.example", "null", APP + ":444"):
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            preflight = await house.request("OPTIONS", "/user/login", headers=asked)
            assert "access-control-allow-origin" not in preflight.headers
            answer = await house.post("/user/login", json=CREDENTIALS, headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers


async def test_no_origin_may_call_until_one_is_configured(house: House) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    answer = await house.request("OPTIONS", "/user/login", headers=asked)
    assert_no(answer, 405, "METHOD_NOT_ALLOWED")
    assert "access-control-allow-origin" not in answer.headers


async def test_the_operators_unit_reaches_the_wire(house: House) -> None:
    seconds = flashback.dialect(flashback.Config(expires_at_unit="s"))
    house.app = gateway(house.core, house.settings, (Mount(dialect=seconds),))
    await house.ada()
    first = await log_in(house)
    again = (await refresh(house, first["refreshToken"])).json()
    assert first["expiresAt"] == again["expiresAt"] == house.clock.now() // 1000 + 3600


# ---------------------------------------------------------------- described


def test_the_document_closes_its_answers() -> None:
    shown = document(flashback.DIALECT)
    assert set(shown["paths"]) == {
        "/user/login", "/user/refresh", "/user/logout", "/user/profile", "/mfa/verify-login",
        "/mfa/status", "/mfa/methods", "/mfa/setup", "/mfa/verify-setup", "/mfa/passkey/complete-registration",
        "/mfa/passkey/auth-options", "/mfa/magic-link/send", "/mfa/magic-link/activate", "/mfa/enable", "/mfa/disable",
        "/mfa/primary", "/mfa/reset", "/mfa/organization/enforce",
        "/user/pre-verify-email", "/user/verify-email", "/user/resend-verification/{verification_token_id}",
        "/user/request-reset-password", "/user/reset-password", "/user/register", "/user/activate", "/links",
        "/links/{link_id}", "/user/quota",
        "/user/deactivate", "/user/{user_id}",
        "/user/{user_id}/role", "/organization/users", "/organization/users/{user_id}",
        "/organization/users/{user_id}/activate", "/organization/users/{user_id}/resend-invitation",
        "/settings/user", "/settings/organization",
        "/token", "/token/{token_id}", "/sessions", "/sessions/{session_id}/revoke", "/sessions/revoke-all",
        "/sessions/{session_id}/heartbeat",
        "/auth/google", "/auth/google/exchange", "/auth/google/refresh", "/auth/github", "/auth/github/refresh",
        "/auth/microsoft", "/auth/microsoft/exchange", "/auth/microsoft/refresh", "/auth/web3",
        "/devices", "/devices/{device_id}", "/devices/trust", "/devices/{device_id}/untrust",
    }  # fmt: skip
    schemas = shown["components"]["schemas"]
    for name in ("LoggedIn", "Refreshed", "Verified", "Done", "Profile", "ProfileData", "User", "Failure"):
        assert schemas[name]["additionalProperties"] is False
    assert shown["paths"]["/user/login"]["post"]["security"] == []
    assert shown["paths"]["/user/profile"]["get"]["security"] == [{"bearer": []}]


async def test_the_curl_line_is_a_login(house: House) -> None:
    """The words of the line, as bash takes them apart, make a request that signs Ada in."""
    await house.ada()
    words = shlex.split(flashback.DIALECT.example.replace("{base}", "http://dragoman.test"))
    assert words[0] == "curl"
    url = next(word for word in words if word.startswith("http"))
    assert json.loads(words[words.index("-d") + 1]) == CREDENTIALS
    name, _, value = words[words.index("-H") + 1].partition(": ")
    answer = await house.post(url, content=words[words.index("-d") + 1], headers={name: value})
    assert answer.status_code == 200
