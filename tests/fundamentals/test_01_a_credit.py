"""Chapter 1: from an order to the customer's balance, in four steps that each make a plain value.

Nothing here reads a clock, a store or a network. The worker does; the later chapters run one in memory.
"""

from decimal import Decimal
from textwrap import dedent

from config.rules import parse_rules
from tests.support.fake_polar import FakePolar
from tests.support.recordings import payload
from workers.core.facts import order_fact
from workers.core.payloads import read_order
from workers.core.planning import plan_for
from workers.core.usage_events import usage_event

RULES = parse_rules(
    dedent("""\
        version: 1
        meters:
          api_usage: {}
        rules:
          - name: starter-pack
            products: [289208de-404a-4370-a0b6-c0433bb956cc]
            triggers: [purchase]
            grant:
              api_usage: 10
    """),
    "rules.yaml",
)

FACT = order_fact(read_order(payload("order_paid_purchase")))


def test_a_webhook_becomes_a_fact() -> None:
    """A fact says what happened, to whom and when. Each subject can be credited once."""
    assert (FACT.subject, FACT.trigger) == (f"credits:order:{FACT.order_id}", "purchase")


def test_rules_turn_a_fact_into_a_plan() -> None:
    """A plan has one grant per meter. Its key consists of the subject and the meter, nothing else."""
    (grant,) = plan_for(FACT, RULES).grants
    assert (grant.meter, grant.units) == ("api_usage", Decimal(10))
    assert grant.key == f"{FACT.subject}:api_usage"


def test_a_grant_is_negative_usage() -> None:
    """Credits are positive everywhere else. On a meter that sums usage, negative usage is credit."""
    (grant,) = plan_for(FACT, RULES).grants
    event = usage_event(grant)
    assert event["metadata"]["units"] == -10
    assert event["external_id"] == grant.key


def test_an_event_sent_twice_counts_once() -> None:
    """Polar counts each ``external_id`` only once, so when in doubt we send it again."""
    (grant,) = plan_for(FACT, RULES).grants
    polar = FakePolar()
    polar.ingest([usage_event(grant)])
    polar.ingest([usage_event(grant)])
    assert polar.balance(FACT.customer_id) == 10
