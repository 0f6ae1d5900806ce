"""Traffic: the search tables of network-traffic and proxy events, with rows beside the log."""
