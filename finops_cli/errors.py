"""What can stop a command, as one tree.

FinopsError                    the border in cli.py prints it and exits with its code +-- UsageError
(2)    the call cannot be carried out as given |   +-- ResumeRefused   (2)    the partial output was
made from something else, or another finops is writing it |   +-- KnowledgeError  (2)    the
knowledge base is not well formed +-- Unfinished          (2)    a worker died or a disk is full:
the output is whole lines, but not all of them +-- MissingPiece        (3)    something to install
or to start is missing; the message ends with the cure

An OSError (a file that cannot be read or written) is reported by the border like a UsageError. A
bad record is none of these: it is a value (`finops_cli.pipeline.intake.Taken`), and the file goes
on. Exit codes 0 and 1 always mean that every line has its output.
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
