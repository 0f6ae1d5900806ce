"""The one way out and its guards: addresses, HTTP, mail, and the clients of Amazon and Slack."""
