"""Name the code that nothing of the system uses: functions, methods, classes, constants, lines after a return.

What tests alone use is not used. Fields of documents and options of classes are for others to read, and left out.
"""

import sys

from vulture import Vulture
from vulture.config import make_config

FIELDS = ("attribute", "variable")
# Types there are found by being there.
FOUND = {"destinations", "mappings", "event_types"}


def matters(item):
    """Whether somebody would have to use this."""
    if item.typ in FIELDS:
        return item.name.isupper() and item.filename.name != "settings.py"
    return item.typ != "class" or not FOUND & set(item.filename.parts)


def unused(arguments):
    """Return what is unused in the paths that pyproject.toml or `arguments` name."""
    config = make_config(arguments)
    seen = Vulture(ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"])
    seen.scavenge(config["paths"], exclude=config["exclude"])
    return [item.get_report() for item in seen.get_unused_code(min_confidence=60) if matters(item)]


if __name__ == "__main__":
    found = unused(sys.argv[1:])
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
