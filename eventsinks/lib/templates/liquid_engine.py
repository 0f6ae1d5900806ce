"""Liquid with few tags and filters, and with all work of a template charged to a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from liquid import Environment, RenderContext, Token
from liquid.ast import BlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.exceptions import ResourceLimitError
from liquid.template import BoundTemplate
from liquid.undefined import UNDEFINED

from eventsinks.lib.budget import Budget
from eventsinks.lib.fields import MISSING, Unresolved, as_text, find_at, write_path
from eventsinks.lib.size import Size, measure_size
from eventsinks.lib.templates.filter_steps import ONE_LOOK, check_size, count_steps_after, count_steps_before
from eventsinks.lib.templates.template_text import VARIABLE

MAX_OUTPUT = 40_000  # bytes
MAX_DEPTH = 300  # levels of a value
OF_THE_PARSER = frozenset(["content", "output", "illegal"])
TAGS = OF_THE_PARSER | {"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "#"}
NO_FILTERS = frozenset(["date", "safe", "escapejs"])  # a template can make `date` pad to any width


class Context(RenderContext):
    """What a template sees while it renders. It also finds fields by names with dots, and charges its work."""

    budget: Budget
    seen: dict[int, tuple[object, Size]]  # sizes by id; the value is kept, so that no other gets its id

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Return a field. `a.b` may be one name or two."""
        self.budget.charge(2 + len(path) // 4)
        root = self.scope.get(str(path[0]), MISSING)
        value = find_at(root, path[1:], self.budget.charge) if len(path) > 1 else root
        if value is not MISSING:
            self.charge_look(value)
            return value
        found = super().get(path, token=token, default=Unresolved)
        if found is not Unresolved:
            self.charge_look(found)
            return found
        return Unresolved(write_path(path), token=token) if default is UNDEFINED else default

    def charge_look(self, value: object) -> None:
        """Charge the cost of comparing or walking a value. The first time, measure all of it."""
        if isinstance(value, str):
            self.budget.charge(len(value) // 2_000)
        elif isinstance(value, list | tuple | dict):
            if (known := self.seen.get(id(value))) is not None:
                self.budget.charge(1 + known[1].values // 32)
                return
            size = self.measured([value])
            self.budget.charge(size.values // 4 + size.characters // 10_000)
            self.seen[id(value)] = (value, size)

    def measured(self, values: Sequence[object]) -> Size:
        """Return the size of values, measured only as far as the budget can pay.

        Raises ResourceLimitError if too deep.
        """
        size = measure_size(values, MAX_DEPTH, 4 * self.budget.left + 1_000)
        if size is None:
            raise ResourceLimitError("a value is nested too deep", token=None)
        return size

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return a filter that is charged for its input and its output."""
        function = super().filter(name, token)

        def charged(*values: object, **named: object) -> object:
            self.budget.charge(2)
            if isinstance(values[0], Unresolved) and name != "default":
                return values[0]
            if name not in ONE_LOOK:
                self.budget.charge(count_steps_before(name, values, self.measured(values)))
            result = function(*values, **named)
            size = self.measured([result])
            check_size(size, result)
            self.budget.charge(count_steps_after(size))
            return result

        return charged

    def assign(self, key: str, val: Any) -> None:
        """Give a name to a value. Liquid adds up the sizes of all named values each time."""
        self.budget.charge(1 + len(self.locals) // 4)
        super().assign(key, val)


class TextNode(OutputNode):
    """`{{ … }}`, with lists and objects as JSON."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Write the value as text."""
        value = self.expression.evaluate(context)
        assert isinstance(context, Context)
        if not isinstance(value, str):
            context.budget.charge(2 + context.measured([value]).values // 4)
        text = as_text(value)
        context.budget.charge(1 + len(text) // 10)
        return buffer.write(text)


class TextOutput(Output):
    """Liquid's `{{ … }}`."""

    node_class: type[Node] = TextNode  # type: ignore[assignment]


class Round(BlockNode):
    """The body of a loop, with its cost per round before any value is read."""

    __slots__ = ("steps",)

    def __init__(self, block: BlockNode) -> None:
        super().__init__(block.token, block.nodes)
        self.steps = 1 + count_steps(block.nodes)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Charge one round, and render it."""
        assert isinstance(context, Context)
        context.budget.charge(self.steps)
        return super().render_to_output(context, buffer)


class ChargedForNode(ForNode):
    """A loop whose rounds are charged."""

    def __init__(
        self, token: Token, expression: LoopExpression, block: BlockNode, default: BlockNode | None = None
    ) -> None:
        super().__init__(token, expression, Round(block), default)


class ChargedForTag(ForTag):
    """Liquid's `for`."""

    node_class = ChargedForNode


def count_steps(nodes: Iterable[Node]) -> int:
    """Return the cost of rendering nodes once, from the length of their text."""
    return 1 + sum(len(str(node)) // (64 if isinstance(node, ContentNode) else 4) for node in nodes)


class ChargedTemplate(BoundTemplate):
    """A template that renders in our Context."""

    context_class = Context

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.steps = count_steps(self.nodes)

    def told(self, document: Mapping[str, Any], budget: Budget) -> str:
        """Return the text with the fields of `document`. Raises Spent, LiquidError, and any error of a filter."""
        budget.charge(self.steps)
        context = Context(self, globals=self.make_globals({VARIABLE: document}))
        context.budget, context.seen = budget, {}
        buffer = self._get_buffer()
        self.render_with_context(context, buffer)
        return buffer.getvalue()


class LimitedLiquid(Environment):
    """Liquid without files, and with limits."""

    template_class = ChargedTemplate
    block_nesting_limit = 10
    context_depth_limit = 20
    loop_iteration_limit = 1_000
    local_namespace_limit = 200_000
    output_stream_limit = MAX_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep only the harmless tags and filters, and add `json`."""
        super().setup_tags_and_filters(extra=extra)
        self.add_tag(TextOutput)
        self.add_tag(ChargedForTag)
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS}
        self.filters = {name: one for name, one in self.filters.items() if name not in NO_FILTERS}
        self.add_filter("json", as_text)


ENVIRONMENT = LimitedLiquid()
