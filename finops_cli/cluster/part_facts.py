"""The counts and names of a part's lines, which the merge needs beside the lines themselves."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from finops_cli.cluster.parts import Part
from finops_cli.monitoring.run_counts import RunCounts
from finops_cli.pipeline.earlier_lines import Draw
from finops_cli.pipeline.line_pipeline import LineType
from finops_cli.pipeline.scheduler import BatchResult


class PartFacts(Struct, frozen=True, kw_only=True):
    """Everything of a `BatchResult` but its lines, as JSON can hold it."""

    is_model: bool
    owed: list[int]
    """The shares that each input owes."""
    names: list[tuple[str, int]]
    """The (fail_id, line number) pairs of the inputs."""
    draws: list[tuple[int, str, tuple[int, ...], tuple[int, ...]]]
    """Line number, security, shares taken and shares held of each plan by its own record."""
    summary: RunCounts


_DECODER = msgspec.json.Decoder(PartFacts)


def collect_facts(result: BatchResult) -> PartFacts:
    """Collect what the merge needs of the lines of a part."""
    return PartFacts(
        is_model=result.is_model,
        owed=result.owed,
        names=result.names,
        draws=[(number, each.cusip, each.taken, each.held) for number, each in result.draws],
        summary=RunCounts.of(result.summary),
    )


def encode_facts(facts: PartFacts) -> bytes:
    """Write facts as one line of JSON. Equal facts give equal bytes."""
    return msgspec.json.encode(facts, order="sorted") + b"\n"


def decode_facts(content: bytes) -> PartFacts:
    """Read facts. Raises msgspec.DecodeError for other content."""
    return _DECODER.decode(content)


def restore_result(
    part: Part, lines: list[bytes], facts: PartFacts, line_type: LineType
) -> BatchResult:
    """Return the result of a part of which a worker left the lines and the facts."""
    return BatchResult(
        first=part.first,
        place=part.place,
        end=part.end_offset,
        is_model=facts.is_model,
        line_type=line_type,
        lines=lines,
        summary=facts.summary.to_summary(),
        names=facts.names,
        owed=facts.owed,
        draws=[(number, Draw(cusip, taken, held)) for number, cusip, taken, held in facts.draws],
    )


def drop_lines(result: BatchResult, count: int) -> BatchResult:
    """Return a result without its first `count` lines, which the output has already."""
    kept = BatchResult(
        first=result.first + count,
        place=result.place and result.place.after(count),
        end=result.end,
        is_model=result.is_model,
        line_type=result.line_type,
        lines=result.lines[count:],
        names=[(name, number) for name, number in result.names if number >= result.first + count],
        owed=result.owed[count:],
        draws=[(number, draw) for number, draw in result.draws if number >= result.first + count],
    )
    for line, owed in zip(kept.lines, kept.owed, strict=True):
        kind = kept.line_type
        kind.add_to(kept.summary, kind.read(line), owed, kept.is_model)
    return kept


def join_results(results: list[BatchResult], first: int, line_type: LineType) -> BatchResult:
    """Put the results of consecutive batches together."""
    joined = BatchResult(first=first, end=0, is_model=False, line_type=line_type)
    for each in results:
        joined.end, joined.is_model = each.end, each.is_model
        joined.lines += each.lines
        joined.names += each.names
        joined.owed += each.owed
        joined.draws += each.draws
        joined.summary.add(each.summary)
    return joined
