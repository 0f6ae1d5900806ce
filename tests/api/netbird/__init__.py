"""/api, by resource."""
