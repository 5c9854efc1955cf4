"""Finds truth tests of other libraries' objects: `if self._bar:` where `is not None` was meant.

The truth value of a tqdm bar without a total raises; other objects are false while they are empty or closed. mypy's
`truthy-bool` accepts `X | None`, so this module reads the annotations of attributes, arguments and names. A Protocol
may be implemented by any class.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Streams have no length, so their truth value is meaningless.
NEVER = frozenset(("Iterator", "Iterable", "Generator"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Return the line and the text of each truth test of another library's object."""
    tree = ast.parse(source)
    strange = _strange(tree)
    for scope in ast.walk(tree):
        if isinstance(scope, ast.ClassDef):
            known = {name: kind for one in ast.walk(scope) for name, kind in _declared(one, attributes=True)}
            yield from _asked(scope, {f"self.{name}": kind for name, kind in known.items()}, strange)
        elif isinstance(scope, Function):
            arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
            known = {one.arg: one.annotation for one in arguments if one.annotation is not None}
            known |= dict(named for one in ast.walk(scope) for named in _declared(one, attributes=False))
            yield from _asked(scope, known, strange)


def _declared(node: ast.AST, *, attributes: bool) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(node, ast.AnnAssign):
        return
    match node.target:
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if attributes:
            yield name, node.annotation
        case ast.Name(id=name):
            yield name, node.annotation


def _asked(scope: ast.AST, known: dict[str, ast.expr], strange: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(scope):
        for tested in _tested(node):
            text = ast.unparse(tested)
            if text in known and _names(known[text]) & strange:
                yield tested.lineno, f"{text}: {ast.unparse(known[text])}"


def _tested(node: ast.AST) -> Iterator[ast.expr]:
    """Return the expressions whose truth value this node takes."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
            yield test
        case ast.BoolOp(values=values):
            # The last operand is only passed on; its own truth test is found elsewhere.
            yield from values[:-1]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.comprehension(ifs=tests):
            yield from tests
        case ast.Call(func=ast.Name(id="bool"), args=[argument]):
            yield argument
        case _:
            return


def _names(annotation: ast.expr) -> set[str]:
    """Return the types of a union, without their parameters."""
    match annotation:
        case ast.Constant(value=str() as text):
            return _names(ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _names(left) | _names(right)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return _names(kind)
        case ast.Subscript(value=value):
            return _names(value)
        case ast.Name(id=name):
            return {name}
        case ast.Attribute():
            return {ast.unparse(annotation), ast.unparse(annotation).partition(".")[0]}
        case _:
            return set()


def _strange(tree: ast.Module) -> set[str]:
    """Return the names in a module that are other libraries' classes, Protocols, streams, or aliases of these."""
    strange = set(NEVER) | _protocols(tree)
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str() as module, names=names, level=0):
                taken = _protocols_of(module) if module.startswith("imgctl") else None
                known = taken is not None or module.partition(".")[0] in sys.stdlib_module_names
                strange |= {one.asname or one.name for one in names if not known or one.name in (taken or ())}
            case ast.Import(names=names):
                tops = {one.asname or one.name.partition(".")[0]: one.name.partition(".")[0] for one in names}
                strange |= {name for name, top in tops.items() if top not in {*sys.stdlib_module_names, "imgctl"}}
            case _:
                pass
    aliases = [one for one in tree.body if isinstance(one, ast.Assign) and not isinstance(one.value, ast.Constant)]
    return strange | {ast.unparse(one.targets[0]) for one in aliases if _names(one.value) & strange}


@cache
def _protocols_of(module: str) -> frozenset[str]:
    place = Path(*module.split("."))
    file = next(one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists())
    return frozenset(_protocols(ast.parse(file.read_text())))


def _protocols(tree: ast.Module) -> set[str]:
    classes = [one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)]
    return {one.name for one in classes if any(_names(base) & {"Protocol"} for base in one.bases)}


def in_imgctl() -> Iterator[str]:
    """Return every violation in imgctl as `file:line: text`."""
    for file in sorted(Path("imgctl").rglob("*.py")):
        yield from (f"{file}:{line}: {what}" for line, what in sorted(set(violations(file.read_text()))))


if __name__ == "__main__":
    print(*in_imgctl(), sep="\n")
