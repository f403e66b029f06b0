"""The storefront API: asks whether an order was credited and what a customer has left."""
