"""What the pages promise exists: each command with its options, each variable and each target of make."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from producer.api.settings import ApiSettings
from producer.cli.main import cli
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
VARIABLE = re.compile(r"\bCLIPQUEUE_[A-Z0-9_]*[A-Z0-9]\b")
# The end of a command in a shell.
END = re.compile(r"[|;&<>].*|\d?>.*")
# A word that stands for something else, such as COMMAND, FIELD or `...`.
PLACEHOLDER = re.compile(r"[A-Z_]+|.*(?:\.\.\.|…).*")

# Words before the name of the package or of a folder.
NOT_BEFORE = ("from", "import", "cd", "name:")


def snippets(page: Path) -> Iterator[str]:
    """Yield each line of the code blocks, and each piece of code in the text."""
    text = page.read_text()
    for _, block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    for code in INLINE.findall(FENCE.sub("", text)):
        yield " ".join(code.split())


def words_of(snippet: str) -> list[str]:
    try:
        return shlex.split(snippet, comments=True)
    except ValueError:  # prose with an apostrophe, or another language
        return []


def commands(page: Path) -> list[tuple[str, ...]]:
    """Return the arguments of each `clipqueue` on the page."""
    found = []
    for snippet in snippets(page):
        words = words_of(snippet)
        for at, word in enumerate(words):
            if word == "clipqueue" and words[max(at - 1, 0)] not in NOT_BEFORE:
                end = next((n for n, one in enumerate(words) if n > at and END.fullmatch(one)), len(words))
                found.append(tuple(words[at + 1 : end]))
    return found


def complaint(arguments: tuple[str, ...]) -> str:
    """Return what is wrong with the arguments of `clipqueue`; nothing is run, and nothing is opened."""
    command: click.Command = cli
    remaining = list(arguments)
    while isinstance(command, click.Group) and remaining and not PLACEHOLDER.fullmatch(remaining[0]):
        if remaining[0] in ("-h", "--help", "--version"):
            return ""
        if (found := command.commands.get(remaining.pop(0))) is None:
            return "no such command"
        command = found
    if isinstance(command, click.Group) or {"-h", "--help"} & set(remaining):
        return ""
    context = click.Context(command, help_option_names=["-h", "--help"])
    try:
        values, rest, _ = command.make_parser(context).parse_args(remaining)
        for param in command.params:
            check_value(param, values.get(str(param.name)))
    except click.UsageError as exc:
        return exc.format_message()
    return f"superfluous: {rest}" if rest else ""


def check_value(param: click.Parameter, value: object) -> None:
    """Check a value that is one of several words or a number. Raises BadParameter."""
    has_rule = isinstance(param.type, click.Choice | click.types.IntParamType | click.types.FloatParamType)
    if has_rule and isinstance(value, str) and not PLACEHOLDER.fullmatch(value):
        param.type.convert(value, param, None)


def option_names(command: click.Command) -> set[str]:
    """Return the options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    return own.union({"--help", "--version"}, *map(option_names, below))


# Options of other programs.
OTHERS = {"--env-file", "--build", "--profile", "--pool", "--appendonly"}
OTHERS |= {"--target", "--secret", "--build-arg"}  # docker build
OTHERS |= {"--jsonArray", "--pretty"}  # mongoexport


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    wrong = {f"clipqueue {shlex.join(one)}": why for one in commands(page) if (why := complaint(one))}
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_the_text_names_exists(page: Path) -> None:
    named = {words[0].partition("=")[0] for words in map(words_of, snippets(page)) if words and words[0][:2] == "--"}
    assert named <= option_names(cli) | OTHERS


def test_the_pages_are_really_read() -> None:
    found = [one for page in PAGES for one in commands(page)]
    assert {one[0] for one in found if one} >= {"enqueue", "doctor", "status", "backfill", "sweep", "parked", "search"}
    assert sum(len(one) > 1 for one in found) > 20


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("enqueue --nonsense", "No such option"),
        ("nonsense", "no such command"),
        ("backfill --url-field x --only nonsense", "is not one of"),
        ("parked nonsense", "no such command"),
        ("doctor nonsense", "superfluous"),
        ("sweep --every nonsense", "is not a valid"),
    ],
)
def test_a_wrong_command_line_would_be_found(arguments: str, reason: str) -> None:
    assert reason in complaint(tuple(arguments.split()))


def test_every_variable_of_the_pages_is_read_somewhere() -> None:
    sources = [
        path for folder in ("producer", "worker") for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"
    ]
    sources += [
        ROOT / name for name in ("Makefile", "Dockerfile", "Procfile", *map(str, ROOT.glob("docker-compose*.yml")))
    ]
    known = {name for path in sources for name in VARIABLE.findall(path.read_text(errors="replace"))}
    known |= {f"CLIPQUEUE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"CLIPQUEUE_{name.upper()}" for name in ApiSettings.model_fields}
    named = {(page.name, name) for page in PAGES for name in VARIABLE.findall(page.read_text())}
    assert {one for one in named if one[1] not in known} == set()


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for page in PAGES
        for snippet in snippets(page)
        for word in re.findall(r"(?:^|[;&] ?|or: )make ([a-z-]+)", snippet)
    }
    assert named
    assert named <= targets
