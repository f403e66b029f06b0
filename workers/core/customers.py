"""Defines how a person names a customer: by Polar's id, by the shop's own id, or by email."""

import string
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

# Punctuation stays readable in a key, except ":", which separates parts, and "%", which starts an escape.
_READABLE = "".join(set(string.punctuation) - set(":%"))

# The shop's own id of a customer, as the storefront may send it. Polar's database stores no null character.
LONGEST_EXTERNAL_ID = 200
EXTERNAL_ID = r"^[^\x00]*$"


class NameKind(StrEnum):
    """The kinds of names; each value is also the name of a CSV column."""

    ID = "customer_id"
    EXTERNAL = "external_customer_id"
    EMAIL = "email"


class CustomerName(NamedTuple):
    """A customer's name, as a person gave it."""

    kind: NameKind
    text: str

    @property
    def in_key(self) -> str:
        """Return the name, escaped for use in a grant's key."""
        return quote(self.text, safe=_READABLE)


class NewCustomer(NamedTuple):
    """The customer to create if Polar has none by the requested ``CustomerName``."""

    email: str
    name: str | None
    external_id: str | None
