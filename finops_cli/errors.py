"""What can stop a command, as one tree.

FinopsError                    cli.py prints the message and its cure, and exits with the code
+-- UsageError          (2)    the command cannot be carried out as given
|   +-- ResumeRefused   (2)    the partial output was made from something else, or is locked
|   +-- KnowledgeError  (2)    the knowledge base is not well formed
+-- Unfinished          (2)    a worker died or a disk is full: whole lines, but not all of them
+-- MissingPiece        (3)    something must be installed or started; `cure` says how

cli.py reports an OSError (a file that cannot be read or written) like a UsageError. A bad record is
a value, not an exception (`finops_cli.pipeline.parse.ParseResult`), and the file goes on. Exit
codes 0 and 1 always mean that every input line has its output line.
"""

from __future__ import annotations


class FinopsError(Exception):
    """Ends a command. `exit_code` is the process's exit status (contracts, section 1)."""

    exit_code = 1


class UsageError(FinopsError):
    exit_code = 2


class ResumeRefused(UsageError):
    pass


class KnowledgeError(UsageError):
    pass


class MissingPiece(FinopsError):
    exit_code = 3


class Unfinished(FinopsError):
    exit_code = 2
