"""Reads a request for a manual grant, from options or from a row of a CSV file."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from msgspec import Struct

from config.cel.numbers import CREDITS_LIMIT, MAX_DIGITS
from config.ids import read_id
from config.rules import Meter
from config.rules.expression_fields import MIN_CREDITS
from config.rules.fields import CONTROLS
from config.wording import describe_unknown, joined, quoted
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.core.grants import KEY, LONGEST_TEXT, manual_delivery, manual_subject
from workers.core.manual import ManualGrant

_CONTROL_CHARACTERS = re.compile(rf"[{CONTROLS}\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+")  # 1.000 is a thousand where a comma separates decimals


class GrantRequest(Struct, frozen=True, kw_only=True):
    """One request for credits; ``place`` is its line in the file (``file.csv:17``), empty for options."""

    place: str = ""
    customer: CustomerName
    new_customer: NewCustomer | None
    meter: Meter
    units: Decimal
    key: str
    reason: str

    @property
    def subject(self) -> str:
        """Return the business fact behind its grant."""
        return manual_subject(self.key, self.customer.in_key, self.meter.name)

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that grants it."""
        return manual_delivery(self.subject)

    def for_customer(self, customer_id: str) -> ManualGrant:
        """Return the manual grant for the customer with this id."""
        return ManualGrant(
            key=self.key,
            customer=self.customer.in_key,
            customer_id=customer_id,
            meter=self.meter.name,
            property_name=self.meter.property,
            units=self.units,
            reason=self.reason,
        )


class GrantRequestError(Exception):
    """A field of a request is invalid; the text says why."""


class GrantRequestReader(Struct, frozen=True, kw_only=True):
    """Reads requests against the meters of the rules; with ``create_missing`` they may name new customers."""

    meters: Mapping[str, Meter]
    create_missing: bool = False

    def read(self, fields: Mapping[str, str], place: str = "") -> GrantRequest | list[str]:
        """Return the request, or every problem with it; an empty field counts as absent."""
        given = {name: text.strip() for name, text in fields.items() if text.strip()}
        if problems := list(self._problems(given)):
            return problems
        request = GrantRequest(
            place=place,
            customer=self._customer(given),
            new_customer=_newcomer(given) if self.create_missing else None,
            meter=self.meters[given["meter"]],
            units=_units(given["units"]),
            key=given["key"],
            reason=given.get("reason", ""),
        )
        if len(request.subject) > LONGEST_TEXT:
            limit = f"the customer's name is too long for a key at Polar ({LONGEST_TEXT} characters)"
            return [f"{limit}: use their {NameKind.ID}"]
        return request

    def _problems(self, given: Mapping[str, str]) -> Iterator[str]:
        if bad := [name for name, text in given.items() if _CONTROL_CHARACTERS.search(text)]:
            yield f"control characters in {joined(bad)}"
            return
        checks: list[Callable[[Mapping[str, str]], object]] = [self._customer, self._meter]
        for check in (*checks, _units_given, _key_given, _reason_given):
            try:
                check(given)
            except GrantRequestError as error:
                yield str(error)

    def _meter(self, given: Mapping[str, str]) -> None:
        name = given.get("meter", "")
        if not name:
            raise GrantRequestError("meter is missing")
        if name not in self.meters:
            otherwise = f"the rules file declares {joined(self.meters) or 'none'}"
            raise GrantRequestError(describe_unknown("meter", name, self.meters, otherwise))

    def _customer(self, given: Mapping[str, str]) -> CustomerName:
        named = [kind for kind in NameKind if kind in given]
        if self.create_missing and named == [NameKind.EXTERNAL, NameKind.EMAIL]:
            named = [NameKind.EXTERNAL]  # the email only serves to create the customer
        if len(named) != 1:
            raise GrantRequestError(f"name the customer by one of {', '.join(NameKind)}")
        (kind,) = named
        if NameKind.EMAIL in given:
            _email(given[NameKind.EMAIL])
        if "name" in given and not self.create_missing:
            raise GrantRequestError("a name is only used to create a customer (--create)")
        return CustomerName(kind, _READ[kind](given[kind]))


def _newcomer(given: Mapping[str, str]) -> NewCustomer | None:
    """Return the customer to create; None without an email. Polar assigns the id itself."""
    if NameKind.EMAIL not in given:
        return None
    return NewCustomer(given[NameKind.EMAIL], given.get("name"), given.get(NameKind.EXTERNAL))


def _id(text: str) -> str:
    try:
        return read_id(text)
    except ValueError:
        raise GrantRequestError(
            f"{quoted(text)} is not a customer id at Polar, such as 99130a7b-29f6-..."
        ) from None


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise GrantRequestError(f"{quoted(text)} is not an e-mail address")
    return text.lower()  # Polar ignores case; a second spelling must not make a second key


_READ: Mapping[NameKind, Callable[[str], str]] = {
    NameKind.ID: _id,
    NameKind.EXTERNAL: str,
    NameKind.EMAIL: _email,
}


def _units_given(given: Mapping[str, str]) -> None:
    _units(given.get("units", ""))


def _units(text: str) -> Decimal:
    """Return the credits: a positive number that Polar stores exactly."""
    if not text:
        raise GrantRequestError("units are missing")
    if "," in text:
        raise GrantRequestError(
            f"units {quoted(text)}: write plain digits and a decimal point, such as 1000 or 1.5"
        )
    if not _NUMBER.fullmatch(text):
        raise GrantRequestError(f"units {quoted(text)}: expected plain digits, such as 1000 or 0.5")
    if _GROUPED.fullmatch(text):
        plain = text.replace(".", "")
        raise GrantRequestError(
            f"units {quoted(text)}: it could mean {plain}; write {plain}, or fewer decimals"
        )
    units = Decimal(text)
    if units <= 0:
        raise GrantRequestError(
            f"units {quoted(text)}: expected more than 0 (use credits revoke to take back)"
        )
    if not MIN_CREDITS <= units < CREDITS_LIMIT:
        raise GrantRequestError(
            f"units {quoted(text)}: expected {MIN_CREDITS:f} to less than {CREDITS_LIMIT:,}"
        )
    if len(units.normalize().as_tuple().digits) > MAX_DIGITS:
        raise GrantRequestError(f"units {quoted(text)}: more than {MAX_DIGITS} digits would be rounded")
    return units.normalize() + 0


def _key_given(given: Mapping[str, str]) -> None:
    key = given.get("key", "")
    if not key:
        raise GrantRequestError("key is missing; it prevents granting these credits twice")
    if not re.fullmatch(KEY, key):
        raise GrantRequestError(f"key {quoted(key)}: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -")


def _reason_given(given: Mapping[str, str]) -> None:
    if len(given.get("reason", "")) > LONGEST_TEXT:
        raise GrantRequestError(f"the reason is longer than the {LONGEST_TEXT} characters that Polar allows")
