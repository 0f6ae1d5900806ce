"""Slack messages as text, laid out roughly as on a phone: https://docs.slack.dev/reference/block-kit/blocks.

It knows every block of messages, not only those that we send. For an unknown block it prints the name.
"""

from __future__ import annotations

import colorsys
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, set_cell_size

WIDTH = 46  # letters in a line on a phone
NARROWEST = 8  # letters of the narrowest column
ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
LINK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
# The end of each range of hues, and the name of its colour.
HUES = ((0.04, "red"), (0.12, "orange"), (0.19, "yellow"), (0.45, "green"), (0.7, "blue"), (0.85, "purple"))
NAMED = {"good": "green", "warning": "yellow", "danger": "red"}

Json = Mapping[str, Any]


def draw_message(message: Json, width: int = WIDTH) -> str:
    """Return a message: its blocks, then its attachments, each after a bar with the name of its colour."""
    lines = list(draw_blocks(message.get("blocks") or (), width))
    for attachment in message.get("attachments") or ():
        inside = list(draw_blocks(attachment.get("blocks") or (), width - 2))
        inside = inside or wrap_text(draw_attachment(attachment), width - 2)
        colour = name_colour(str(attachment.get("color") or ""))
        lines += [f"▌ ({colour})" if colour else "▌", *(f"▌ {line}".rstrip() for line in inside)]
    return "\n".join(lines) if lines else str(message.get("text") or "")


def draw_blocks(found: Iterable[Json], width: int) -> Iterator[str]:
    """Yield the lines of blocks, with an empty line between two blocks."""
    for number, block in enumerate(found):
        if number:
            yield ""
        kind = str(block.get("type"))
        yield from BLOCKS[kind](block, width) if kind in BLOCKS else [f"({kind})"]


def draw_header(block: Json, width: int) -> list[str]:
    """Return a heading, underlined."""
    lines = wrap_text(read_text(block.get("text")), width)
    return [*lines, "━" * max(map(cell_len, lines), default=0)]


