"""Actions: what can be done, one verb for each file. The doors call these and decide nothing."""
