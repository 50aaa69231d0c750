"""Every error text that the program can print, read off its source.

An error that a user can mend is a `DenetError` that is made with its whole message at one place, so
the messages are the first arguments of the calls that make one. What stands in for a value is
written as the name of the value in capitals: PATH, STATE, KEY.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("cli.py", "denet", "runtime", "export", "calibration")
BASE = "DenetError"
PASSED_ON = {"error", "ValueError"}
"""What makes messages, too: a reader of files takes the kind of its errors as an argument, called
`error`; and what a struct of settings says of a value is told with the name of the file."""

UNKNOWN = "..."
"""Stands for what is known only when the program runs, and has no name."""

MOST = 8
"""Forms of a message, where it is put together of alternatives."""


@dataclass(frozen=True)
class Message:
    """A text that may be printed.

    Attributes:
        text: with names in capitals in the place of values.
        module: the file in which it stands, from the root of the repository.
        line: of it.
    """

    text: str
    module: str
    line: int


def messages(root: Path) -> list[Message]:
    """The messages of all packages under `root`, in the order of their modules."""
    trees = {path: ast.parse(path.read_text()) for path in sources(root)}
    errors = error_classes(trees.values())
    found: dict[tuple[str, str], Message] = {}
    for path, tree in trees.items():
        module = path.relative_to(root).as_posix()
        constants = assigned(tree.body)
        for scope, call in made_errors(tree, errors):
            local = constants | (assigned(ast.walk(scope)) if scope is not None else {})
            for text in templates(call.args[0], local):
                if is_told(text):
                    found.setdefault((module, text), Message(text, module, call.lineno))
    return list(found.values())


def sources(root: Path) -> list[Path]:
    """The Python files of the packages."""
    found: list[Path] = []
    for name in PACKAGES:
        path = root / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def error_classes(trees: Sequence[ast.Module] | Iterator[ast.Module]) -> set[str]:
    """The names of `DenetError`, of all that are kinds of it, and of other errors that are defined
    here, whose text one of these may pass on."""
    bases: dict[str, list[str]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [b.id for b in node.bases if isinstance(b, ast.Name)]
    known = {BASE, *(name for name in bases if name.endswith("Error"))}
    while more := {name for name, of in bases.items() if name not in known and known & {*of}}:
        known |= more
    return known


def made_errors(
    tree: ast.Module, errors: set[str]
) -> Iterator[tuple[ast.FunctionDef | None, ast.Call]]:
    """The calls that make an error with a message, each with the function around it."""
    scopes: dict[ast.AST, ast.FunctionDef | None] = {tree: None}
    for node in ast.walk(tree):
        inner = node if isinstance(node, ast.FunctionDef) else scopes[node]
        for child in ast.iter_child_nodes(node):
            scopes[child] = inner
        if (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.func, ast.Name)
            and node.func.id in errors | PASSED_ON
        ):
            yield scopes[node], node


def assigned(nodes: Sequence[ast.stmt] | Iterator[ast.AST]) -> dict[str, list[ast.expr]]:
    """The values that names are given, by the name."""
    found: defaultdict[str, list[ast.expr]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(node.value)
        elif (
            isinstance(node, ast.AnnAssign | ast.NamedExpr)
            and isinstance(node.target, ast.Name)
            and node.value is not None
        ):
            found[node.target.id].append(node.value)
    return dict(found)


def templates(
    node: ast.expr, names: Mapping[str, list[ast.expr]], within: tuple[str, ...] = ()
) -> list[str]:
    """What an expression of a text can become, at most `MOST` forms of it.

    Args:
        node: the expression.
        names: what the names in it may stand for.
        within: names that are being looked up.
    """
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return _joined([templates(part, names, within) for part in node.values])
    if isinstance(node, ast.FormattedValue):
        return _of_value(node.value, names, within)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([templates(side, names, within) for side in (node.left, node.right)])
    if isinstance(node, ast.IfExp):
        both = [*templates(node.body, names, within), *templates(node.orelse, names, within)]
        return list(dict.fromkeys(both))[:MOST]
    if isinstance(node, ast.Name) and node.id in names and node.id not in within:
        values = names[node.id]
        found = [text for v in values for text in templates(v, names, (*within, node.id))]
        return list(dict.fromkeys(found))[:MOST]
    return [UNKNOWN]


def _of_value(
    node: ast.expr, names: Mapping[str, list[ast.expr]], within: tuple[str, ...]
) -> list[str]:
    """What is shown of a value within a text: texts that are known, else its name."""
    if isinstance(node, ast.IfExp | ast.Constant | ast.JoinedStr):
        return templates(node, names, within)
    if isinstance(node, ast.Name) and node.id in names:
        found = templates(node, names, within)
        if all(any(c.isalpha() for c in text.replace(UNKNOWN, "")) for text in found):
            return found
    return [placeholder(node)]


def placeholder(node: ast.expr) -> str:
    """The name of a value in capitals, as `PATH` of `{self.path.name!r}`."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").upper()
    if isinstance(node, ast.Attribute):
        inner = node.attr.strip("_")
        return placeholder(node.value) if inner in {"name", "root"} else inner.upper()
    if isinstance(node, ast.Subscript):
        return placeholder(node.value)
    if isinstance(node, ast.Call):
        known = {"join", "str", "repr", "len", "sorted", "sum", "max", "min", "round", "type"}
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in known and node.args:
            return placeholder(node.args[0])
        return name.strip("_").upper() or UNKNOWN
    if isinstance(node, ast.BinOp | ast.GeneratorExp | ast.ListComp):
        inner_node = node.left if isinstance(node, ast.BinOp) else node.elt
        return placeholder(inner_node)
    return UNKNOWN


def is_told(text: str) -> bool:
    """Whether a message has words of its own; the others pass on those of another error."""
    return any(letter.islower() for letter in text)


def _joined(parts: Sequence[list[str]]) -> list[str]:
    whole = [""]
    for part in parts:
        whole = [f"{before}{text}" for before in whole for text in part][:MOST]
    return whole
