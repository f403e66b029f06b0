"""The rules files of the model, which change while it runs."""

from collections.abc import Mapping
from dataclasses import replace

from tests.chaos.model_webhooks import OTHER_PRODUCT
from tests.chaos.paid_years import EXTRA, WEEKS, YEAR
from tests.chaos.world import LATER, RulesFile, RuleSpec

_PACK = RuleSpec(name="pack", gives={"api_usage": "10", "images": "0.7"}, revokes=True, revokes_disputed=True)
_GIFT = RuleSpec(
    name="gift",
    gives={"api_usage": "7"},
    triggers=("purchase", "subscription_cycle"),
    revokes_disputed=True,
)
_FIRST = RuleSpec(
    name="first", gives={"api_usage": "50"}, triggers=("purchase", "subscription_cycle"), once=True
)
_WELCOME = RuleSpec(name="welcome", gives={"api_usage": "25"}, triggers=("customer.created",))
_START = RuleSpec(name="subscribed", gives={"images": "4"}, triggers=("subscription.created",))
_PERIOD = RuleSpec(name="period", gives={"seconds": "30"}, triggers=("subscription.cycled",))

FILES: Mapping[str, RulesFile] = {
    "usual": RulesFile((_PACK, _GIFT, _FIRST, _WELCOME, _START, _PERIOD, YEAR, WEEKS, EXTRA)),
    "no bonus": RulesFile((_PACK, _GIFT)),
    "other amounts": RulesFile(
        (
            RuleSpec(name="pack", gives={"api_usage": "20"}, revokes=True),
            RuleSpec(name="first", gives={"api_usage": "60", "seconds": "5"}, once=True),
            RuleSpec(
                name="welcome", gives={"api_usage": "40", "images": "1"}, triggers=("customer.created",)
            ),
            RuleSpec(
                name="period", gives={"seconds": "31", "images": "2"}, triggers=("subscription.cycled",)
            ),
            replace(YEAR, gives={"api_usage": "60.5"}),
        )
    ),
    "bonus renamed": RulesFile(
        (_PACK, RuleSpec(name="start", gives=_FIRST.gives, triggers=_FIRST.triggers, once=True))
    ),
    "policies flipped": RulesFile(
        (
            RuleSpec(name="pack", gives=_PACK.gives),
            RuleSpec(name="gift", gives=_GIFT.gives, triggers=_GIFT.triggers, revokes=True),
            replace(YEAR, revokes=False, revokes_disputed=False),
            replace(WEEKS, every="month", revokes=False, revokes_disputed=True),
        )
    ),
    "other product": RulesFile(
        (
            RuleSpec(name="pack", gives=_PACK.gives, revokes_disputed=True, products=(OTHER_PRODUCT,)),
            RuleSpec(name="gift", gives=_GIFT.gives, triggers=_GIFT.triggers, begins=LATER),
            RuleSpec(name="first", gives=_FIRST.gives, triggers=_FIRST.triggers, once=True, ends=LATER),
        )
    ),
    "from now on": RulesFile((_PACK, _GIFT, _FIRST), credit_from=LATER),
    "bonus alone": RulesFile((_FIRST,)),
    "broken": RulesFile((_FIRST, RuleSpec(name="pack", gives=_PACK.gives, broken=True))),
    "nothing": RulesFile(()),
}

METERS = {"api_usage": "units", "images": "units", "seconds": "amount"}
"""The property that each meter sums."""

BONUSES = {line.name for file in FILES.values() for line in file.lines if line.once}
