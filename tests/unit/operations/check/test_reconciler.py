"""``credits check`` says whether the reconciler runs, and if not, why."""

from pathlib import Path

import pytest

from config.setting_fields import read_fields
from config.settings import Settings
from workers.operations.check.local import check_rules

PACK = "version: 1\nmeters: {api_usage: {}}\nrules:\n  - {name: pack, grant: {api_usage: 10}}\n"
SINCE = "credit_from: 2026-11-01T00:00:00Z\n"
ALONE = "what never arrives is granted by `credits backfill` alone"


@pytest.mark.parametrize(
    ("rules", "every", "detail"),
    [
        (SINCE + PACK, None, "on, every 6 h"),
        (SINCE + PACK, "1h", "on, every 60 min"),
        (SINCE + PACK, "off", f"off, because CREDITS_RECONCILE_EVERY is off: {ALONE}"),
        (PACK, None, f"off, because the rules have no credit_from: {ALONE}"),
    ],
)
def test_it_is_told_with_its_reason(tmp_path: Path, rules: str, every: str | None, detail: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(rules)
    chosen = {"CREDITS_RULES": str(file), **({"CREDITS_RECONCILE_EVERY": every} if every else {})}
    found = list(check_rules(read_fields(Settings, chosen)))
    assert [(one.level, one.detail) for one in found if one.what == "reconciler"] == [("ok", detail)]


@pytest.mark.parametrize(
    ("since", "policy", "level"),
    [("", "keep", "warning"), ("", "revoke", "error"), (SINCE, "keep", None)],
)
def test_without_it_a_lost_dispute_ends_no_instalments(
    tmp_path: Path, since: str, policy: str, level: str | None
) -> None:
    file = tmp_path / "rules.yaml"
    keys = f"triggers: [subscription_cycle], every: month, on_dispute: {policy}"
    file.write_text(f"{since}{PACK.replace('name: pack', f'name: pack, {keys}')}")
    found = list(check_rules(read_fields(Settings, {"CREDITS_RULES": str(file)})))
    worse = [one for one in found if one.level != "ok"]
    assert [one.level for one in worse] == ([level] if level else [])
    assert all("CREDITS_RECONCILE_EVERY" in one.detail for one in worse)
