"""The front: takes each request in whole, and only then lets somebody answer it.

Heads and bodies are read by one event loop, each with a deadline and within bounds, and answers are written by it.
So nothing that counts (a thread, a database connection, a lock) is held for a client that is slow to send or to
read. What is complete goes to a door: a callable that gets the whole request and returns the whole answer. Today
there is one, Django in a bounded number of threads.
"""
