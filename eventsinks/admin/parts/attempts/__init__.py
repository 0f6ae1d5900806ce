"""An attempt on a page: the time of its steps, the side that caused a failure, and a test shown as an attempt."""
