"""Lists the recorded webhooks, and what each of them is to the rules, written down by hand."""

from config.rules import Trigger
from tests.support.recordings import PAYLOADS

REAL = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
PAID = [name for name in REAL if name.startswith("order_paid_")]
CYCLED = [name for name in REAL if name.startswith(("subscription_cycled", "subscription_resumed"))]
CREATED = [name for name in REAL if name.startswith("subscription_created")]
NEW_CUSTOMERS = [name for name in REAL if name.startswith("customer_created")]
FLOWS = sorted(
    f"flows/{path.stem}"
    for path in (PAYLOADS / "flows").glob("*.json")
    if not path.stem.endswith((".headers", "sequences"))
)
REFUNDED = [name for name in REAL if name.startswith("order_refunded_")]

FINAL = "order_paid_subscription_cancel_final_invoice"
TRIAL = "order_paid_trial_start_zero"
CONVERTED = "order_paid_subscription_cycle_after_trial"

KINDS = {
    "order_paid_discount_100pct_zero": Trigger.PURCHASE,
    "order_paid_discount_25pct": Trigger.PURCHASE,
    "order_paid_free": Trigger.PURCHASE,
    "order_paid_product_null": Trigger.PURCHASE,
    "order_paid_purchase": Trigger.PURCHASE,
    "order_paid_purchase_discount_100pct_whole_flow": Trigger.PURCHASE,
    "order_paid_purchase_no_external_id": Trigger.PURCHASE,
    "order_paid_purchase_pay_what_you_want": Trigger.PURCHASE,
    "order_paid_seats_5": Trigger.PURCHASE,
    "order_paid_unicode_tax": Trigger.PURCHASE,
    "order_paid_subscription_create": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_create_free_plan": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_create_seats": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_create_units": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_create_yearly": Trigger.SUBSCRIPTION_CREATE,
    "order_paid_subscription_cycle": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_2": Trigger.SUBSCRIPTION_CYCLE,
    CONVERTED: Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_free_plan": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_late": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_seats_order_seats_null": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_seats_whole_flow": Trigger.SUBSCRIPTION_CYCLE,
    "order_paid_subscription_cycle_yearly": Trigger.SUBSCRIPTION_CYCLE,
    FINAL: None,
    "order_paid_subscription_cancel_final_invoice_metered_whole_flow": None,
    "order_paid_subscription_meter_cycle": Trigger.SUBSCRIPTION_METER_CYCLE,
    "order_paid_subscription_update": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_subscription_update_downgrade_negative": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_subscription_update_negative_total": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_subscription_update_seats_added": Trigger.SUBSCRIPTION_UPDATE,
    "order_paid_subscription_update_upgrade": Trigger.SUBSCRIPTION_UPDATE,
    TRIAL: Trigger.TRIAL_START,
}
"""None: no trigger matches it."""
