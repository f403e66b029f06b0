"""The storefront API: tells whether an order was credited and what a customer has left."""
