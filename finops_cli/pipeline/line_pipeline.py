"""Common parts of the pipelines: those of fails and cases, and that of texts.

The scheduler, the resume note and the commands know a pipeline only by these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from finops_cli.domain.finding import Problem
from finops_cli.domain.stage_names import StageName
from finops_cli.files.jsonl import InputLine
from finops_cli.kb.rulebook import KnowledgeBase
from finops_cli.models.protocol import Origin
from finops_cli.monitoring.run_summary import RunSummary
from finops_cli.pipeline.clock import ClockConfig
from finops_cli.pipeline.parse import ParseResult
from finops_cli.pipeline.redaction import RedactionPolicy

L = TypeVar("L", bound=Struct)


class LineType(NamedTuple):
    """The output lines of a pipeline. The functions are at module level, as processes need it."""

    read: Callable[[bytes], Any]
    """Decode a line that was written earlier. Raises msgspec.DecodeError."""
    name_of: Callable[[Any], str]
    """Return the name by which a line answers its input."""
    add_to: Callable[[RunSummary, Any, int, bool], None]
    """Count a line; see `pipeline.summary.count_line`."""
    id_fields: tuple[str, ...]
    """The fields of an input that may name it, the first one first."""


class ProcessedLine(Struct, Generic[L], frozen=True):
    """An output line, with the identity of its input."""

    line: L
    given_id: str | None
    """The name in the input, if it has one."""
    owed: int
    """Shares that the input owes."""
    held: tuple[int, ...] | None = None
    """The shares of the sources of its record, by kind; None: its plan is not by the record."""


class InputShares(NamedTuple):
    """The shares that an input line is about."""

    owed: int
    held: tuple[int, ...] | None = None
    """Those of the sources of its record, by kind; None: its plan is not by the record alone."""


class RunIdentity(NamedTuple):
    """The parts of a run's note that the kind of pipeline decides."""

    command: str
    strict_input: bool = False
    clock: str | None = None
    options: str | None = None
    """Further options that change lines."""


class RunBackend(Protocol):
    """The part of a backend that a run uses, for every kind of answer."""

    origin: Origin

    @property
    def concurrency(self) -> int: ...

    @property
    def must_alternate(self) -> bool: ...

    def prepare(self, stage: StageName) -> None: ...

    def model_changes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...


class LinePipeline(Protocol):
    """Makes one output line of each input line."""

    @property
    def backend(self) -> RunBackend: ...

    @property
    def kb(self) -> KnowledgeBase: ...

    @property
    def keeps_raw(self) -> bool: ...

    @property
    def redaction(self) -> RedactionPolicy | None: ...

    @property
    def is_quick(self) -> bool:
        """Return true where no text is read: then a process takes longer to start than a batch."""
        ...

    @property
    def models(self) -> tuple[StageName, ...]: ...

    @property
    def line_type(self) -> LineType: ...

    @property
    def identity(self) -> RunIdentity: ...

    def parse(self, line: bytes) -> ParseResult[Any]: ...

    def count_shares(self, line: InputLine) -> InputShares:
        """Count the shares that an input line owes, and those of its sources."""
        ...

    def process(self, number: int, line: InputLine) -> ProcessedLine[Any]: ...

    def reject(self, number: int, name: str, problem: Problem) -> Struct: ...

    def name(self, given_id: str) -> str: ...


class LinePipelineConfig(Protocol):
    """Everything that a process needs to set up its own pipeline without a language model."""

    @property
    def kb_dir(self) -> Path: ...

    @property
    def timed(self) -> bool: ...

    @property
    def clock(self) -> ClockConfig | None: ...

    def open(self) -> LinePipeline: ...
