"""The types of what ``--json`` prints. Their field names are stable; docs/cli.md is generated from them."""

from typing import Annotated, Any, Literal, TypedDict

from workers.core.delivery import Status
from workers.core.outbox_state import EventStatus


class DeliveryJson(TypedDict):
    """A stored webhook, or a request made by a command, and what became of it."""

    id: Annotated[
        str,
        "Polar's webhook-id, or that of a command: `backfill-...`, `manual-...`, `revoke-...`, `adjust-...`",
    ]
    type: str
    status: Status
    reason: str
    received_at: str
    settled_at: str | None
    attempts: int
    order_id: str | None
    customer_id: str | None


class GrantJson(TypedDict):
    """One grant in the ledger, or a planned one."""

    key: Annotated[str, "also Polar's `external_id`"]
    customer_id: Annotated[str | None, "null if the customer does not exist yet"]
    meter: str
    credits: Annotated[float, "negative if taken back"]
    status: Annotated[str, "`granted`; `claimed`: not at Polar yet; `planned` or `waiting`: not claimed yet"]
    order_id: str | None
    rules: list[str]
    delivery: str
    claimed_at: str | None
    granted_at: str | None


class UpcomingJson(TypedDict):
    """An instalment of an order that is to come."""

    key: Annotated[str, "the key that its grant will have"]
    customer_id: str
    meter: str
    credits: Annotated[float, "less what was refunded so far"]
    status: Annotated[str, "`upcoming`; `waiting`: its subscription has to be paid first"]
    order_id: str | None
    rules: list[str]
    number: Annotated[int, "the first instalment, number 1, is the order's own grant"]
    at: Annotated[str, "when it is due"]
    waits: Annotated[str | None, "why it has to wait"]
    delivery: None
    granted_at: None


class StoryMeterJson(TypedDict):
    """What Polar has confirmed to a customer on one meter."""

    granted: float
    taken_back: Annotated[float, "positive"]


class CustomerStoryJson(TypedDict):
    """Everything that is stored about one customer."""

    customer_id: str
    deliveries: Annotated[list[DeliveryJson], "oldest first"]
    grants: Annotated[list[GrantJson], "newest first"]
    meters: dict[str, StoryMeterJson]


class LeaseJson(TypedDict):
    """One attempt of a delivery."""

    attempt: int
    at: Annotated[str, "when a worker took the delivery"]


class ReplayJson(TypedDict):
    """One replay of a delivery."""

    at: str
    by: Annotated[str, "the name of an operator at the desk, or a command"]


class ShownJson(DeliveryJson):
    """A delivery with its attempts, its grants and its body."""

    leases: Annotated[list[LeaseJson], "of the newest ten attempts"]
    replays: Annotated[list[ReplayJson], "among the newest ten attempts"]
    grants: list[GrantJson]
    upcoming: list[UpcomingJson]
    body: Annotated[str | None, "as it was sent; null if it was erased"]
    body_erased_at: str | None


class CheckJson(TypedDict):
    """The result of one check."""

    ok: bool
    detail: str


class MismatchJson(TypedDict):
    """A grant that differs between Polar and the ledger."""

    key: str
    ledger: float
    polar: Annotated[
        str, "its amount there, and its customer if it is another one; `nothing` if it is not listed"
    ]


class StatusJson(TypedDict):
    """The state of the service."""

    version: str
    well: bool
    checks: Annotated[
        dict[str, CheckJson],
        "by name: those of `/healthz`, such as `redis`; `webhooks`, `failed`, `amounts`, `events`",
    ]
    deliveries: Annotated[dict[str, int], "number of stored deliveries, by status"]
    grants: Annotated[int, "number of grants that Polar has confirmed so far"]
    unconfirmed: Annotated[int, "number of grants to be read back from Polar, which may have other amounts"]
    mismatches: Annotated[list[MismatchJson], "grants that are not the same at Polar, at most 20"]
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
    """What a replay of a delivery would do."""

    id: str
    status: Status
    would: str


