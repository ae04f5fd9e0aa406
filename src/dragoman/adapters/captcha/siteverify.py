"""Checks captchas with a verifier of the usual shape, `siteverify`: reCAPTCHA, hCaptcha, Turnstile, or one's own.

One POST of `secret`, `response`, `remoteip` as a form to the configured address, and no other; the answer is JSON with
`success`. Time, size and number of calls are bounded as they are for outside providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from msgspec import Struct

from dragoman.adapters.upstream.calls import Calls
from dragoman.adapters.upstream.place import Place
from dragoman.core.ports import Clock, ProviderUnreachable, TokenRefused
from dragoman.model import Secret

MOST_ANSWER = 8192
"""Characters of an answer that are passed on. The longest real ones have some two thousand."""
_OURS = frozenset(("missing-input-secret", "invalid-input-secret", "bad-request", "sitekey-secret-mismatch"))
"""Codes that say that we are wrongly set up, not that the answer is bad."""
log = structlog.get_logger("dragoman.captcha")


class Site(Struct, frozen=True):
    """A verifier, and what an answer has to be beside good."""

    url: str
    secret: Secret
    hosts: tuple[str, ...] = ()
    """Host names of the pages whose captchas count; empty: all that the secret is good for."""
    action: str = ""
    """What the page has to have called the act (`action`); empty: anything."""
    score: float = 0.0
    """The least score, where the verifier gives one; 0: any."""
    timeout: float = 3.0
    connections: int = 8


class SiteVerify:
    """One verifier."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        place = Place(issuer=site.url, client_id="", timeout=site.timeout, connections=site.connections)
        self._calls = Calls(place, clock)

    async def check(self, answer: Secret, address: str) -> None:
        """Ask whether an answer is good; see `core.ports.Captcha`."""
        if len(answer.reveal()) > MOST_ANSWER:
            raise TokenRefused("the answer is too long")
        form = {"secret": self._site.secret.reveal(), "response": answer.reveal()}
        if address:
            form["remoteip"] = address
        try:
            said = await self._calls.within(lambda line: line.post(self._site.url, form=form))
        except TokenRefused as no:  # no verifier says so of an answer: those come with 200
            raise ProviderUnreachable(str(no)) from None
        if not isinstance(said, dict):
            raise ProviderUnreachable("the answer is no JSON object")
        self._judge(said)

    def _judge(self, said: Mapping[str, Any]) -> None:
        site, codes = self._site, said.get("error-codes")
        wrong = _OURS.intersection(code for code in codes if isinstance(code, str)) if isinstance(codes, list) else ()
        if wrong:
            log.error("captcha verifier refuses us", setting="captcha_secret", codes=sorted(wrong))
            raise ProviderUnreachable("it refuses us")
        if said.get("success") is not True:
            raise TokenRefused("not solved")
        if site.hosts and said.get("hostname") not in site.hosts:
            raise TokenRefused("solved on another page")
        if site.action and said.get("action") != site.action:
            raise TokenRefused("solved for another act")
        score = said.get("score")
        if isinstance(score, int | float) and score < site.score:
            raise TokenRefused("the score is too low")

    async def close(self) -> None:
        """Close kept connections."""
        await self._calls.close()
