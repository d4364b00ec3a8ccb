"""Checks that the installed libraries still have the parts on the list `worker.selftest.parts`."""

from __future__ import annotations

import importlib
import inspect
import platform
from contextlib import suppress
from importlib.metadata import version
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from worker.errors import UnusableLibrary
from worker.selftest.parts import PARTS, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.selftest.parts import Parts


def check_libraries(*packages: str) -> None:
    """Check the listed parts of these packages.

    Raises:
        UnusableLibrary: A part is missing, or the library does not use it any more. The message is one sentence with
            the package, its version, the part and the versions that work.
    """
    for parts in PARTS:
        if parts.package in packages:
            check_parts(parts)


def check_parts(parts: Parts) -> None:
    """Check one entry of the list. Raises UnusableLibrary."""
    try:
        owner = _find(parts.owner)
    except (ImportError, AttributeError) as exc:
        # The library may be whole, and what it imports may be missing.
        raise _unusable(parts, f"has no {parts.owner} ({exc})") from None
    mentioned = {name for code in _codes_of(_classes(owner)) for name in code.co_names}
    for name in (*parts.used.split(), *parts.overridden.split()):
        # An attribute of instances only is one that a method mentions.
        if not hasattr(owner, name) and name not in mentioned:
            raise _unusable(parts, f"has no {name} in {parts.owner}")
    callers = [importlib.import_module(name) for name in parts.callers] or _modules_of(owner)
    for name in parts.overridden.split():
        if not _is_used(name, owner, callers):
            raise _unusable(parts, f"does not use {name} of {parts.owner} any more")


def requirement(package: str) -> str:
    """Return what to install, such as `kombu~=5.7.0`."""
    return package + VERSIONS[package]


def installed(package: str) -> str:
    """Return the version of a package, or of Python."""
    return platform.python_version() if package == "python" else version(package)


def _unusable(parts: Parts, problem: str) -> UnusableLibrary:
    return UnusableLibrary(
        f"the worker does not start: {parts.package} {installed(parts.package)} {problem}, which the worker needs; "
        f"install {requirement(parts.package)}"
    )


def _find(path: str) -> Any:
    module, _, name = path.partition(":")
    owner = importlib.import_module(module)
    return getattr(owner, name) if name else owner


def _classes(owner: Any) -> list[Any]:
    return list(inspect.getmro(owner)) if isinstance(owner, type) else [owner]


def _modules_of(owner: Any) -> list[ModuleType]:
    if isinstance(owner, ModuleType):
        return [owner]
    names = dict.fromkeys(one.__module__ for one in _classes(owner) if one is not object)
    return [importlib.import_module(name) for name in names]


def _is_used(name: str, owner: Any, modules: Sequence[ModuleType]) -> bool:
    """Return whether a function of these modules mentions the name, other than those of `owner` that have the name."""
    names = {module.__name__ for module in modules}
    classes = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    users = [*modules, *(one for one in classes if one.__module__ in names)]
    replaced = {code for one in _classes(owner) for code in _codes_in(vars(one).get(name))}
    return any(name in (*code.co_names, *code.co_consts) for code in _codes_of(users) if code not in replaced)


def _codes_of(owners: Iterable[Any]) -> Iterator[CodeType]:
    """Yield the code of functions, and of all functions of modules and classes."""
    for owner in owners:
        for value in [owner] if isinstance(owner, FunctionType) else vars(owner).values():
            yield from _codes_in(value)


def _codes_in(value: Any) -> Iterator[CodeType]:
    """Yield the code of a function, a method or a property, and of the functions inside it."""
    for one in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "func"))):
        # Celery wraps functions of C, which have no code.
        if isinstance(one, FunctionType) and isinstance(bare := inspect.unwrap(one), FunctionType):
            for function in _wrapped(bare):
                yield from _nested(function.__code__)


def _wrapped(function: FunctionType) -> Iterator[FunctionType]:
    """Yield a function, and those of the same name in its closure, which it calls if it was put around them.

    sentry-sdk and other libraries that trace replace functions of http.client so.
    """
    seen: list[Any] = []
    while function not in seen:
        seen.append(function)
        yield function
        inner = (one for one in _closure(function) if isinstance(one, FunctionType))
        function = next((one for one in inner if one.__name__ == function.__name__), function)


def _closure(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
