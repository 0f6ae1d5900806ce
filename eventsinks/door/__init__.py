"""Door: commits the events of many POSTs together, before Django. Everything else goes on to Django.

It takes only what it will surely accept, and answers as Django does, byte for byte. It may use the wire formats,
the front, and every room below them.
"""
