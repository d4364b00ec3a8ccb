"""The screens and their keys. Each draws its lines anew when something was read, and the widget sends what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.screen import Screen

from producer.top.overview import Overview
from producer.top.page import Lines
from producer.top.pages import draw_failures, draw_help, draw_question, draw_worker, help_lines, samples_of
from producer.top.retry import Asked
from producer.top.tables import Cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from producer.top.app import Top
    from producer.top.lines import Line
    from producer.top.state import Code, State
    from producer.top.workers import Row

_PAGE = 10
_FAR = 1_000_000
_MOVES = [
    Binding("up,k", "move(-1)", priority=True),
    Binding("down,j", "move(1)", priority=True),
    Binding("pageup", f"move(-{_PAGE})", priority=True),
    Binding("pagedown", f"move({_PAGE})", priority=True),
    Binding("home", f"move(-{_FAR})", priority=True),
    Binding("end", f"move({_FAR})", priority=True),
]
_HELP = Binding("question_mark,h", "help", priority=True)
_BACK = Binding("escape,left,backspace", "back", priority=True)


class LinesScreen(Screen[Any]):
    """A screen of lines."""

    BINDINGS: ClassVar[list[Any]] = []

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self.lines = Lines(state.letters, has_colours=state.has_colours)

    @property
    def top(self) -> Top:
        """The program."""
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        """Return the one widget."""
        yield self.lines

    def on_resize(self) -> None:
        """Draw for the new size, once the widget has it."""
        self.call_after_refresh(self.draw)

    def on_screen_resume(self) -> None:
        """Draw what has changed while another screen was on top."""
        self.draw()

    def draw(self) -> None:
        """Draw the lines."""
        width, height = self.lines.size
        if width and height:
            self.lines.show(self.drawn(width, height))

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        raise NotImplementedError

    def action_back(self) -> None:
        """Go back to the screen before."""
        self.dismiss()

    def action_help(self) -> None:
        """Show the help."""
        self.app.push_screen(HelpScreen(self.state))


class OverviewScreen(LinesScreen):
    """The first screen."""

    BINDINGS: ClassVar[list[Any]] = [
        *_MOVES,
        _HELP,
        Binding("s", "sort", priority=True),
        Binding("p,space", "pause", priority=True),
        Binding("tab,shift+tab", "other_table", priority=True),
        Binding("enter,right", "look", priority=True),
    ]

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.overview = Overview()

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        return self.overview.draw(self.state, width, height)

    def action_move(self, by: int) -> None:
        """Choose another line."""
        self.overview.move(by, self.state)
        self.draw()

    def action_sort(self) -> None:
        """Sort the workers in the next way."""
        self.state.sort_next()
        self.draw()

    def action_pause(self) -> None:
        """Read nothing, or go on."""
        self.top.toggle_pause()

    def action_other_table(self) -> None:
        """Move in the other table."""
        self.overview.on_errors = not self.overview.on_errors
        self.draw()

    def action_look(self) -> None:
        """Look into the chosen line."""
        code, row = self.overview.chosen_code(self.state), self.overview.chosen_worker(self.state)
        if self.overview.on_errors and code:
            self.app.push_screen(FailuresScreen(self.state, code))
        elif not self.overview.on_errors and row:
            self.app.push_screen(WorkerScreen(self.state, row))


class FailuresScreen(LinesScreen):
    """The newest failures of a code."""

    BINDINGS: ClassVar[list[Any]] = [
        *_MOVES,
        _HELP,
        _BACK,
        Binding("r", "retry_one", priority=True),
        Binding("R,shift+r", "retry_all", priority=True),
    ]

    def __init__(self, state: State, code: Code) -> None:
        super().__init__(state)
        self._code = code
        self._cursor = Cursor()

    def on_mount(self) -> None:
        """Read the failures."""
        self.top.look_into(self._code)

    def on_unmount(self) -> None:
        """Read them no more."""
        self.top.look_into(None)

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        self._code = next((code for code in self.state.codes if code.raw_code == self._code.raw_code), self._code)
        return draw_failures(self.state, self._code, self._cursor, width, height)

    def action_move(self, by: int) -> None:
        """Choose another image."""
        self._cursor.move(by, [sample.document_id for sample in samples_of(self.state, self._code)])
        self.draw()

    def action_retry_one(self) -> None:
        """Retry the chosen image, after a question."""
        samples = samples_of(self.state, self._code)
        if samples:
            chosen = samples[self._cursor.index]
            subject = f"the image {chosen.image_id}"
            self._ask(f"Retry {subject}?", Asked(subject, document_ids=(chosen.document_id,)))

    def action_retry_all(self) -> None:
        """Retry all images with the code, after a question."""
        code = self._code
        if code.images:
            subject = f"all images with {code.code}"
            self._ask(f"Retry {subject}? Now {code.images:,} have failed with it.", Asked(subject, code=code.raw_code))

    def _ask(self, question: str, asked: Asked) -> None:
        def answered(is_yes: bool | None) -> None:  # noqa: FBT001  (Textual gives it so)
            if is_yes:
                self.top.begin_retry(asked)

        self.app.push_screen(QuestionScreen(self.state, question), answered)


class WorkerScreen(LinesScreen):
    """All that one worker says."""

    BINDINGS: ClassVar[list[Any]] = [_HELP, _BACK]

    def __init__(self, state: State, row: Row) -> None:
        super().__init__(state)
        self._row = row

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        found = next((row for row in self.state.rows if row.key == self._row.key), None)
        self._row = found or self._row
        return draw_worker(self._row, width, height, is_alive=found is not None)


class HelpScreen(LinesScreen):
    """What the keys do, and what the figures mean."""

    BINDINGS: ClassVar[list[Any]] = [*_MOVES, _BACK]

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._first = 0

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        self._first = max(min(self._first, help_lines(width) - height + 2), 0)
        return draw_help(width, height, self._first)

    def action_move(self, by: int) -> None:
        """Show other lines."""
        self._first += by
        self.draw()


class QuestionScreen(LinesScreen):
    """A question, answered with yes or no."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("y", "answer(True)", priority=True),
        Binding("n,escape", "answer(False)", priority=True),
    ]

    def __init__(self, state: State, question: str) -> None:
        super().__init__(state)
        self._question = state.letters.inert(question)

    def drawn(self, width: int, height: int) -> Sequence[Line]:
        """Return the lines."""
        return draw_question(self._question, width, height)

    def action_answer(self, is_yes: bool) -> None:  # noqa: FBT001  (Textual calls it so)
        """Go back with the answer."""
        self.dismiss(is_yes)
