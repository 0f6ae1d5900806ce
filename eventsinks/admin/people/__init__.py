"""Who may look after it: accounts, log-in, second factors, lock-out."""
