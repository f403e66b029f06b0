"""Makes the first rules for ``credits init``, from options or by asking."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

import click
from msgspec import Struct

from app.cli.init.answers import names_products, read_meter, read_product, read_template, read_units
from app.cli.init.questions import ask, ask_for_rules, tell
from config.rules import Meter, RulesError, parse_rules
from config.rules.fields import MAX_METER_CHARACTERS
from config.rules.starter import StarterRule, starter_text
from config.wording import quoted
from workers.operations.init.shop import MeterChoice, Shop

T = TypeVar("T")

_USUAL_METER = "api_usage"


class RuleOptions(Struct, frozen=True, kw_only=True):
    """The options that make one rule; empty where they were not given."""

    template: str
    products: tuple[str, ...]
    meter: str
    units: str

    def missing(self) -> Iterator[str]:
        """Yield what a script has to give for a rule; a meter only where Polar has several."""
        if not self.template:
            yield "--template"
        elif not self.products and names_products(_option("--template", self.template, read_template)):
            yield "--product"
        if not self.units:
            yield "--units"

    @property
    def is_given(self) -> bool:
        """Return whether they make a rule, so that nobody is asked."""
        return bool(self.template)


def first_rules(options: RuleOptions, shop: Shop, credit_from: datetime, *, create_meter: bool) -> str:
    """Return the text of a rules file, which can be used."""
    if options.is_given:
        return _text_of(_rule_of(options, shop, create_meter=create_meter), credit_from)
    meters = shop.meters or (_ask_for_new_meter(),)

    def refusal(rule: StarterRule) -> str:
        try:
            parse_rules(starter_text([*chosen, rule], credit_from), "rules")
        except RulesError as error:
            return str(error)
        chosen.append(rule)
        return ""

    chosen: list[StarterRule] = []
    return starter_text(ask_for_rules(shop.products, meters, refusal), credit_from)


def _rule_of(options: RuleOptions, shop: Shop, *, create_meter: bool) -> StarterRule:
    if lacking := list(options.missing()):
        raise click.UsageError(f"with --template give also {', '.join(lacking)}")
    template = _option("--template", options.template, read_template)
    if options.products and not names_products(template):
        raise click.UsageError(f"--product: a rule of the kind {template} takes no product")
    products = [
        _option("--product", one, lambda text: read_product(text, template, shop.products))
        for one in options.products
    ]
    return StarterRule(
        template=template,
        products=tuple(dict.fromkeys(products)),
        meter=_meter_of(options, shop, create_meter=create_meter),
        units=_option("--units", options.units, read_units),
    )


def _meter_of(options: RuleOptions, shop: Shop, *, create_meter: bool) -> Meter:
    if not options.meter and len(shop.meters) == 1:
        return shop.meters[0].meter
    if not options.meter:
        names = ", ".join(one.meter.name for one in shop.meters) or "none yet: add --create-meter"
        raise click.UsageError(f"--meter: name the meter that gets the credits; Polar has {names}")
    try:
        return read_meter(options.meter, shop.meters)
    except ValueError as error:
        if create_meter:
            return _option("--meter", options.meter, _read_new_meter)
        raise click.UsageError(f"--meter: {error}; --create-meter creates it") from None


def _ask_for_new_meter() -> MeterChoice:
    tell(
        "\nPolar has no meter that can hold credits, so one will be created. It sums `units` over the\n"
        "events of one name: your application sends such an event whenever a customer uses something."
    )
    meter = ask("Name of the events", _read_new_meter, default=_USUAL_METER)
    return MeterChoice(meter=meter, title=meter.name)


def _read_new_meter(text: str) -> Meter:
    if not 1 <= len(text) <= MAX_METER_CHARACTERS or not text.isprintable():
        raise ValueError(f"{quoted(text)} is not a name of 1 to {MAX_METER_CHARACTERS} characters")
    return Meter(name=text)


def _text_of(rule: StarterRule, credit_from: datetime) -> str:
    text = starter_text([rule], credit_from)
    parse_rules(text, "rules")
    return text


def _option(name: str, value: str, read: Callable[[str], T]) -> T:
    try:
        return read(value.strip())
    except ValueError as error:
        raise click.UsageError(f"{name}: {error}") from None
