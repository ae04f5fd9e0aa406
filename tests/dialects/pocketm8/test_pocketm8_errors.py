"""The error tables are total, and every answer is dressed as the contract says (section 2.6)."""

import json
from pathlib import Path

import msgspec
import pytest

from dragoman.core import refusals
from dragoman.dialects.pocketm8 import DIALECT, errors
from dragoman.http import faults
from dragoman.http.openapi import document


def raised() -> list[refusals.Refusal]:
    """One of each refusal, with what its class wants."""
    wanting = {
        refusals.NotActive: ("suspended",),
        refusals.NotVerified: (None,),
        refusals.Ambiguous: (("probe:1", "username:1"),),
        refusals.IdentifierTaken: ("email",),
        refusals.BadIdentifier: ("email", "it holds space"),
        refusals.WeakPassword: ("too_short",),
        refusals.SettingRefused: ("limits.account_hour", "at most 30"),
        refusals.DocumentRefused: ("too_large",),
        refusals.BadPicture: ("it cannot be decoded",),
    }
    return [kind(*wanting.get(kind, ())) for kind in sorted(refusals.catalogue(), key=str)]


def test_every_refusal_has_its_answer() -> None:
    assert errors.REFUSALS.keys() == refusals.catalogue()


def test_every_fault_has_its_answer() -> None:
    assert errors.FAULTS.keys() == faults.catalogue()


def test_every_problem_and_weakness_has_its_field_code() -> None:
    assert set(errors.FIELD_CODES) == set(faults.Kind.__args__)
    assert set(errors.WEAK_PASSWORDS) == {"too_short", "too_long", "too_plain", "common"}


@pytest.mark.parametrize("refusal", raised(), ids=lambda r: type(r).__name__)
def test_refusals_are_dressed(refusal: refusals.Refusal) -> None:
    answer = errors.refuse(refusal, None)
    body = json.loads(msgspec.json.encode(answer.body))
    headers = dict(answer.headers)
    assert body["message"].replace("_", "").isupper()
    assert ("errors" in body) == (body["message"] == "VALIDATION_FAILED")
    assert ("retry-after" in headers) == isinstance(refusal, refusals.Waiting) == (answer.status in {429, 503})
    assert (headers.get("www-authenticate") == "Bearer") == (answer.status == 401)
    assert "data" not in body


@pytest.mark.parametrize(
    ("refusal", "body"),
    [
        (refusals.IdentifierTaken("email"), {"message": "EMAIL_ALREADY_IN_USE"}),
        (refusals.IdentifierTaken("phone"), {"message": "PHONE_ALREADY_IN_USE"}),
        (
            refusals.BadIdentifier("phone", "no such number is possible"),
            {"message": "VALIDATION_FAILED", "errors": [{"field": "phone", "code": "INVALID_FORMAT"}]},
        ),
        (
            refusals.WeakPassword("common"),
            {"message": "VALIDATION_FAILED", "errors": [{"field": "password", "code": "NOT_ALLOWED"}]},
        ),
    ],
)
def test_refusals_that_name_a_field(refusal: refusals.Refusal, body: object) -> None:
    assert json.loads(msgspec.json.encode(errors.refuse(refusal, None).body)) == body


def test_the_readme_names_every_operation_and_message() -> None:
    text = (Path(errors.__file__).parent / "README.md").read_text()
    for each in DIALECT.operations:
        assert f"`{each.method} {each.path}`" in text
    reachable = {message for _, message in errors.REFUSALS.values()} | {
        message for _, message in errors.FAULTS.values()
    }
    assert not [message for message in reachable - {"ALREADY_IN_USE"} if f"`{message}`" not in text]


def test_the_document_names_both_answers_of_the_sign_in() -> None:
    paths = document(DIALECT)["paths"]
    said = paths["/api/auth/user/sign-in"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert [one["$ref"].rpartition("/")[2] for one in said["anyOf"]] == ["Session", "MfaRequired"]
    assert paths["/api/profile"]["get"]["security"] == [{"bearer": []}]
