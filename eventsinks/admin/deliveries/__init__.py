"""The pages of deliveries and events."""
