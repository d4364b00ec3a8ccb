"""Finds where worker/ and producer/ use parts of libraries that are private, undocumented or overridden.

Reads the sources with `ast`, and the libraries' classes as they are installed. It finds four kinds of use: a name with
a leading underscore of an object that is not ours; a method or attribute that a class of ours overrides or inherits
from a library; an assignment to an attribute or an entry of a library's object; an import of a private name.
"""

from __future__ import annotations

import ast
import dis
import importlib
import inspect
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# Their declared interface is to be subclassed.
_MADE_TO_BE_SUBCLASSED = {"pydantic", "pydantic_settings", "typing_extensions"}
_OWN = {"worker", "producer", "tests"}


@dataclass(frozen=True, order=True)
class Use:
    """A use of a part of a library: where, and the name of the part."""

    path: str
    line: int
    name: str


def find_uses(path: Path) -> set[Use]:
    """Return the uses in one file of the project."""
    where = str(path.relative_to(ROOT))
    return {Use(where, line, name) for line, name in _names_in(ast.parse(path.read_text()), path)}


def find_names(tree: ast.Module, path: Path) -> set[str]:
    """Return the names of the uses in a syntax tree; `path` is the module that its classes are looked up in."""
    return {name for _, name in _names_in(tree, path)}


def sources() -> list[Path]:
    """Return all files of the worker and the producer."""
    return [path for folder in ("worker", "producer") for path in sorted((ROOT / folder).rglob("*.py"))]


def identifiers(path: Path) -> set[str]:
    """Return every name in a file: variables, attributes, definitions, imports and keyword arguments."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        for field in ("id", "attr", "name", "arg", "value", "module"):
            if isinstance(name := getattr(node, field, None), str):
                found.update(name.split("."))
    return found


def _names_in(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    own, imported = _own_names(tree), _library_imports(tree)
    yield from _private_imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            if not _is_self(node.value):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            yield from _named_attribute(node)
        elif isinstance(node, ast.ClassDef):
            yield from _uses_of_class(node, path)
        for target in _targets(node):
            if (name := _assigned_part(target, imported)) and name not in _ours():
                yield target.lineno, name


def _named_attribute(call: ast.Call) -> Iterator[tuple[int, str]]:
    """Yield the attribute in `setattr(x, "name", value)`, and the private one in `getattr(x, "_name")`."""
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    if function not in ("getattr", "setattr", "delattr", "hasattr"):
        return
    name = call.args[1]
    if isinstance(name, ast.Constant) and (_is_private(str(name.value)) or function in ("setattr", "delattr")):
        yield call.lineno, str(name.value)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_self(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    return isinstance(called, ast.Name) and called.id in ("self", "cls", "super")


def _own_names(tree: ast.Module) -> set[str]:
    """Return the names that a file defines itself."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        for target in _targets(node):
            if isinstance(target, ast.Name):
                found.add(target.id)
            if isinstance(target, ast.Attribute) and _is_self(target.value):
                found.add(target.attr)
    return found


@lru_cache
def _ours() -> frozenset[str]:
    """Return the attributes of our own classes."""
    return frozenset(name for path in sources() for name in _own_names(ast.parse(path.read_text())))


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return [
            part for target in node.targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def _is_library(module: str | None) -> bool:
    root = (module or "").partition(".")[0]
    return bool(root) and root not in sys.stdlib_module_names and root not in _OWN | _MADE_TO_BE_SUBCLASSED


def _library_imports(tree: ast.Module) -> set[str]:
    """Return the names in a file that are imported from libraries."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and _is_library(node.module):
            found |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names if _is_library(alias.name)}
    return found


def _private_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and _is_library(node.module):
            for name in (*str(node.module).split("."), *(alias.name for alias in node.names)):
                if _is_private(name):
                    yield node.lineno, name


def _assigned_part(target: ast.expr, imported: set[str]) -> str | None:
    """Return the attribute or the table of another object that an assignment changes."""
    if isinstance(target, ast.Attribute):
        is_configuration = (
            isinstance(target.value, ast.Attribute) and target.value.attr == "conf"
        )  # Celery's, documented
        return None if _is_self(target.value) or is_configuration else target.attr
    if isinstance(target, ast.Subscript):
        root = target.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in imported:
            return target.value.attr if isinstance(target.value, ast.Attribute) else root.id
    return None


def _uses_of_class(node: ast.ClassDef, path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a class overrides or inherits from the classes of libraries."""
    names = set(_names_of_class(node))
    if any(isinstance(base, ast.Call) for base in node.bases):  # a class that is only known at run time
        yield from ((line, name) for line, name, is_defined in names if is_defined)
        return
    inherited = _inherited_names(path, node.name) if node.bases else set()
    yield from ((line, name) for line, name, _ in names if name in inherited)


def _names_of_class(node: ast.ClassDef) -> Iterator[tuple[int, str, bool]]:
    """Yield line, name, and whether the class defines it, of all attributes of `self` and of the class."""
    nested = [inner for child in node.body for inner in ast.walk(child) if isinstance(inner, ast.ClassDef)]
    hidden = {id(part) for inner in nested for part in ast.walk(inner)}
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("__"):
            yield child.lineno, child.name, True
        for target in _targets(child):
            if isinstance(target, ast.Name) and not target.id.startswith("__"):
                yield child.lineno, target.id, True
    for part in ast.walk(node):
        if not isinstance(part, ast.Attribute) or id(part) in hidden or part.attr.startswith("__"):
            continue
        if _is_self(part.value):
            yield part.lineno, part.attr, False


@lru_cache
def _inherited_names(path: Path, name: str) -> set[str]:
    """Return the attributes of the library classes that a class inherits from, those of their instances included."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: set[str] = set()
    for base in getattr(module, name).__mro__:
        if _is_library(base.__module__):
            found |= set(vars(base)) | set(getattr(base, "__annotations__", ())) | _instance_attributes(base)
    return found


def _instance_attributes(base: type) -> set[str]:
    """Return the attributes that the methods of a class set."""
    accessors = [
        getattr(value, name) for value in vars(base).values() for name in ("fget", "fset") if hasattr(value, name)
    ]
    functions = [one for one in (*vars(base).values(), *accessors) if isinstance(one, FunctionType)]
    return {
        instruction.argval
        for function in map(inspect.unwrap, functions)
        for instruction in dis.get_instructions(function)
        if instruction.opname == "STORE_ATTR"
    }
