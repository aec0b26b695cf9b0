"""Records that are pasted as the model cards print them, over several lines."""

from __future__ import annotations

import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as draw
from hypothesis import strategies as st

from finops_cli.files.text_blocks import PastedLines
from finops_cli.kb.load import load_kb
from finops_cli.pipeline.input_source import JsonLines
from finops_cli.pipeline.parse import parse_fail
from tests.support.own_kb import change_kb
from tests.support.program import EXAMPLES, Finops
from tests.support.records import a_fail, jsonl, rows
from tests.support.streams import talk_to

TRIAGE_TEXT = """Triage this fail record:
CUSIP: 594918104 | Side: Sell | Qty: 5000 | Counterparty: DTC-0005 |\x20
Age: 7 days | Market Value: $2.1M | CNS Position: -5000 |\x20
CNS Direction: FTD | Reg SHO Threshold: Yes |\x20
Inventory Coverage: 10% | CP 15-day Fail Rate: 4%"""
"""Card 1, usage with Ollama: the five lines between the quotes."""
LLAMA_CPP_TEXT = (
    r"Triage this fail record:\nCUSIP: 594918104 | Side: Sell | Qty: 5000 | Counterparty: DTC-0005"
    r" | Age: 7 days | Market Value: \$2.1M | CNS Direction: FTD | Reg SHO Threshold: Yes |"
    r" Inventory Coverage: 10% | CP 15-day Fail Rate: 4%"
)
"""Card 1, usage with llama.cpp."""
PYTHON_TEXT = LLAMA_CPP_TEXT.replace(r"\$", "$")
"""Card 1, usage with Transformers."""
DIRECT = (
    'Resolve this fail:\n'
    r'{\"triage\":{\"category\":\"CNS_FAIL\",\"cns_direction\":\"FTD\",'
    r'\"lifecycle_state\":\"ESCALATED\",\"priority_score\":88.2,\"priority_tier\":\"CRITICAL\",'
    r'\"score_components\":{\"age\":18.0,\"value\":12.5,\"regulatory\":28.0,'
    r'\"counterparty\":3.0},\"reason\":\"CNS FTD 32000 shs, threshold security\",'
    r'\"action\":\"LOCATE_AND_DELIVER\",\"escalation_level\":\"L3\",\"deadline\":\"T+13\",'
    r'\"flags\":[\"THRESHOLD_SECURITY\"]},\"cusip\":\"594918104\",\"ftd_qty\":32000,'
    r'\"inventory\":{\"box_qty\":8000,\"stock_loan_available\":3000,'
    r'\"recall_outstanding\":5000,\"pending_receives\":2000},'
    r'\"ftrs\":[{\"dtc\":\"DTC-0161\",\"qty\":12000,\"age_days\":3,'
    r'\"settlement_type\":\"RVP\",\"settlement_date\":\"T+1\",\"cp_fail_rate_pct\":2.1,'
    r'\"partial_delivery_history\":true}],\"related_fails\":[]}'
)  # fmt: skip
"""Card 2, direct inference, as it is printed: with the backslashes of the shell."""
TWO_MODELS = r"""Resolve this fail:
{
  \"triage\": $TRIAGE_OUTPUT,
  \"cusip\": \"594918104\",
  \"ftd_qty\": 32000,
  \"inventory\": {
    \"box_qty\": 8000,
    \"stock_loan_available\": 3000,
    \"recall_outstanding\": 5000,
    \"pending_receives\": 2000
  },
  \"ftrs\": [...],
  \"related_fails\": [...]
}"""
"""Card 2, the pipeline of two models, as it is printed: with the places that a reader fills in."""
COMMANDS = {TRIAGE_TEXT: "finops-fail-triage", DIRECT: "finops-resolver"}


def answer(finops: Finops, command: str, text: str) -> list[dict[str, Any]]:
    done = finops(command, "-", "--backend", "engine", "-q", "--no-timing", stdin=text.encode())
    return list(rows(done.stdout))


