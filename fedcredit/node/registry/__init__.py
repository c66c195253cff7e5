"""Published models: the platform's desk for them, and a party's own part in them."""
