"""Plans what becomes of the webhook endpoint at Polar, and does it: create it, change it, or leave it."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from config.urls import WEBHOOKS_PATH
from config.wording import joined
from workers.polar.catalogue import PolarEndpoint, parse_items
from workers.polar.client import Polar
from workers.polar.responses import needs

Status = Literal["created", "updated", "unchanged"]


class EndpointPlan(Struct, frozen=True, kw_only=True):
    """What is done about the endpoint at ``url``, and why."""

    url: str
    events: tuple[str, ...]
    """All that it gets afterwards, sorted."""
    existing: PolarEndpoint | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    """The fields to change, by their names at Polar."""
    reasons: tuple[str, ...] = ()
    """What the changes do, in words."""

    @property
    def status(self) -> Status:
        """Return what the plan makes of the endpoint."""
        if self.existing is None:
            return "created"
        return "updated" if self.changes else "unchanged"


def plan_endpoint(
    existing: PolarEndpoint | None, *, public_url: str, needed: Collection[str]
) -> EndpointPlan:
    """Return what to do so that the endpoint at ``public_url`` gets the webhooks ``needed``.

    One that exists keeps the webhooks that it has, and is moved if it leads elsewhere.
    """
    url = public_url + WEBHOOKS_PATH
    if existing is None:
        return EndpointPlan(url=url, events=tuple(sorted(needed)))
    changes: dict[str, Any] = {}
    reasons = []
    if existing.url.rstrip("/") != url:
        changes["url"] = url
        reasons.append(f"moves here from {existing.url}")
    if not existing.enabled:
        changes["enabled"] = True
        reasons.append("is enabled again")
    if existing.format != "raw":
        changes["format"] = "raw"
        reasons.append(f"gets the format raw instead of {existing.format}")
    events = sorted({*existing.events, *needed})
    if missing := sorted(set(needed).difference(existing.events)):
        changes["events"] = events
        reasons.append(f"also gets {joined(missing)}")
    return EndpointPlan(
        url=url, events=tuple(events), existing=existing, changes=changes, reasons=tuple(reasons)
    )


def carry_out(plan: EndpointPlan, polar: Polar) -> PolarEndpoint:
    """Create or change the endpoint; return it with its secret, as Polar shows it afterwards."""
    if plan.existing is not None and not plan.changes:
        return plan.existing
    with needs("webhooks:write"):
        if plan.existing is None:
            row = polar.create_endpoint(url=plan.url, events=plan.events)
        else:
            row = polar.update_endpoint(plan.existing.id, plan.changes)
    return parse_items(PolarEndpoint, [row])[0]
