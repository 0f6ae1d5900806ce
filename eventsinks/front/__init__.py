"""The front: takes each request in whole, and only then lets a door answer it.

One event loop reads heads and bodies, each with a deadline and within bounds, and writes the answers. So a client
that is slow to send or to read holds no scarce resource: no thread, no database connection, no lock. A complete
request goes to a door: a callable that gets the whole request and returns the whole answer. Today there is one
door, Django in a limited number of threads.
"""
