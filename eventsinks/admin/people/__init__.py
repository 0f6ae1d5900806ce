"""The people of the admin: accounts, log-in, second factors, lock-out."""
