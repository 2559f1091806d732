"""Public image sets: where they lie, fetching them, and making projects of them."""
