"""What events of network traffic and of the proxy are looked for by: rows beside the log."""
