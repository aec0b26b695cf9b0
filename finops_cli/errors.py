"""The errors that stop a command, as one tree.

FinopsError                    cli.py prints the message and its cure, and exits with the code
+-- UsageError          (2)    the command cannot be carried out as given
|   +-- ResumeRefused   (2)    the partial output was made from something else, or is locked
|   +-- KnowledgeError  (2)    the knowledge base is not well formed
+-- Unfinished          (2)    a worker died or a disk is full: whole lines, but not all of them
|   +-- InputChanged    (2)    all lines, but some of another content than the file has now
+-- MissingPiece        (3)    something must be installed or started; `cure` says how

cli.py reports an OSError (a file that cannot be read or written) like a UsageError. A bad record is
a value, not an exception (`finops_cli.pipeline.parse.ParseResult`), and the file goes on. Exit
codes 0 and 1 always mean that every input line has its output line.
"""

from __future__ import annotations


class FinopsError(Exception):
    """Ends a command with a message, and with a cure where there is one.

    `str(error)` is the message alone.
    """

    exit_code = 1
    """Exit status of the process (contracts, section 1)."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure

    def one_line(self) -> str:
        """Message and cure together, for a table or a list of several problems."""
        return f"{self}; {self.cure}" if self.cure else str(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep `cure`, and what a subclass adds, on the way out of a worker process."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[FinopsError], args: tuple[object, ...], state: dict[str, object]) -> object:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(FinopsError):
    exit_code = 2


class ResumeRefused(UsageError):
    pass


class KnowledgeError(UsageError):
    pass


class MissingPiece(FinopsError):
    exit_code = 3

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)


class Unfinished(FinopsError):
    exit_code = 2


class InputChanged(Unfinished):
    pass
