"""What ``credits init`` is going to write and create, and the order that makes it safe to interrupt."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from config.rules import Meter, Rules
from config.wording import format_count, joined
from workers.errors import PolarUnreachableError
from workers.operations.init.endpoint import EndpointPlan, carry_out
from workers.operations.init.files import EnvChanges, env_changes, secrets_with, write_env, write_rules
from workers.polar.client import Polar
from workers.polar.responses import needs

_SECRET = "POLAR_WEBHOOK_SECRET"  # noqa: S105 - the name of a setting

_SHORTEST_TITLE = 3  # of a meter at Polar


class Plan(Struct, frozen=True, kw_only=True):
    """The settings to write, and what is missing: the rules file, a meter, the endpoint or parts of it."""

    env_path: Path
    env: Mapping[str, str]
    """Without the signing secret, which is known once the endpoint exists."""
    secret_set: str | None
    """The signing secrets that the ``.env`` has now."""
    rules_path: Path
    rules: Rules
    rules_text: str | None
    """The rules file to write; None keeps the one that exists."""
    new_meters: tuple[Meter, ...]
    endpoint: EndpointPlan | None

    @property
    def env_changes(self) -> EnvChanges:
        """Return which names in the ``.env`` are added or changed."""
        found = env_changes(self.env_path, {**self.env, **self._known_secret()})
        is_new = self.endpoint is not None and self.endpoint.existing is None
        if not is_new:
            return found
        if self.secret_set:
            return EnvChanges(added=found.added, changed=(*found.changed, _SECRET))
        return EnvChanges(added=(*found.added, _SECRET), changed=found.changed)

    @property
    def changes_existing(self) -> bool:
        """Return whether something that exists would become different, for which a person is asked."""
        return bool(self.env_changes.changed or (self.endpoint and self.endpoint.status == "updated"))

    @property
    def is_done(self) -> bool:
        """Return whether nothing is left to do."""
        changes = self.env_changes
        endpoint_stays = self.endpoint is None or self.endpoint.status == "unchanged"
        files_stay = self.rules_text is None and not changes.added and not changes.changed
        return files_stay and endpoint_stays and not self.new_meters

    def _known_secret(self) -> dict[str, str]:
        existing = self.endpoint.existing if self.endpoint else None
        if existing is None or existing.secret is None:
            return {}
        return {_SECRET: secrets_with(existing.secret.get_secret_value(), self.secret_set)}


def describe_plan(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what the plan is about, and what becomes of it."""
    rules = format_count(len(plan.rules.rules), "rule")
    yield str(plan.rules_path), f"kept as it is, {rules}" if plan.rules_text is None else f"new, {rules}"
    changes = plan.env_changes
    if changes.added:
        yield str(plan.env_path), f"sets {', '.join(changes.added)}"
    if changes.changed:
        yield str(plan.env_path), f"CHANGES {', '.join(changes.changed)}"
    for meter in plan.new_meters:
        yield "meter", f"{meter.name} is new at Polar, sums {meter.property}"
    if plan.endpoint is None:
        yield "webhook endpoint", "none yet: Polar sends nothing until there is a public URL"
    else:
        yield "webhook endpoint", f"{plan.endpoint.url} {_describe_endpoint(plan.endpoint)}"


def execute(plan: Plan, polar: Polar) -> Iterator[str]:
    """Carry out the plan; yield a line for each step that is done.

    May be interrupted anywhere and repeated. The settings are written before the endpoint is created, so that
    a folder that cannot be written to is known by then. Polar shows the secret of an endpoint that exists, so
    it is not lost either if only its writing was interrupted.
    """
    if plan.rules_text is not None:
        write_rules(plan.rules_path, plan.rules_text)
        yield f"wrote {plan.rules_path}"
    changes = env_changes(plan.env_path, plan.env)
    if changes.added or changes.changed:
        write_env(plan.env_path, plan.env)
        yield f"wrote {plan.env_path}, which other users of this host cannot read"
    for meter in plan.new_meters:
        _create_meter(meter, polar)
        yield f"created the meter {meter.name} at Polar"
    if plan.endpoint is not None:
        yield from _set_up_endpoint(plan, plan.endpoint, polar)


def _set_up_endpoint(plan: Plan, endpoint: EndpointPlan, polar: Polar) -> Iterator[str]:
    made = carry_out(endpoint, polar)
    if made.secret is None:
        raise PolarUnreachableError(
            f"Polar does not show the secret of {made.url}: copy it from its dashboard (Settings > Webhooks) "
            f"into {_SECRET}"
        )
    secrets = {_SECRET: secrets_with(made.secret.get_secret_value(), plan.secret_set)}
    changes = env_changes(plan.env_path, secrets)
    write_env(plan.env_path, secrets)
    if endpoint.status != "unchanged":
        yield f"{endpoint.status} the webhook endpoint {made.url}"
    if changes.added or changes.changed:
        yield f"wrote its secret to {plan.env_path}"


def _create_meter(meter: Meter, polar: Polar) -> None:
    title = meter.name if len(meter.name) >= _SHORTEST_TITLE else f"{meter.name} credits"
    with needs("meters:write"):
        polar.create_meter(title=title, name=meter.name, summed=meter.property)


def _describe_endpoint(plan: EndpointPlan) -> str:
    match plan.status:
        case "created":
            return f"is new at Polar, for {joined(plan.events)}"
        case "updated":
            return f"exists and is CHANGED: it {'; it '.join(plan.reasons)}"
        case "unchanged":
            return "exists and stays as it is"
