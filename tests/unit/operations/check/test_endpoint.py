"""Whether the endpoint at Polar sends the webhooks that the rules need."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.demo.polar import Polar
from config.rules import Trigger
from tests.support.answers import recorded
from tests.support.builders import rule, rules_of
from workers.core.envelope import STORED_TYPES
from workers.core.findings import Finding
from workers.operations.check.endpoint import Wanted, check_endpoints, needed_webhooks
from workers.polar.catalogue import PolarEndpoint, parse_items

URL = "https://credits.example.com/webhooks/polar"
SECRET = "whsec_testsecret"


def endpoint(*events: str, **fields: Any) -> PolarEndpoint:
    """Return an endpoint as read from Polar."""
    shown = Polar().add_endpoint(**{"url": URL, "secret": SECRET, "events": list(events)} | fields)
    (view,) = parse_items(PolarEndpoint, [shown.model_dump(mode="json")])
    return view


def found(triggers: Sequence[str], *endpoints: PolarEndpoint, forgets: bool = False) -> list[Finding]:
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=list(triggers)))
    return list(check_endpoints(rules, endpoints, Wanted(forgets_deleted=forgets)))


def missing(triggers: Sequence[str], *events: str, forgets: bool = False) -> str:
    """Return what is said to be missing where one endpoint gets these events; empty if nothing is."""
    (one,) = found(triggers, endpoint(*events), forgets=forgets)
    assert one.what == "endpoint"
    if one.level == "ok":
        return ""
    assert one.level == "error"
    return one.detail.removeprefix(f"{URL} does not get ").partition(":")[0]


@pytest.mark.parametrize(
    ("triggers", "webhooks"),
    [
        (["purchase", "subscription_cycle"], {"order.paid"}),
        (["trial_start"], {"order.paid"}),
        (["subscription.cycled"], {"subscription.cycled", "subscription.resumed"}),
        (["subscription.created"], {"subscription.created"}),
        (["subscription.created", "trial_start"], {"subscription.created"}),
        (["customer.created"], {"customer.created"}),
    ],
)
def test_each_trigger_needs_its_webhooks(triggers: list[str], webhooks: set[str]) -> None:
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=triggers))
    assert needed_webhooks(rules, forgets_deleted=False) == webhooks
    assert missing(triggers, *webhooks) == ""
    assert missing(triggers) != ""


def test_every_webhook_that_is_stored_is_needed_by_some_rule() -> None:
    lines = [
        rule(f"r{i}", {"api_usage": 1}, triggers=[each], once_per="customer")
        for i, each in enumerate(Trigger)
    ]
    lines.append(rule("refund", {"images": 1}, on_refund="revoke"))
    assert needed_webhooks(rules_of(*lines), forgets_deleted=False) == STORED_TYPES


def test_a_resumption_is_missed_where_the_endpoint_gets_only_the_cycles() -> None:
    assert missing(["subscription.cycled"], "order.paid", "subscription.cycled") == "subscription.resumed"


def test_a_deleted_customer_is_missed_only_where_that_erases() -> None:
    assert missing(["purchase"], "order.paid", forgets=True) == "customer.deleted"
    assert missing(["purchase"], "order.paid") == ""


@pytest.mark.parametrize("keys", [{"on_refund": "revoke"}, {"every": "month"}])
def test_a_refund_is_missed_where_it_takes_back_or_ends_instalments(keys: dict[str, str]) -> None:
    rules = rules_of(rule("plan", {"api_usage": 1}, triggers=["subscription_cycle"], **keys))
    (one,) = check_endpoints(rules, [endpoint("order.paid")], Wanted())
    assert "does not get order.refunded" in one.detail


def test_of_several_endpoints_the_one_that_leads_here_and_lacks_least_is_judged() -> None:
    elsewhere = endpoint("order.paid", url="https://crm.example.com/polar")
    disabled = endpoint("order.paid", enabled=False)
    old, new = (
        endpoint("order.created"),
        endpoint("order.paid", url="https://new.example.com/webhooks/polar/"),
    )
    assert [one.level for one in found(["purchase"], elsewhere, disabled, old)] == ["error"]
    assert [one.level for one in found(["purchase"], elsewhere, old, new)] == ["ok"]
    assert [one.level for one in found(["purchase"], elsewhere)] == ["ok"]
    assert [one.level for one in found(["purchase"], elsewhere, disabled)] == ["error"]


def test_polars_own_answer_is_read() -> None:
    items = recorded("webhook_endpoints").json()["items"]
    (one,) = parse_items(PolarEndpoint, items)
    assert found(["subscription.cycled", "subscription.created"], one)[0].level == "ok"
    assert "whsec" not in repr(one)


PUBLIC = Wanted(public_url="https://credits.example.com", secrets=("whsec_old-secret-of-ours", SECRET))


def problems(*endpoints: PolarEndpoint, wanted: Wanted = PUBLIC) -> list[str]:
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=["purchase"]))
    return [one.detail for one in check_endpoints(rules, endpoints, wanted) if one.level == "error"]


def test_where_it_is_as_it_should_be_nothing_is_said() -> None:
    assert problems(endpoint("order.paid")) == []
    assert problems(endpoint("order.paid", url=URL + "/")) == []
    assert problems() == [
        f"no endpoint at Polar has the URL {URL} (CREDITS_PUBLIC_URL), but there is none: "
        "run credits init, or correct the URL in Polar's dashboard (Settings > Webhooks)"
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"enabled": False}, "is disabled, as after ten webhooks in a row that failed: mend the cause"),
        ({"format": "slack"}, "has the format slack: set it to Raw"),
        ({"secret": "whsec_another-secret-than-ours"}, "has another secret than POLAR_WEBHOOK_SECRET"),
        ({"events": ["order.created"]}, "does not get order.paid"),
    ],
)
def test_each_thing_that_loses_webhooks_is_an_error_with_what_to_do(fields: Any, words: str) -> None:
    (said,) = problems(endpoint("order.paid", **fields))
    assert said.startswith(f"{URL} {words}")
    assert "whsec" not in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = endpoint(enabled=False, format="discord", secret="whsec_another-secret-than-ours")
    assert len(problems(wrong)) == 4


def test_one_that_leads_elsewhere_is_named() -> None:
    (said,) = problems(endpoint("order.paid", url="https://old.example.com/webhooks/polar"))
    assert "but there is https://old.example.com/webhooks/polar" in said


def test_a_secret_of_either_form_is_recognised() -> None:
    for secret in (SECRET, SECRET.removeprefix("whsec_"), f"v1,{SECRET}"):
        assert problems(endpoint("order.paid", secret=secret)) == []
    assert problems(endpoint("order.paid"), wanted=Wanted()) == []  # none is set here


def test_without_usable_rules_the_rest_is_checked() -> None:
    (one,) = check_endpoints(None, [endpoint(enabled=False)], Wanted())
    assert "is disabled" in one.detail
