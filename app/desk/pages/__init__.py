"""The pages of the desk: a module for each, with a function that gathers what its template shows."""

from collections.abc import Mapping

from app.desk.page import Page
from app.desk.pages import deliveries, delivery, overview

HOME = "overview"

PAGES: Mapping[str, Page] = {
    HOME: Page(get=overview.gather),
    "deliveries": Page(get=deliveries.gather),
    "delivery": Page(get=delivery.gather, post=delivery.gather_with_body),
}
"""The pages by their names, which are also their URLs under ``/desk``."""