def filled_in(card: str) -> str:
    """The card's text as the shell passes it on, its places filled in from the direct inference."""
    triage = json.loads(DIRECT.split("\n")[1].replace('\\"', '"'))["triage"]
    shown = json.dumps(triage, indent=2)
    places = {"$TRIAGE_OUTPUT": shown, '"ftrs": [...]': '"ftrs": []', "[...]": "[]"}
    text = card.replace('\\"', '"')
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def as_shell(text: str) -> str:
    """The whole command, as the card prints it."""
    return f'ollama run {COMMANDS[text]} "{text}"\n'


@pytest.mark.parametrize("text", [TRIAGE_TEXT, LLAMA_CPP_TEXT, PYTHON_TEXT, as_shell(TRIAGE_TEXT)])
@pytest.mark.parametrize("command", ["triage", "run"])
def test_printed_record_of_card_1_is_one_record(finops: Finops, command: str, text: str) -> None:
    """Each form in which card 1 prints its record gives the score of that record, 83.4."""
    lines = answer(finops, command, text)
    assert [line["status"] for line in lines] == ["ok"]
    assert lines[0]["triage"]["priority_score"] == Decimal("83.4")
    assert lines[0]["fail"]["market_value"] == 2_100_000


@pytest.mark.parametrize("text", [DIRECT, as_shell(DIRECT), filled_in(DIRECT)])
def test_printed_case_of_card_2_is_one_case(finops: Finops, text: str) -> None:
    """Card 2's case is read as it is printed, and as a shell passes it on: a residual of 4,000."""
    lines = answer(finops, "resolve", text)
    assert [line["status"] for line in lines] == ["ok"]
    assert lines[0]["resolution"]["residual_short"] == 4_000


def test_case_over_many_lines_is_one_case(finops: Finops) -> None:
    """The card's pipeline with its places filled in is one case, over more than eighteen lines."""
    text = filled_in(TWO_MODELS)
    assert len(text.splitlines()) > 18
    lines = answer(finops, "resolve", f"{text}\n\n{text}\n")
    assert [line["resolution"]["total_coverable"] for line in lines] == [16_000, 16_000]


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("resolve", TWO_MODELS, "[...]"),
        ("resolve", TWO_MODELS.replace("[...]", "[]"), "$TRIAGE_OUTPUT"),
        ("triage", "Triage this fail record: {fail_record_json}", "{fail_record_json}"),
        ("triage", TRIAGE_TEXT.replace("$2.1M", ".1M"), "use single quotes"),
        ("run", DIRECT, "finops resolve"),
        ("resolve", TRIAGE_TEXT, "schema"),
    ],
)
def test_place_left_open_is_named(finops: Finops, command: str, text: str, said: str) -> None:
    """A place that a reader of the card has to fill in rejects the line and is named, not guessed;
    so is the amount of which a shell took a part, and a text for the other command.
    """
    (line,) = answer(finops, command, text)
    assert line["status"] == "rejected"
    assert said in json.dumps(line["error"])


def test_blocks_and_lines_of_json_keep_their_order(finops: Finops) -> None:
    """Blocks, a record after the heading and lines of JSON are answered in order; nothing is lost,
    and the blank lines between blocks are no records.
    """
    record = json.dumps(a_fail(fail_id="F-2"))
    parts = [
        TRIAGE_TEXT,
        f"{TRIAGE_TEXT}\n\n",
        f"Triage this fail record: {record}",
        json.dumps(a_fail(fail_id="F-3")),
        TRIAGE_TEXT.replace("Qty: 5000", "Qty: many"),
        json.dumps(a_fail(fail_id="F-4")),
        "not a record",
        TRIAGE_TEXT,
        "",
        "",
    ]
    lines = answer(finops, "triage", "\n".join(parts))
    assert [(line["fail_id"], line["status"]) for line in lines] == [
        ("line-1", "ok"),
        ("line-2", "ok"),
        ("F-2", "ok"),
        ("F-3", "ok"),
        ("line-5", "rejected"),
        ("F-4", "ok"),
        ("line-7", "rejected"),
        ("line-8", "ok"),
    ]


