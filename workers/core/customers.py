"""A customer as a person names one: by Polar's id, by the shop's id, or by e-mail."""

import string
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

# What parts a key, or Redis' words, is written as %3A; all else that a keyboard has stays as it is.
_HARMLESS = "".join(set(string.punctuation) - set(":%"))


class NameKind(StrEnum):
    """What a customer is named by; the words are a table's columns."""

    ID = "customer_id"
    EXTERNAL = "external_customer_id"
    EMAIL = "email"


class CustomerName(NamedTuple):
    """A customer as somebody named them."""

    kind: NameKind
    text: str

    @property
    def in_key(self) -> str:
        """Return the name as a part of a grant's key: always the same for the same customer."""
        return quote(self.text, safe=_HARMLESS)


class NewCustomer(NamedTuple):
    """Whom to create where the customer is missing."""

    email: str
    name: str | None
    external_id: str | None
