"""PURE: credits that somebody asks for by hand: options or a row, read, or every fault of it named."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from config.cel.amounts import CREDITS_LIMIT, MAX_DIGITS
from config.rules import Meter
from config.rules.expression_fields import MIN_CREDITS
from config.rules.fields import CONTROLS
from config.wording import describe_unknown, joined, quoted
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.core.grants import KEY, LONGEST_TEXT, manual_delivery, manual_subject
from workers.core.manual import ManualGrant

_UNWRITABLE = re.compile(rf"[{CONTROLS}\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantRequest:
    """Credits asked for; ``place`` is where (a line of a file), nothing for options."""

    place: str = ""
    customer: CustomerName
    new_customer: NewCustomer | None
    meter: Meter
    units: Decimal
    key: str
    reason: str

    @property
    def subject(self) -> str:
        """Return the business fact that it would become."""
        return manual_subject(self.key, self.customer.in_key, self.meter.name)

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery by which it is granted."""
        return manual_delivery(self.subject)

    def for_customer(self, customer_id: str) -> ManualGrant:
        """Return it as it is granted to the customer who was meant."""
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
    """What is asked for cannot be; its text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantRequestReader:
    """Reads wishes by the meters of the rules; ``creates``: customers who are missing may be created."""

    meters: Mapping[str, Meter]
    create_missing: bool = False

    def read(self, fields: Mapping[str, str], place: str = "") -> GrantRequest | list[str]:
        """Return what is asked for, or all that is wrong with it; a field that is empty was not given."""
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
            bound = f"the customer's name is too long for a key at Polar ({LONGEST_TEXT})"
            return [f"{bound}: use their {NameKind.ID}"]
        return request

    def _problems(self, given: Mapping[str, str]) -> Iterator[str]:
        if bad := [name for name, text in given.items() if _UNWRITABLE.search(text)]:
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
            named = [NameKind.EXTERNAL]  # the address is for one who is to be created
        if len(named) != 1:
            raise GrantRequestError(f"name the customer by one of {', '.join(NameKind)}")
        (kind,) = named
        if NameKind.EMAIL in given:
            _email(given[NameKind.EMAIL])
        if "name" in given and not self.create_missing:
            raise GrantRequestError("a name is only for customers who are to be created (--create)")
        return CustomerName(kind, _READ[kind](given[kind]))


def _newcomer(given: Mapping[str, str]) -> NewCustomer | None:
    """Return whom to create; nobody who was named by an id of Polar's, for Polar gives those itself."""
    if NameKind.EMAIL not in given:
        return None
    return NewCustomer(given[NameKind.EMAIL], given.get("name"), given.get(NameKind.EXTERNAL))


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise GrantRequestError(
            f"{quoted(text)} is no customer's id at Polar, such as 99130a7b-29f6-..."
        ) from None


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise GrantRequestError(f"{quoted(text)} is no e-mail address")
    return text.lower()  # to Polar these are the same customer: nobody is credited twice for a capital


_READ: Mapping[NameKind, Callable[[str], str]] = {
    NameKind.ID: _id,
    NameKind.EXTERNAL: str,
    NameKind.EMAIL: _email,
}


def _units_given(given: Mapping[str, str]) -> None:
    _units(given.get("units", ""))


def _units(text: str) -> Decimal:
    """Return a positive number of credits that Polar keeps exactly."""
    if not text:
        raise GrantRequestError("units are missing")
    if "," in text:
        raise GrantRequestError(
            f"units {quoted(text)}: write plain digits and a decimal point, such as 1000 or 1.5"
        )
    if not _NUMBER.fullmatch(text):
        raise GrantRequestError(f"units {quoted(text)}: expected plain digits, such as 1000 or 0.5")
    units = Decimal(text)
    if units <= 0:
        raise GrantRequestError(f"units {quoted(text)}: expected more than 0 (credits revoke takes back)")
    if not MIN_CREDITS <= units < CREDITS_LIMIT:
        raise GrantRequestError(
            f"units {quoted(text)}: expected {MIN_CREDITS:f} to less than {CREDITS_LIMIT:,}"
        )
    if len(units.normalize().as_tuple().digits) > MAX_DIGITS:
        raise GrantRequestError(f"units {quoted(text)}: at most {MAX_DIGITS} digits stay exact")
    return units.normalize() + 0


def _key_given(given: Mapping[str, str]) -> None:
    key = given.get("key", "")
    if not key:
        raise GrantRequestError("key is missing: it keeps these credits from being granted twice")
    if not re.fullmatch(KEY, key):
        raise GrantRequestError(f"key {quoted(key)}: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -")


def _reason_given(given: Mapping[str, str]) -> None:
    if len(given.get("reason", "")) > LONGEST_TEXT:
        raise GrantRequestError(f"the reason is longer than the {LONGEST_TEXT} characters that Polar takes")
