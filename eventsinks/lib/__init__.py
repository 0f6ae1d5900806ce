"""Plain tools that know nothing of tenants, events or destinations."""
