"""The queue of fails, and what people decide about them."""
