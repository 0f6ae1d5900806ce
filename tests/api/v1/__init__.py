"""/v1, by resource."""
