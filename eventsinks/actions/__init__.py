"""What can be done: one verb a file. The doors call these and decide nothing."""
