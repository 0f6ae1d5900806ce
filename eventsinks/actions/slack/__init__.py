"""Installing our Slack app into a tenant's workspace."""
