"""What Flashback's clients show of a subscription (contract section 4.6): one plan from the configuration, or none."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from dragoman.dialects.flashback import errors
from dragoman.dialects.flashback.routes import Config, Plan
from dragoman.http import Answer, Call, operation

NO_PLAN = errors.No(404, "NO_ACTIVE_SUBSCRIPTION", "There is no subscription")


class Subscription(Struct, frozen=True):
    """A plan."""

    id: str
    name: str
    description: str


class Capability(Struct, frozen=True, rename="camel"):
    """One thing that a plan allows so much of."""

    id: str
    code: str
    description: str
    type: str
    period_type: str


class Usage(Struct, frozen=True):
    """How much of it was used; nothing is metered here."""

    current: int
    max: int
    percentage: int


class Used(Struct, frozen=True):
    """One thing and how much of it was used."""

    capability: Capability
    usage: Usage


class Quota(Struct, frozen=True, rename="camel", kw_only=True):
    """The plan and how much of it was used."""

    success: bool = True
    subscription: Subscription
    quota_usage: tuple[Used, ...]


@lru_cache(maxsize=4)
def _quota(plan: Plan) -> Quota:
    used = []
    for number, line in enumerate(plan.capabilities, 1):
        code, type, period, most, *text = line.split(" ", 4)
        capability = Capability(f"cap_{number:03d}", code, " ".join(text), type, period)
        used.append(Used(capability, Usage(0, int(most), 0)))
    return Quota(subscription=Subscription(plan.id, plan.name, plan.description), quota_usage=tuple(used))


@operation("GET", "/user/quota", answers={200: Quota}, tag="user")
async def quota(call: Call) -> Quota | Answer:
    """Show one's subscription: the configured plan, which is everybody's, with nothing used of it."""
    plan = call.config(Config).plan
    return errors.answer(NO_PLAN) if plan is None else _quota(plan)


OPERATIONS = (quota,)