def draw_section(block: Json, width: int) -> list[str]:
    """Return a text, its fields in two columns, and the element beside it."""
    fields = [wrap_text(read_text(field), (width - 2) // 2) for field in block.get("fields") or ()]
    lines = wrap_text(read_text(block.get("text")), width)
    left: list[str]
    right: list[str]
    for left, right in zip_longest(fields[::2], fields[1::2], fillvalue=[]):
        pairs = zip_longest(left, right, fillvalue="")
        lines += [f"{set_cell_size(one, (width - 2) // 2)}  {other}".rstrip() for one, other in pairs]
    beside = draw_element(block.get("accessory") or {})
    return [*lines, *([" " * max(width - cell_len(beside), 0) + beside] if beside else [])]


def draw_context(block: Json, width: int) -> list[str]:
    """Return small print."""
    return wrap_text("  ".join(filter(None, map(draw_element, block.get("elements") or ()))), width)


def draw_actions(block: Json, width: int) -> list[str]:
    """Return buttons, as many as fit in each line. No button is split."""
    lines: list[str] = []
    for button in map(draw_element, block.get("elements") or ()):
        if lines and cell_len(lines[-1]) + cell_len(button) + 1 <= width:
            lines[-1] += f" {button}"
        else:
            lines.append(button)
    return lines


def draw_table(block: Json, width: int) -> list[str]:
    """Return rows. Each column is as wide as its text needs, or as the phone allows.

    On a phone one can scroll to the columns that do not fit. Here we only count them.
    """
    rows = [[" ".join(read_text(cell).split()) for cell in row] for row in block.get("rows") or ()]
    if not rows:
        return []
    columns = max(map(len, rows))
    shown = max(min(columns, (width + 3) // (NARROWEST + 3)), 1)
    room = max((width - 3 * (shown - 1)) // shown, 3)
    rows = [[*row, *[""] * (columns - len(row))][:shown] for row in rows]
    widths = [min(max(cell_len(row[column]) for row in rows), room) for column in range(shown)]
    lines = [
        " │ ".join(fit_text(cell, wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    rest = [f"({columns - shown} more to the right)"] if shown < columns else []
    return [lines[0], "─┼─".join("─" * wide for wide in widths), *lines[1:], *rest]


def draw_rich_text(block: Json, width: int) -> list[str]:
    """Return the sections, lists, quotes and code of a rich text."""
    lines: list[str] = []
    for part in block.get("elements") or ():
        kind = part.get("type")
        if kind == "rich_text_list":
            for number, item in enumerate(part.get("elements") or (), 1):
                mark = f"{number}. " if part.get("style") == "ordered" else "• "
                lines += draw_item(mark, read_text(item), width)
        else:
            mark = {"rich_text_quote": "│ ", "rich_text_preformatted": "  "}.get(str(kind), "")
            lines += [f"{mark}{line}" for line in wrap_text(read_text(part), width - len(mark))]
    return lines


def draw_image(block: Json, width: int) -> list[str]:
    """Return the text that describes an image."""
    return wrap_text(draw_element({**block, "type": "image"}), width)


BLOCKS: dict[str, Callable[[Json, int], Sequence[str]]] = {
    "header": draw_header,
    "section": draw_section,
    "context": draw_context,
    "actions": draw_actions,
    "table": draw_table,
    "rich_text": draw_rich_text,
    "image": draw_image,
    "divider": lambda block, width: ["─" * width],
    "markdown": lambda block, width: wrap_text(str(block.get("text") or ""), width),
}


def draw_element(found: Json) -> str:
    """Return an element in or beside a block: a button as `[ View ]`, a text as it is."""
    kind = found.get("type")
    if kind == "image":
        return f"(image: {found.get('alt_text') or 'without a text'})"
    if kind in ("mrkdwn", "plain_text"):
        return read_text(found)
    label = read_text(found.get("text")) or read_text(found.get("placeholder"))
    return f"[ {label or kind} ]" if found else ""


def read_text(found: Any) -> str:
    """Return the text of a text object, a cell of a table, or a part of a rich text."""
    if not isinstance(found, Mapping):
        return "" if found is None else str(found)
    if isinstance(found.get("elements"), list):
        return "".join(map(read_text, found["elements"]))
    kind = found.get("type")
    if kind == "emoji":
        return f":{found.get('name')}:"
    if kind == "link":
        return str(found.get("text") or found.get("url"))
    ids = (found[key] for key in found if key.endswith("_id"))  # a user's, a channel's
    text = str(found.get("text") or found.get("value") or next(ids, ""))
    if kind == "mrkdwn":
        text = LINK.sub(lambda link: link[2] or link[1], text)
    if kind in ("mrkdwn", "plain_text"):
        text = re.sub("|".join(ENTITIES), lambda entity: ENTITIES[entity[0]], text)
    return text


def draw_attachment(attachment: Json) -> str:
    """Return an attachment of the old kind, without blocks."""
    parts = (attachment.get(key) for key in ("pretext", "title", "text"))
    return "\n".join(str(part) for part in parts if part) or str(attachment.get("fallback") or "")


def wrap_text(text: str, width: int) -> list[str]:
    """Return the lines of a text, wrapped where the phone would wrap them."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, max(width, 1)) or [""]]


def draw_item(mark: str, text: str, width: int) -> list[str]:
    """Return an item of a list, indented behind its mark."""
    first, *rest = wrap_text(text, width - len(mark)) or [""]
    return [mark + first, *(" " * len(mark) + line for line in rest)]


def fit_text(text: str, width: int) -> str:
    """Return a text of exactly this width. An ellipsis marks a cut."""
    return set_cell_size(text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…", width)


def name_colour(colour: str) -> str:
    """Return the name of a colour, "" for none."""
    digits = colour.removeprefix("#")
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        return NAMED.get(colour, colour)
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.15 or value < 0.15:
        return "black" if value < 0.15 else "white" if value > 0.9 else "grey"
    return next((name for end, name in HUES if hue < end), "red")
