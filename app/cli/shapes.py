"""What ``--json`` prints, field by field: these names stay as they are, and docs/cli.md is made of them."""

from typing import Annotated, Any, Literal, TypedDict

from workers.core.delivery import Status


class DeliveryJson(TypedDict):
    """What came, and what became of it."""

    id: Annotated[str, "Polar's webhook-id, or a name of our own: `backfill-...`, `manual-...`, `revoke-...`"]
    type: str
    status: Status
    reason: str
    received_at: str
    settled_at: str | None
    attempts: int
    order_id: str | None
    customer_id: str | None


class GrantJson(TypedDict):
    """One grant of the ledger, or one that is planned."""

    key: Annotated[str, "also Polar's `external_id`"]
    customer_id: Annotated[str | None, "null where the customer is yet to be created"]
    meter: str
    credits: Annotated[float, "negative where taken back"]
    status: Annotated[str, "`granted`, `claimed` (not at Polar yet); `planned`, `waiting` (not claimed yet)"]
    order_id: str | None
    rules: list[str]
    delivery: str
    claimed_at: str | None
    granted_at: str | None


class ShownJson(DeliveryJson):
    """A delivery with all that it led to."""

    grants: list[GrantJson]
    body: Annotated[str | None, "as it was sent; null once it was erased"]
    body_erased_at: str | None


class CheckJson(TypedDict):
    """One question and its answer."""

    ok: bool
    detail: str


class StatusJson(TypedDict):
    """How things stand."""

    well: bool
    checks: Annotated[
        dict[str, CheckJson], "by name: `redis`, `workers`, `waiting`, `rules`, `polar`, `failed`"
    ]
    deliveries: Annotated[dict[str, int], "how many are kept, by status"]
    grants: Annotated[int, "confirmed by Polar, ever"]
    queued_jobs: int
    last_delivery_at: str | None
    store: Annotated[str, "`REDIS_URL` without its password, or the folder of the embedded one"]


class OutcomeJson(TypedDict):
    """What became of a delivery that was run."""

    id: str
    status: Status
    reason: str
    order_id: str | None
    customer_id: str | None


class ProspectJson(TypedDict):
    """What a delivery would come to."""

    id: str
    status: Status
    would: str


class PlannedJson(TypedDict):
    """One grant that today's rules would make."""

    key: str
    meter: str
    credits: float
    rules: list[str]


class RuleJson(TypedDict):
    """What one rule makes of a webhook."""

    rule: str
    matches: bool
    because: str
    fails: Annotated[bool, "whether it cannot be told: then the whole delivery fails"]


class ExplanationJson(TypedDict):
    """Why a webhook led to credit, or to none."""

    type: str
    trigger: str | None
    moment: str | None
    order_id: str | None
    customer_id: str | None
    product_id: str | None
    refunded_amount: Annotated[int | None, "in cents, all refunds of the order together"]
    rules: list[RuleJson]
    planned: list[PlannedJson]
    grants: list[GrantJson]
    outlook: Annotated[str, "what would come of it if it were run now"]
    deliveries: list[DeliveryJson]


class BalanceJson(TypedDict):
    """What a customer has on one meter."""

    meter: Annotated[str, "the event name; of a meter that none of our grants is on, Polar's name for it"]
    polar_meter: Annotated[str | None, "Polar's name for it"]
    balance: Annotated[float | None, "at Polar: positive is credit left; null where Polar has none"]
    granted: float
    taken_back: float
    not_at_polar_yet: Annotated[float, "claimed in the ledger, and not confirmed by Polar"]


class WantedGrantJson(GrantJson):
    """A grant by hand as it is planned."""

    customer: Annotated[str, "as given"]
    would: str


class MadeGrantJson(GrantJson):
    """A grant by hand and what came of it."""

    customer: Annotated[str, "as given"]
    already_granted: bool
    reason: Annotated[str | None, "why Polar does not have it"]


class ForgottenJson(TypedDict):
    """What was erased, and what was left."""

    customer_id: str
    erased: Annotated[list[str], "deliveries"]
    waiting: Annotated[list[str], "deliveries that were left, as they wait to be granted"]
    unread: Annotated[int, "waiting deliveries that were not looked into"]
    append_only_file: Annotated[str | None, "why Redis still has on its disk what was erased"]


class FindingJson(TypedDict):
    """One thing that was looked at."""

    level: Literal["error", "warning", "ok"]
    what: str
    detail: str


class SentJson(TypedDict):
    """What the receiver answered."""

    status: Annotated[int, "of HTTP"]
    answer: Annotated[Any, "its JSON, or its text"]
    delivery: Annotated[DeliveryJson | None, "with --wait: what became of it"]
