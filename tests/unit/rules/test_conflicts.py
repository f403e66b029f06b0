"""Conflicts between the keys of a rule."""

import pytest

from tests.support.rule_files import PRODUCT, one_rule, rule_problem


class TestWithinARule:
    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            (
                "once_per: customer, on_refund: revoke",
                "4:44: rules[0].on_refund: `on_refund: revoke` cannot be combined with `once_per`: "
                "that credit does not belong to a single order",
            ),
            (
                "triggers: [subscription.cycled], on_refund: revoke",
                "4:57: rules[0].on_refund: "
                "`on_refund: revoke` cannot be combined with the trigger subscription.cycled: "
                "a period is not an order and is never refunded",
            ),
            (
                "on_refund: revoke, triggers: [purchase, customer.created]",
                "4:24: rules[0].on_refund: "
                "`on_refund: revoke` cannot be combined with the trigger customer.created: "
                "a new customer has paid nothing that could be refunded",
            ),
            (
                "once_per: customer, on_dispute: revoke",
                "4:45: rules[0].on_dispute: `on_dispute: revoke` cannot be combined with `once_per`: "
                "that credit does not belong to a single order",
            ),
            (
                "triggers: [subscription.cycled], on_dispute: revoke",
                "4:58: rules[0].on_dispute: "
                "`on_dispute: revoke` cannot be combined with the trigger subscription.cycled: "
                "a period is not an order, and only an order's payment is disputed",
            ),
            (
                f"products: [{PRODUCT}], triggers: [customer.created, purchase]",
                "4:23: rules[0].products: `products` cannot be combined with the trigger customer.created: "
                "a new customer has bought no product; write a separate rule for it",
            ),
            (
                "triggers: [subscription.created], on_refund: revoke",
                "4:58: rules[0].on_refund: "
                "`on_refund: revoke` cannot be combined with the trigger subscription.created: "
                "it credits without an order, and only orders are refunded",
            ),
            (
                "triggers: [subscription_create, subscription.created]",
                "4:23: rules[0].triggers: subscription_create cannot be combined with subscription.created: "
                "both could credit each subscription's start to 'm', 'n'; keep one of them",
            ),
            (
                "triggers: [subscription_cycle, subscription.cycled]",
                "4:23: rules[0].triggers: subscription_cycle cannot be combined with subscription.cycled: "
                "both could credit each billing cycle to 'm', 'n'; keep one of them",
            ),
        ],
    )
    def test_is_reported_at_the_key_to_change(self, keys: str, message: str) -> None:
        """Both keys are named, and the place is that of the key to change."""
        assert rule_problem(f"{{name: a, {keys}, grant: {{m: 1, n: 1}}}}") == message

    @pytest.mark.parametrize(
        "keys",
        [
            "on_refund: keep, once_per: customer",
            "on_refund: keep, triggers: [subscription.cycled]",
            "on_refund: revoke, triggers: [purchase, subscription_update]",
            "on_refund: keep, on_dispute: revoke, triggers: [purchase, subscription_update]",
            "on_dispute: keep, triggers: [customer.created]",
            "once_per: customer, triggers: [customer.created]",
            "once_per: customer, triggers: [subscription_cycle, subscription.cycled]",
            f"products: [{PRODUCT}], triggers: [subscription.cycled]",
            "triggers: [subscription.created, trial_start]",
            "triggers: [subscription.created, subscription_cycle, purchase]",
            "triggers: [subscription.created, subscription.cycled]",
            "once_per: customer, triggers: [subscription.created, subscription_create, trial_start]",
        ],
    )
    def test_goes_together_otherwise(self, keys: str) -> None:
        """Nothing else is refused; a once_per rule credits a customer once, whatever triggers it has."""
        assert one_rule(f"{{name: a, {keys}, grant: {{m: 1}}}}").name == "a"

    def test_is_not_reported_for_what_could_not_be_read(self) -> None:
        """A misspelt trigger is one problem and causes no other at the keys beside it."""
        assert rule_problem(
            f"{{name: a, products: [{PRODUCT}], triggers: [customer.created, purchas], grant: {{m: 1}}}}"
        ).endswith("unknown trigger 'purchas'; did you mean 'purchase'?")
