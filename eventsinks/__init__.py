"""Takes in a tenant's events and gets every one of them to the places the tenant chose."""
