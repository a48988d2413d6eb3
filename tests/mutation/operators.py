"""Small faults planted in a source file, one at a time, each as a replacement of a piece of its text.

Kinds: a comparison with another boundary or negated, another operator, another number, a condition negated, another
function of the same shape (`min` and `max`), a result of None, a statement left out. Texts, types and declarations of
columns are left alone.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")), ast.LtE: ("<=", ("<", ">")), ast.Gt: (">", (">=", "<=")), ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)), ast.NotEq: ("!=", ("==",)), ast.Is: ("is", ("is not",)), ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)), ast.NotIn: ("not in", ("in",)),
}  # fmt: skip
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"), ast.Pow: ("**", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}  # fmt: skip
_PAIRS = (
    ("min", "max"), ("any", "all"), ("argmin", "argmax"), ("minimum", "maximum"), ("floor", "ceil"), ("sum", "mean"),
    ("amin", "amax"), ("nanmin", "nanmax"), ("union", "intersection"), ("startswith", "endswith"), ("log", "log2"),
)  # fmt: skip
FUNCTIONS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
DROPPED = ("abs", "sqrt", "sorted", "square", "exp")  # functions of one argument, which is left in their place
DECLARATIONS = ("columns", "metrics", "cost", "measures", "needs", "Column", "Metric")


@dataclass(frozen=True, order=True)
class Mutant:
    """A fault: the text between two offsets of a file is replaced.

    Attributes:
        file: path within the repository.
        line: where it begins, from 1.
        start: offset of the first character.
        end: offset behind the last one.
        old: the text.
        new: what takes its place.
    """

    file: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def apply(self, source: str) -> str:
        """Return the source with the fault."""
        assert source[self.start : self.end] == self.old
        return source[: self.start] + self.new + source[self.end :]

    @property
    def change(self) -> str:
        """What becomes what."""
        return f"{shown(self.old)} → {shown(self.new)}"

    def __str__(self) -> str:
        """Return file, line and change in one line."""
        return f"{self.file}:{self.line}: {self.change}"


def shown(text: str) -> str:
    """Return a piece of code in one line of 60 characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:40]} … {line[-17:]}"


class Faults(ast.NodeVisitor):
    """Collects the faults that a file can have.

    Args:
        file: path within the repository.
        source: its text.
    """

    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self.found: list[Mutant] = []

    def collect(self) -> list[Mutant]:
        """Return all faults in the order of the text; few of them may be no Python."""
        self.visit(ast.parse(self._source))
        return sorted(set(self.found))

    def _offset(self, line: int, column: int) -> int:
        """Return the offset of a place that ast counts in bytes of UTF-8 within its line."""
        text = self._source[self._lines[line - 1] : self._lines[line]]
        return self._lines[line - 1] + len(text.encode()[:column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        begin, end = self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return begin, end

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end]

    def _add(self, start: int, end: int, new: str) -> None:
        line = self._source.count("\n", 0, start) + 1
        self.found.append(Mutant(self._file, line, start, end, self._source[start:end], new))

    def _replace(self, node: ast.AST, new: str) -> None:
        self._add(*self._span(node), new)

    def _between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """Replace an operator that stands between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        words = r"\s+".join(map(re.escape, old.split()))
        pattern = rf"(?<![\w<>=!*/]){words}(?![\w<>=*/])"
        if match := re.search(pattern, self._source[start:end]):
            self._add(start + match.start(), start + match.end(), new)

    # what is passed over: types, texts, declarations, what is there for type checkers

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and self._text(node.target) not in DECLARATIONS:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(self._text(target) in DECLARATIONS for target in node.targets):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass")  # and nothing in its message

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call):
            self._replace(node, "pass")
        self.generic_visit(node)

    # faults

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = (node.left, *node.comparators)
        for left, operator, right in zip(operands, node.ops, node.comparators, strict=False):
            old, others = COMPARISONS[type(operator)]
            for new in others:
                self._between(left, right, old, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(_is_text(side) for side in (node.left, node.right))
        if type(node.op) in OPERATORS and not texts:
            self._between(node.left, node.right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in OPERATORS and not _is_text(node.value):
            old, new = OPERATORS[type(node.op)]
            start, end = self._span(node.target)[1], self._span(node.value)[0]
            at = self._source.index(f"{old}=", start, end)
            self._add(at, at + len(old), new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._replace(node, self._text(node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, repr(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in DECLARATIONS:
            return
        if name in FUNCTIONS:
            end = self._span(function)[1]
            self._add(end - len(name), end, FUNCTIONS[name])
        if name in DROPPED and len(node.args) == 1:
            self._replace(node, f"({self._text(node.args[0])})")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if self._text(node.test) == "TYPE_CHECKING":
            return
        self._replace(node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._replace(node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and self._text(node.value) != "None":
            self._replace(node.value, "None")
            self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def is_python(source: str) -> bool:
    """Return whether a source compiles."""
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True
