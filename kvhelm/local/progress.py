"""How long work tells a person what goes on: a spinner on a terminal, lines in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.markup import escape

# Seconds between signs of life in a log; CI systems take a silent step for a dead one.
HEARTBEAT = 15.0


class Progress(Protocol):
    """Somebody who wants to know."""

    def say(self, line: str) -> None:
        """Tell something that stays true."""

    def during(self, activity: str, hint: str = "") -> AbstractContextManager[None]:
        """Show `activity` while the block runs, and the seconds it took once it is done.

        `hint` tells in advance how long that may be.
        """


class Silent:
    """Nobody wants to know."""

    def say(self, line: str) -> None:
        """Tell nobody."""

    def during(self, activity: str, hint: str = "") -> AbstractContextManager[None]:
        """Show nothing."""
        return nullcontext()


SILENT = Silent()


class ConsoleProgress:
    """A person at a terminal, or the reader of a log."""

    def __init__(self, console: Console, heartbeat: float = HEARTBEAT) -> None:
        """Write to `console`; in a log, give a sign of life every `heartbeat` seconds."""
        self._console = console
        self._heartbeat = heartbeat

    def say(self, line: str) -> None:
        """Print the line."""
        self._console.print(escape(line), highlight=False, soft_wrap=True)

    @contextmanager
    def during(self, activity: str, hint: str = "") -> Iterator[None]:
        """Show a spinner with the seconds so far, or a line every now and then."""
        started = time.monotonic()
        ended = threading.Event()
        live = self._console.is_terminal
        ahead = f"{activity} ({hint})" if hint else activity
        if not live:
            self.say(f"{ahead} ...")
        with self._console.status(escape(ahead)) if live else nullcontext() as spinner:

            def tick() -> None:
                while not ended.wait(1.0 if live else self._heartbeat):
                    text = f"{ahead} ... {time.monotonic() - started:.0f} s"
                    if spinner is not None:
                        spinner.update(escape(text))
                    else:
                        self.say(text)

            ticker = threading.Thread(target=tick, daemon=True)
            ticker.start()
            try:
                yield
            finally:
                ended.set()
                ticker.join()
        self.say(f"{activity}: {time.monotonic() - started:.1f} s")
