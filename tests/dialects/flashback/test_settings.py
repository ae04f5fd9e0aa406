"""Settings of user and organization: replaced, merged, deleted by dotted keys (contract, section 7)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.flashback.people import RANKS, Organization, Someone, organization
from dialects.flashback.talk import assert_no, bearer
from dragoman.core.preferences import merged, parsed, without
from kit.engines import ENGINES
from kit.house import House, open_house, open_house_of
from kit.postgres import Cluster

pytestmark = pytest.mark.slow

USER, ORGANIZATION = "/settings/user", "/settings/organization"
PLACES = (USER, ORGANIZATION)
SAMPLE = {"theme": "dark", "notifications": {"email": True, "push": False}, "timezone": "UTC"}


@pytest.fixture
async def acme(house: House) -> Organization:
    return await organization(house, "acme")


@pytest.fixture
def ada(acme: Organization) -> Someone:
    return acme.of[255]


async def kept(of: Someone, place: str = USER) -> Any:
    answer = await of.call("GET", place)
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "settings"}
    return answer.json()["settings"]


async def send(of: Someone, method: str, place: str, text: str) -> httpx2.Response:
    """Send a body to the letter."""
    headers = {**bearer(of.token), "Content-Type": "application/json"}
    return await of.house.request(method, place, content=text.encode(), headers=headers)


# ---------------------------------------------------------------- the four calls


@pytest.mark.parametrize("place", PLACES)
async def test_the_documented_calls(ada: Someone, place: str) -> None:
    assert await kept(ada, place) == {}
    answer = await ada.call("POST", place, json={"settings": SAMPLE})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Settings replaced"})
    assert await kept(ada, place) == SAMPLE
    answer = await ada.call("PUT", place, json={"theme": "light", "notifications": {"email": False}})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Settings updated"})
    assert await kept(ada, place) == {
        "theme": "light", "notifications": {"email": False, "push": False}, "timezone": "UTC",
    }  # fmt: skip
    answer = await ada.call("DELETE", place, json={"keys": ["timezone", "notifications.push", "none", "no.thing"]})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Settings deleted"})
    assert await kept(ada, place) == {"theme": "light", "notifications": {"email": False}}
    await ada.call("POST", place, json={"settings": {}})
    assert await kept(ada, place) == {}


async def test_each_has_his_own_and_an_organization_its_own(acme: Organization, house: House) -> None:
    other = await organization(house, "other", ranks=(255,))
    for number, someone in enumerate((*acme.of.values(), *other.of.values())):
        await someone.call("POST", USER, json={"settings": {"number": number}})
    for name, of in (("acme", acme), ("other", other)):
        await of.of[255].call("POST", ORGANIZATION, json={"settings": {"name": name}})
    for number, someone in enumerate((*acme.of.values(), *other.of.values())):
        assert await kept(someone) == {"number": number}
        assert await kept(someone, ORGANIZATION) == {"name": "acme" if number < len(RANKS) else "other"}


WRITES = (("POST", {"settings": {"a": 1}}), ("PUT", {"a": 2}), ("DELETE", {"keys": ["a"]}))


async def test_members_read_what_administrators_write(acme: Organization) -> None:
    for rank, caller in acme.of.items():
        for method, body in WRITES:
            answer = await caller.call(method, ORGANIZATION, json=body)
            if rank < 254:
                assert_no(answer, 403, "FORBIDDEN")
            else:
                assert answer.status_code == 200
        assert await kept(caller, ORGANIZATION) == {}
    told = [e.detail["what"] for e in await acme.house.core.newest_events(20) if e.kind == "account_changed"]
    assert told == ["preferences of all"] * 6


async def test_an_end_of_rank_counts_at_once(acme: Organization) -> None:
    await acme.of[254].set_rank(2)
    assert_no(await acme.of[254].call("PUT", ORGANIZATION, json={"a": 1}), 403, "FORBIDDEN")


@pytest.mark.parametrize("place", PLACES)
async def test_without_a_session(acme: Organization, place: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert_no(await acme.house.request(method, place, json={}), 401, "NO_AUTH_USER")


# ---------------------------------------------------------------- free objects


async def test_values_replace_and_objects_merge(ada: Someone) -> None:
    await ada.call("POST", USER, json={"settings": {"a": {"b": {"c": 1, "d": 2}}, "list": [1, 2], "x": {"y": 1}}})
    await ada.call("PUT", USER, json={"a": {"b": {"c": None}}, "list": [3], "x": 5, "new": {"z": {}}})
    assert await kept(ada) == {"a": {"b": {"c": None, "d": 2}}, "list": [3], "x": 5, "new": {"z": {}}}
    await ada.call("PUT", USER, json={"x": {"back": True}})
    assert (await kept(ada))["x"] == {"back": True}
    await ada.call("PUT", USER, json={})
    assert len(await kept(ada)) == 4


async def test_dotted_keys(ada: Someone) -> None:
    await ada.call("POST", USER, json={"settings": {"a": {"b": 1, "c.d": 2}, "a.b": 3, "e": [{"f": 1}]}})
    await ada.call("DELETE", USER, json={"keys": ["a.b", "e.0", "e.0.f", "a..", ".", "a.b.c"]})
    assert await kept(ada) == {"a": {"b": 1, "c.d": 2}, "e": [{"f": 1}]}, "a key as it is spelt comes first"
    await ada.call("DELETE", USER, json={"keys": ["a.b", "a.c.d"]})
    assert await kept(ada) == {"a": {}, "e": [{"f": 1}]}


NAMES = ["__proto__", "constructor", "prototype", "toString", "", " ", "$where", "a.b", "\u00e9", "\U0001f600", "'; --"]


async def test_names_are_data(ada: Someone) -> None:
    given = {name: {name: name} for name in NAMES}
    await ada.call("POST", USER, json={"settings": given})
    assert await kept(ada) == given
    await ada.call("PUT", USER, json={"__proto__": {"polluted": True}})
    assert (await kept(ada))["__proto__"] == {"__proto__": "__proto__", "polluted": True}
    assert (await ada.call("GET", "/user/profile")).json()["success"] is True


NUMBERS = [
    "1.10", "0.1", "1e3", "1E+3", "-0", "-0.0", "3.141592653589793238462643383279", "9007199254740993",
    "9223372036854775807", "-9223372036854775807", "1e308", "5e-324",
]  # fmt: skip


async def test_numbers_are_kept_to_the_last_digit(ada: Someone) -> None:
    listed = ",".join(NUMBERS)
    fields = ",".join(f'"n{i}":{number}' for i, number in enumerate(NUMBERS))
    assert (await send(ada, "POST", USER, f'{{"settings":{{"list":[{listed}],"in":{{{fields}}}}}}}')).status_code == 200
    assert (await send(ada, "PUT", USER, '{"in":{"more":1.00}}')).status_code == 200
    text = (await ada.call("GET", USER)).text
    assert text == f'{{"success":true,"settings":{{"list":[{listed}],"in":{{{fields},"more":1.00}}}}}}'


@pytest.mark.parametrize("number", ["1e999", "9223372036854775808", "1" * 400, "NaN", "Infinity", "01", "0x1"])
@pytest.mark.parametrize("where", ['{"settings":{"a":%s}}', '{"settings":{"a":{"b":[{"c":%s}]}}}'])
async def test_numbers_that_nobody_reads(ada: Someone, number: str, where: str) -> None:
    assert_no(await send(ada, "POST", USER, where % number), 400, "INVALID_REQUEST")
    assert await kept(ada) == {}


async def test_of_a_name_that_comes_twice_the_last_counts(ada: Someone) -> None:
    await send(ada, "POST", USER, '{"settings":{"a":1,"a":{"b":1,"b":2}}}')
    assert await kept(ada) == {"a": {"b": 2}}


# ---------------------------------------------------------------- what cannot be kept


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", {}), ("POST", {"settings": None}), ("POST", {"settings": []}), ("POST", {"settings": "x"}),
        ("POST", []), ("PUT", []), ("PUT", "x"), ("PUT", 0), ("DELETE", {}), ("DELETE", {"keys": []}),
        ("DELETE", {"keys": [1]}), ("DELETE", {"keys": "a"}), ("DELETE", {"keys": [""]}), ("DELETE", {"keys": [None]}),
        ("DELETE", {"keys": ["x" * 1025]}), ("PUT", {"a": "\0"}), ("PUT", {"\0": 1}),
    ],
)  # fmt: skip
async def test_bodies_that_are_none(ada: Someone, place: str, method: str, body: Any) -> None:
    assert_no(await ada.call(method, place, json=body), 400, "INVALID_REQUEST")
    assert await kept(ada, place) == {}


async def test_the_size_is_bounded_however_it_comes_about(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__flashback__settings_size=200) as house:
        ada = (await organization(house, "acme", ranks=(255,))).of[255]
        assert (await ada.call("POST", USER, json={"settings": {"a": "x" * 190}})).status_code == 200
        before = await kept(ada)
        for method, body in (("POST", {"settings": {"a": "x" * 195}}), ("PUT", {"b": 1}), ("PUT", {"a": "x" * 195})):
            answer = await ada.call(method, USER, json=body)
            assert_no(answer, 400, "INVALID_REQUEST")
            assert answer.json()["message"] == "The settings would be too large"
        assert await kept(ada) == before
        assert (await ada.call("PUT", USER, json={"a": "y"})).status_code == 200


def nested(levels: int, *, lists: bool = False) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


async def test_the_depth_is_bounded(tmp_path: Path) -> None:
    async with open_house(tmp_path, dialects__flashback__settings_depth=4) as house:
        ada = (await organization(house, "acme", ranks=(255,))).of[255]
        for deepest in ({"a": nested(3)}, {"a": nested(3, lists=True)}):
            assert (await ada.call("POST", USER, json={"settings": deepest})).status_code == 200
        for lists in (False, True):
            for method, body in (
                ("POST", {"settings": {"a": nested(4, lists=lists)}}), ("PUT", {"b": nested(4, lists=lists)}),
            ):  # fmt: skip
                answer = await ada.call(method, USER, json=body)
                assert_no(answer, 400, "INVALID_REQUEST")
                assert answer.json()["message"] == "The settings would be nested too deeply"
        assert await kept(ada) == {"a": nested(3, lists=True)}


async def test_by_default_they_are_bounded_too(ada: Someone) -> None:
    assert_no(await ada.call("POST", USER, json={"settings": {"a": "x" * 33_000}}), 400, "INVALID_REQUEST")
    assert_no(await ada.call("POST", USER, json={"settings": {"a": nested(10)}}), 400, "INVALID_REQUEST")
    assert_no(await send(ada, "PUT", USER, '{"a":' * 5000), 400, "INVALID_REQUEST")
    assert await kept(ada) == {}


# ---------------------------------------------------------------- together


@pytest.mark.parametrize("engine", ENGINES)
async def test_merges_at_once_lose_nothing(tmp_path: Path, postgres_cluster: Cluster, engine: Any) -> None:
    async with open_house_of(engine, tmp_path, postgres_cluster) as house:
        acme = await organization(house, "acme", ranks=(254, 255))
        callers = list(acme.of.values())

        async def put(number: int) -> int:
            body = {f"k{number}": number, "in": {f"k{number}": {"x": number}}}
            return (await callers[number % 2].call("PUT", ORGANIZATION, json=body)).status_code

        said = []
        for start in range(0, 24, 4):  # more at once than PostgreSQL tries again is Busy, and nothing is lost then
            said += await asyncio.gather(*(put(number) for number in range(start, start + 4)))
        assert said == [200] * 24
        settings = await kept(callers[0], ORGANIZATION)
        assert {name: value for name, value in settings.items() if name != "in"} == {f"k{n}": n for n in range(24)}
        assert settings["in"] == {f"k{n}": {"x": n} for n in range(24)}


# ---------------------------------------------------------------- an account that goes, and what is held of it


async def test_they_are_exported_and_erased_with_the_account(acme: Organization) -> None:
    house, ada = acme.house, acme.of[0]
    await ada.call("POST", USER, json={"settings": SAMPLE})
    await acme.of[255].call("POST", ORGANIZATION, json={"settings": {"name": "acme"}})
    held = await house.core.life.export(ada.person.account)
    assert [(each["name"], each["body"]) for each in held["documents"]] == [("flashback.settings", SAMPLE)]
    await house.core.life.delete(ada.person.account)
    await house.core.life.erase(ada.person.account)
    from dragoman.storage import documents

    assert await documents.find(house.db, ada.person.account.id, "flashback.settings") is None
    assert await kept(acme.of[255], ORGANIZATION) == {"name": "acme"}


# ---------------------------------------------------------------- the operations by themselves

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def read(value: Any) -> Any:
    return parsed(msgspec.json.decode(json.dumps(value, ensure_ascii=False).encode(), type=dict[str, msgspec.Raw]))


def merge(held: Any, part: Any) -> Any:
    """Merge plain values: what the operation is held against."""
    if not (isinstance(held, dict) and isinstance(part, dict)):
        return part
    return {**held, **{name: merge(held.get(name), value) for name, value in part.items()}}


@given(OBJECTS, OBJECTS)
def test_merging(held: Any, part: Any) -> None:
    assert plain(read(held)) == held
    assert plain(merged(read(held), read(part))) == merge(held, part)
    assert plain(merged(read(held), read(held))) == held
    assert plain(merged(merged(read(held), read(part)), read(part))) == merge(held, part)


@given(OBJECTS, st.text(max_size=3))
def test_removing(held: Any, key: str) -> None:
    after = plain(without(read(held), [key]))
    assert after == {name: value for name, value in held.items() if name != key} or "." in key
    assert plain(without(read(held), ["no such name at all"])) == held