class PlannedJson(TypedDict):
    """One grant that today's rules would make."""

    key: str
    meter: str
    credits: float
    rules: list[str]


class SeriesJson(TypedDict):
    """The later instalments that would follow one of these grants."""

    meter: str
    every: Annotated[str, "month or week"]
    credits: Annotated[float, "of each"]
    dates: Annotated[list[str], "when each is due"]


class RuleJson(TypedDict):
    """One rule applied to a webhook."""

    rule: str
    matches: bool
    because: str
    fails: Annotated[bool, "whether it cannot be evaluated; the whole delivery fails then"]


class ExplanationJson(TypedDict):
    """Why a webhook was credited or not."""

    type: str
    trigger: str | None
    moment: str | None
    order_id: str | None
    customer_id: str | None
    product_id: str | None
    refunded_amount: Annotated[int | None, "in cents, the sum of all refunds of the order"]
    rules: list[RuleJson]
    planned: list[PlannedJson]
    instalments: list[SeriesJson]
    grants: list[GrantJson]
    upcoming: list[UpcomingJson]
    outlook: Annotated[str, "what would happen if it were run now"]
    deliveries: list[DeliveryJson]


class BalanceJson(TypedDict):
    """A customer's credits on one meter."""

    meter: Annotated[str, "the event name; Polar's name if nothing was granted on this meter"]
    polar_meter: Annotated[str | None, "Polar's name for the meter"]
    balance: Annotated[float | None, "at Polar: positive if credits are left; null if Polar has no balance"]
    granted: float
    taken_back: float
    not_at_polar_yet: Annotated[float, "claimed in the ledger, not confirmed by Polar"]


class WantedGrantJson(GrantJson):
    """A grant by hand that is planned."""

    customer: Annotated[str, "as it was given"]
    would: str


class MadeGrantJson(GrantJson):
    """A grant by hand and what became of it."""

    customer: Annotated[str, "as it was given"]
    already_granted: bool
    reason: Annotated[str | None, "why Polar does not have it; null if it does"]


class ForgottenJson(TypedDict):
    """Which bodies were erased, and which were not."""

    customer_id: str
    erased: Annotated[list[str], "deliveries"]
    waiting: Annotated[list[str], "deliveries that were not erased, because they still wait"]
    unread: Annotated[int, "number of waiting deliveries that were not checked"]
    append_only_file_error: Annotated[
        str | None, "why Redis still has the erased bodies on its disk; null if it does not"
    ]


class CreditEventJson(TypedDict):
    """A credit event for the storefront."""

    id: Annotated[str, "its `webhook-id`: the grant's key, or `<delivery>:<attempt>`"]
    status: EventStatus
    attempts: Annotated[int, "that the storefront refused, or did not answer"]
    reason: Annotated[str | None, "why the last of them was refused"]
    refused_since: str | None
    due_at: Annotated[str | None, "when it is sent next; null if it was sent or given up"]
    ended_at: Annotated[str | None, "when it was sent or given up"]


class ResentJson(TypedDict):
    """A credit event that was sent again."""

    id: str
    sent: bool
    reason: Annotated[str | None, "why the storefront did not take it; null if it did"]


class FindingJson(TypedDict):
    """One thing that was checked."""

    level: Literal["error", "warning", "ok"]
    what: str
    detail: str


class RulesProblemJson(TypedDict):
    """A problem in the rules file."""

    level: Literal["error", "warning"]
    line: int
    column: int
    detail: str


class RulesCheckJson(TypedDict):
    """One check of the rules file, on one line."""

    file: str
    usable: bool
    summary: Annotated[str, "what the file holds, or why it cannot be read"]
    problems: list[RulesProblemJson]


class SentJson(TypedDict):
    """What the receiver answered."""

    status: Annotated[int, "the HTTP status"]
    answer: Annotated[Any, "its JSON, or its text"]
    delivery: Annotated[DeliveryJson | None, "with `--wait`: what became of it"]
