"""The pages of tenants, with their API keys, limits and Slack workspaces."""
