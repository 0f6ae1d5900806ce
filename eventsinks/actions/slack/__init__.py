"""Slack: installs our Slack app into a tenant's workspace."""
