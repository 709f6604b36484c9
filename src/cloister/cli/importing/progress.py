"""What a person sees while an import runs: a bar with a rate on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

LINE_SECONDS: Final = 5.0


class ImportProgress:
    """`seen` counts resources that are in; the bar follows the bytes of the input."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True)
        self._title = title
        self._began = time.monotonic()
        self._printed = self._began
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._part = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[told]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(self._title, total=1.0, told="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, part: float) -> None:
        """`done` resources are in, `part` of the input is through (0 to 1)."""
        self._part = max(self._part, min(1.0, part))
        now = time.monotonic()
        rate = done / max(0.001, now - self._began)
        told = f"{done:,} resources, {rate:,.0f}/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._part, told=told)
        elif now - self._printed >= LINE_SECONDS:
            self._printed = now
            self._console.print(f"{self._title}: {self._part:.0%}, {told}", highlight=False)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)