def test_case_that_is_cut_off_does_not_take_the_next(finops: Finops) -> None:
    """A block whose object never ends is rejected at a blank line; the next block is answered."""
    cut = "\n".join(filled_in(TWO_MODELS).splitlines()[:-2])
    lines = answer(finops, "resolve", f"{cut}\n\n{DIRECT}")
    assert [line["status"] for line in lines] == ["rejected", "ok"]


def test_quotation_marks_of_a_note_are_kept() -> None:
    """The closing quotation mark of a command is dropped, one that ends a quoted value is not."""
    text = f'{TRIAGE_TEXT} | Notes: "they said \\"soon\\""'
    for given, notes in ((text, 'they said "soon"'), (f"{TRIAGE_TEXT} | Notes: soon", "soon")):
        for ending in ("", '"'):
            (line,) = lines_of_text(given + ending)
            parsed = parse_fail(json.loads(line, parse_float=Decimal))
            assert parsed.value is not None, parsed.problems
            assert parsed.value.notes == notes


def lines_of_text(text: str) -> list[bytes]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(text.encode())
    with os.fdopen(reading, "rb") as file:
        return [line for line, _ in PastedLines(file)]


def test_file_of_blocks_is_resumed(finops: Finops, tmp_path: Path) -> None:
    """A file of blocks is read as a pipe is, `--resume` continues it, and `check` finds its
    records.
    """
    source, out = tmp_path / "pasted.txt", tmp_path / "out.jsonl"
    source.write_text(f"{TRIAGE_TEXT}\n\n" * 3 + jsonl(a_fail(fail_id="F-4")).decode())
    run = ("triage", source, "-o", out, "--backend", "engine", "-q", "--no-timing")
    assert finops(*run).returncode == 0
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.index(b"\n") + 40])
    assert finops(*run, "--resume").returncode == 0
    assert out.read_bytes() == whole
    assert finops("check", out, "--fails", source, "-q").returncode == 0


@pytest.mark.slow
def test_block_of_a_stream_is_answered_at_its_blank_line() -> None:
    """A stream that stays open gets the answer to a block at the blank line after it."""
    with talk_to("triage", "-", "--backend", "engine", "-q") as program:
        for number in (1, 2):
            program.send(f"{TRIAGE_TEXT}\n\n".encode())
            assert program.receive()["fail_id"] == f"line-{number}"
        status, rest = program.end()
    assert (status, rest) == (0, b"")


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        (">2% ADV", "2.1"),
        ("> 2 %  ADV", "2.1"),
        ("<1%", "0.9"),
        ("<0.05%", "0"),
        (">= 5%", "5"),
        ("<=5%", "5"),
        ("\u22655%", "5"),
    ],
)
def test_bound_of_a_rate_is_read_and_kept(words: str, rate: str) -> None:
    """A bound is read as the number beside it (kb: input.bound_step), and `origin` keeps the
    words.
    """
    given = {"text": f"{TRIAGE_TEXT} | Security Fail Rate: {words}", "origin": {"file": "a"}}
    parsed = parse_fail(given)
    assert parsed.value is not None, parsed.problems
    assert parsed.value.security_fail_rate_pct_adv == Decimal(rate)
    stated = {"security_fail_rate_pct_adv": words}
    assert parsed.value.origin == {"file": "a", "stated": stated}


@pytest.mark.parametrize("words", [">>2%", ">", "2%>", "> -1%", "~2%"])
def test_words_that_are_no_bound_are_rejected(words: str) -> None:
    """Other signs are not guessed at: the record is rejected, and the message shows a bound."""
    parsed = parse_fail({"text": f"{TRIAGE_TEXT} | Security Fail Rate: {words}"})
    assert parsed.value is None
    assert ">2% ADV" in parsed.problems[0].message


def test_bound_of_card_1_raises_the_score(finops: Finops) -> None:
    """The card's own example of a rate, `>2% ADV`, is concentrated: 83.4 x 1.15, and the line
    shows the words; `check` agrees.
    """
    text = f"{TRIAGE_TEXT} | Security Fail Rate: >2% ADV"
    (line,) = answer(finops, "triage", text)
    assert line["triage"]["score_components"]["concentration_modifier"] == Decimal("1.38")
    assert line["origin"] == {"stated": {"security_fail_rate_pct_adv": ">2% ADV"}}


