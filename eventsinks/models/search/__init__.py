"""Search: finds detection alerts by words of their name, rule and tags (docs/decisions/0041)."""
