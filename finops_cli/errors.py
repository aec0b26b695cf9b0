"""What can stop a command, as one tree.

FinopsError                    the border in cli.py prints it and exits with its code
+-- UsageError          (2)    the call cannot be carried out as given
|   +-- ResumeRefused   (2)    the partial output was made from something else
|   +-- KnowledgeError  (2)    the knowledge base is not well formed
+-- MissingPiece        (3)    something to install or to start is missing; the message ends with the cure
+-- WorkerLost          (1)    a worker process died; what was written can be resumed

A bad record is none of these: it is a value (`finops_cli.pipeline.intake.Rejected`), and the file goes on.
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


class WorkerLost(FinopsError):
    pass