def test_bound_step_of_a_desk_counts(tmp_path: Path) -> None:
    """The step beside a bound is the desk's: with 0.5 in its knowledge base, `>2%` is 2.5."""
    from finops_cli.pipeline.inputs import InputPolicy

    own = change_kb(tmp_path, "input.toml", "value = 0.1", "value = 0.5")
    parsed = parse_fail(
        {"text": f"{TRIAGE_TEXT} | Security Fail Rate: >2%"}, InputPolicy(load_kb(own))
    )
    assert parsed.value is not None
    assert parsed.value.security_fail_rate_pct_adv == Decimal("2.5")


def test_text_form_is_read_as_lines_of_a_source(tmp_path: Path) -> None:
    """The lines of a file of blocks are its records: as many in batches as read again."""
    source = tmp_path / "pasted.txt"
    source.write_text(f"{TRIAGE_TEXT}\n" * 600)
    given = JsonLines(source)
    batched = [line for batch in given.batches(0, 256) for line in batch.lines]
    assert len(batched) == 600
    assert batched == list(given.lines())


def test_examples_hold_no_blocks() -> None:
    """The example files are JSON, so their lines are read byte by byte as before."""
    path = EXAMPLES / "monday.jsonl"
    assert list(JsonLines(path).lines()) == path.read_bytes().splitlines()


@pytest.mark.parametrize(("least", "status"), [(2, 0), (3, 2)])
def test_blank_lines_after_blocks_count_as_nothing(finops: Finops, least: int, status: int) -> None:
    """Blank lines that end blocks are neither records nor subtracted from them."""
    text = f"{TRIAGE_TEXT}\n\n\n{TRIAGE_TEXT}\n\n".encode()
    done = finops("triage", "-", "--backend", "engine", "--min-records", least, stdin=text)
    assert (done.returncode, done.stdout.count(b"\n")) == (status, 2)


_PIECES = st.sampled_from(
    [
        b'{"fail_id": "F-1"}',
        b'  {"fail_id": "F-2"}',
        b"\x1e{}",
        b"\xef\xbb\xbf{}",
        b"",
        b" \t",
        b"[]",
        b"noise",
        b"Triage this fail record:",
        b"Qty: 5000 | Side: Sell",
        b"Resolve this fail:",
        b'{"ftd_qty": 5}',
        b'{"triage": {',
        b"}}",
    ]
)


@example(  # one block ends where the next begins
    lines=[
        b"Triage this fail record:",
        b"Qty: 5000 | Side: Sell",
        b"Resolve this fail:",
        b'{"ftd_qty": 5}',
        b"{}",
    ],
    asks=[False, True],
)
@draw(lines=st.lists(_PIECES, max_size=12), asks=st.lists(st.booleans(), max_size=16))
def test_lines_do_not_depend_on_who_looks_ahead(lines: list[bytes], asks: list[bool]) -> None:
    """Lines and blocks are the same, and in order, wherever the reader asks if there is more."""
    text = b"\n".join(lines)
    plain, asked = PastedLines(io.BytesIO(text)), PastedLines(io.BytesIO(text))
    found = []
    for ask in [*asks, *[False] * len(lines)]:
        if ask:
            assert asked.has_next_now()
        found.append(next(asked, None))
    found = [line for line in found if line is not None]
    assert found == list(plain)
    assert (asked.blank, asked.dropped) == (plain.blank, plain.dropped)
    assert asked.position == plain.position == len(text)
    assert sum(consumed for _, consumed in found) <= len(text)


def test_block_goes_on_after_a_stream_paused() -> None:
    """The object behind a heading belongs to its block, however late it comes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        lines = PastedLines(source)
        os.write(writing, b"Resolve this fail:\n")
        assert not lines.has_next_now()
        os.write(writing, b'{"ftd_qty":\n 5}\n{}\n')
        os.close(writing)
        assert [line for line, _ in lines] == [b'{"ftd_qty":\n 5}', b"{}"]
