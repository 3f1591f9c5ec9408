"""Work on items in several processes.

Every process works on one item at a time, with one thread, so that results do not depend on the number of
processes. A process that crashes, such as for want of memory, loses its item only.
"""

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from calvaria.utils.interruption import SIGNALS, Interrupted, postponed, raise_on_signals

Item = TypeVar("Item")
Result = TypeVar("Result")

PACKAGE = "calvaria"  # whose log records are passed on
END_S = 20.0  # within which a process ends after SIGTERM
# Threads of NumPy's and SciPy's libraries, which read these when they are loaded.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Crash:
    """A process ended before its item was finished."""

    exit_code: int | None  # negative for a signal

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            return f"its process was ended by {signal.Signals(-self.exit_code).name}"
        return f"its process ended with exit code {self.exit_code}"


@dataclass(frozen=True)
class _Worker(Generic[Item]):
    process: BaseProcess
    connection: Connection
    item: Item


def results(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int
) -> Iterator[tuple[Item, Result | Crash]]:
    """Yield every item with its result, in the order in which they are finished.

    Log records of the package are handled in this process. If the iteration ends early, such as by Ctrl-C,
    all processes are stopped: ``Interrupted`` is raised in their work, so that it removes partial files.

    Args:
        work: a picklable function. Each process has one copy, so what it keeps is kept from item to item.
    """
    waiting = deque(items)
    busy: dict[Connection, _Worker[Item]] = {}
    idle: list[tuple[BaseProcess, Connection]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                process, connection = idle.pop() if idle else _start(work)
                item = waiting.popleft()
                busy[connection] = _Worker(process, connection, item)
                with suppress(BrokenPipeError):  # of a process that has crashed, which is handled below
                    connection.send(item)
            for connection in [one for one in wait(list(busy)) if isinstance(one, Connection)]:
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    worker = busy.pop(connection)
                    worker.process.join()
                    yield worker.item, Crash(worker.process.exitcode)
                    continue
                if isinstance(message, logging.LogRecord):
                    logging.getLogger(message.name).handle(message)
                    continue
                worker = busy.pop(connection)
                idle.append((worker.process, connection))
                yield worker.item, message
    finally:
        with postponed():
            _stop([*idle, *((worker.process, worker.connection) for worker in busy.values())])


def _start(work: Callable[[Item], Result]) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    level = logging.getLogger(PACKAGE).getEffectiveLevel()
    process = context.Process(target=_serve, args=(there, level), daemon=True)
    resource_tracker.ensure_running()  # it would end the blocking below
    # The process inherits this until it handles signals; Ctrl-C would end it with a traceback before.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    with suppress(BrokenPipeError):
        here.send(work)
    return process, here


def _stop(workers: list[tuple[BaseProcess, Connection]]) -> None:
    for process, connection in workers:
        process.terminate()
        connection.close()
    for process, _ in workers:
        process.join(END_S)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(connection: Connection, level: int) -> None:
    """Work on items until the other end of the connection is closed."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    raise_on_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one stops the rest
    package = logging.getLogger(PACKAGE)
    package.setLevel(level)
    package.handlers = [_Forward(connection)]
    package.propagate = False
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        work = connection.recv()
        while True:
            connection.send(work(connection.recv()))
    except (Interrupted, EOFError, BrokenPipeError, ConnectionResetError):
        return


class _Forward(logging.Handler):
    """Send log records to the first process, where the terminal and the progress are."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, with its arguments inserted, as these may not be picklable."""
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.connection.send(record)
