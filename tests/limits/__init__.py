"""What bounds a tenant."""
