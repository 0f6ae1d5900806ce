"""The one way out and what guards it: addresses, HTTP, mail, Amazon's and Slack's clients."""
