"""`finops import swift`: MT548, MT537, sese.024 and semt.018, whole and damaged."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.market_messages import (
    Instruction,
    mt537_by_status,
    mt537_by_transaction,
    mt537_of_penalties,
    mt548,
    semt018,
    sese024,
    wrap,
)
from tests.support.program import EXAMPLES, Finops
from tests.support.soak import scaled

ONE, TWO = Instruction(), Instruction(reference="ORDER-2", movement="RECE", quantity=70)
SHAPES = {
    "MT548": mt548(ONE),
    "MT537 by status": mt537_by_status(ONE),
    "MT537 by transaction": mt537_by_transaction(ONE),
    "sese.024": sese024(ONE, root="Envelope"),
    "semt.018 by status": semt018(ONE),
    "semt.018 by transaction": semt018(ONE, is_by_status=False),
}


class Imported:
    """The records of an import, and what it said."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.records: list[dict[str, Any]] = [json.loads(each) for each in done.stdout.splitlines()]
        self.said = done.stderr.decode()

    @property
    def names(self) -> list[str]:
        """The names of the records."""
        return [each["fail_id"] for each in self.records]


def take(finops: Finops, path: Path, content: str | bytes, *options: object) -> Imported:
    """Import a file with this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Imported(finops("import", "swift", path, *options))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_gives_the_same_record(shape: str, finops: Finops, tmp_path: Path) -> None:
    """An instruction gives one record, whichever message and shape states it."""
    found = take(finops, tmp_path / "m", SHAPES[shape])
    assert found.status == 0, found.said
    [record] = found.records
    facts = ("fail_id", "cusip", "side", "qty", "counterparty", "market_value", "age_days")
    assert [record[name] for name in facts] == [
        "ORDER-1", "594918104", "Sell", 5000, "DTC-0161", 2100000, 3
    ]  # fmt: skip
    assert record["clock_facts"] == {
        "trade_date": "2026-11-12", "settlement_date": "2026-11-13", "as_of": "2026-11-18"
    }  # fmt: skip
    assert record["cns_direction"] == "N_A"
    assert record["notes"] == "LACK: We do not have enough shares. POSITION SHORT"
    assert record["origin"]["reasons"] == ["LACK"]
    assert set(record["origin"]["assumed"]) >= {"reg_sho_threshold", "inventory_coverage_pct"}


def test_examples_give_five_fails_that_run(finops: Finops) -> None:
    """The shipped examples give five records, and `finops run` takes each of them."""
    folder = EXAMPLES / "swift"
    files = sorted(path for path in folder.iterdir() if path.suffix in {".txt", ".xml"})
    done = finops("import", "swift", *files, "--counterparties", folder / "counterparties.csv")
    assert done.returncode == 0
    lines = finops("run", "-", stdin=done.stdout).stdout.splitlines()
    found = {each["fail_id"]: each["triage"]["category"] for each in map(json.loads, lines)}
    assert found == {
        "ORDER-1": "DVP_FAIL",
        "ORDER-2": "DK_DISPUTE",
        "ORDER-3": "DVP_FAIL",
        "ORDER-4": "B2B_PENDING",
        "ORDER-5": "DVP_FAIL",
    }


@pytest.mark.parametrize(
    "content",
    [
        mt548(ONE) + mt548(TWO, seme="S2"),
        f"Report of today:\n\n{mt548(ONE)}{{5:{{CHK:1}}}}\n\ntrailer {mt548(TWO, seme='S2')}",
        f"{{1:F21A0000000000}}{{4:{{177:2611180900}}{{451:0}}}}{mt548(ONE)}{mt548(TWO, seme='S2')}",
        (mt548(ONE) + "\n" + mt548(TWO, seme="S2")).replace("\n", "\r\n\r\n"),
        "\ufeff" + mt548(ONE) + mt548(TWO, seme="S2"),
        mt548(ONE).replace("\n-}", "-}") + mt548(TWO, seme="S2"),
        mt537_by_status(ONE, TWO),
        mt537_by_transaction(ONE, TWO),
        mt537_by_status(ONE, page="1/MORE") + mt537_by_status(TWO, page="2/LAST"),
        sese024(ONE, root="a") + "\n" + sese024(TWO, root="b"),
        semt018(ONE, TWO),
        semt018(ONE) + semt018(TWO),
        f"junk {semt018(ONE, TWO).lstrip()}",
    ],
)
def test_messages_are_found_whatever_surrounds_them(
    content: str, finops: Finops, tmp_path: Path
) -> None:
    """Glued blocks, text around them, acknowledgements, CRLF, blank lines, pages: none is lost."""
    found = take(finops, tmp_path / "m", content)
    assert (found.status, found.names) == (0, ["ORDER-1", "ORDER-2"]), found.said
    assert found.records[1]["side"] == "Buy"


def test_text_of_block_4_alone_is_read(finops: Finops, tmp_path: Path) -> None:
    """A text without headers, as some tools store it, is a message."""
    text = mt548(ONE).partition("{4:\n")[2].removesuffix("-}") + "-\n"
    assert take(finops, tmp_path / "m", text).names == ["ORDER-1"]


def test_names_in_iso_8859_1_are_read(finops: Finops, tmp_path: Path) -> None:
    """A narrative in ISO-8859-1 keeps its letters, in MT and in XML."""
    given = ONE.but(narrative="Zürich")
    found = take(finops, tmp_path / "m", mt548(given).encode("iso-8859-1"))
    assert "Zürich" in found.records[0]["notes"]
    xml = '<?xml version="1.0" encoding="ISO-8859-1"?>' + sese024(given)
    found = take(finops, tmp_path / "x", xml.encode("iso-8859-1"))
    assert "Zürich" in found.records[0]["notes"]


@pytest.mark.parametrize("version", [f"{number:02}" for number in range(2, 14)])
def test_versions_of_iso_messages_are_read(version: str, finops: Finops, tmp_path: Path) -> None:
    """Versions 02 to 12 are read without a word; a newer one is read and named."""
    for content in (sese024(ONE, version, root="a"), semt018(ONE, version=version)):
        found = take(finops, tmp_path / "m", content)
        assert found.names == ["ORDER-1"]
        assert ("version 13 is not known" in found.said) == (version == "13")


def test_partial_settlement_leaves_what_is_open(finops: Finops, tmp_path: Path) -> None:
    """The record has the shares that have not settled, by either qualifier."""
    for more in (":36B::PSTT//UNIT/1200,", ":36B::RSTT//UNIT/3800,"):
        text = mt548(ONE).replace(":22H::REDE", f"{more}\n:22H::REDE")
        assert take(finops, tmp_path / "m", text).records[0]["qty"] == 3800


def test_later_status_and_cancellation_count(finops: Finops, tmp_path: Path) -> None:
    """The last status of an instruction counts; a cancelled message counts no more."""
    twice = mt548(ONE) + mt548(ONE.but(quantity=80), seme="S2")
    found = take(finops, tmp_path / "m", twice)
    assert [each["qty"] for each in found.records] == [80]
    assert "1 statuses were replaced" in found.said
    cancelled = mt548(ONE) + mt548(ONE, "CANC", "S3", ":20C::PREV//S1")
    found = take(finops, tmp_path / "m", cancelled)
    assert found.records == []
    assert "cancels message S1" in found.said
    ended = mt548(ONE) + mt548(ONE.but(status="CPRC//CAND", reason="CAND//CANI"), seme="S4")
    assert take(finops, tmp_path / "m", ended).records == []


def test_pending_is_a_fail_once_its_date_has_passed(finops: Finops, tmp_path: Path) -> None:
    """PEND is a fail after its settlement date, by the message's day or by --as-of."""
    pending = ONE.but(status="SETT//PEND", reason="PEND//AWSH", settlement="20261118")
    found = take(finops, tmp_path / "m", mt548(pending))
    assert (found.status, found.records) == (0, [])
    assert "has not passed" in found.said
    found = take(finops, tmp_path / "m", mt548(pending), "--as-of", "2026-11-20")
    assert found.records[0]["age_days"] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (mt537_of_penalties(), "it has penalties and no status"),
        (wrap("541", ":16R:GENL", ":20C::SEME//1", ":16S:GENL"), "MT541: it is no settlement"),
        ("<Document xmlns='urn:x'><FIToFICstmrCdtTrf/></Document>", "it is no settlement status"),
        (mt548(ONE.but(status="MTCH//MACH")), "not a fail"),
    ],
)
def test_other_messages_are_named_and_skipped(
    content: str, said: str, finops: Finops, tmp_path: Path
) -> None:
    """A message that is no settlement status gives no record, and stderr names it."""
    found = take(finops, tmp_path / "m", content)
    assert (found.status, found.records) == (0, [])
    assert said in found.said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ONE.but(isin="DE0007164600"), "an ISIN of CA, US"),
        (ONE.but(isin="US5949181046"), "check digit"),
        (ONE.but(settlement="99991231"), "ask the custodian"),
        (ONE.but(dtc="TENDER"), "--counterparties"),
        (ONE.but(quantity=0), "above 0"),
        (ONE.but(movement="XXXX"), "DELI or RECE"),
        (ONE.but(amount=""), "free of payment"),
    ],
)
def test_fail_that_cannot_be_used_names_field_and_cure(
    given: Instruction, said: str, finops: Finops, tmp_path: Path
) -> None:
    """A fail without a needed fact is reported with its line, and the next one is read."""
    found = take(finops, tmp_path / "m", mt548(given) + mt548(TWO, seme="S2"))
    assert (found.status, found.names) == (1, ["ORDER-2"])
    assert f"{tmp_path / 'm'}:1: " in found.said
    assert said in found.said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (mt548(ONE)[:-40] + mt548(TWO, seme="S2"), "cut off"),
        (mt548(TWO, seme="S2") + mt548(ONE)[:-40], "the file ends"),
        (mt548(ONE).replace(":16S:REAS", ":16S:STAT") + mt548(TWO, seme="S2"), "sequence"),
        (mt537_by_status(TWO, page="2/LAST"), "page 1 is missing"),
        (mt537_by_status(TWO, page="1/MORE"), "page 2 is missing"),
    ],
)
def test_damaged_message_is_reported_and_the_rest_is_read(
    content: str, said: str, finops: Finops, tmp_path: Path
) -> None:
    """A cut message and a missing page end with 1, and stderr names what is lost."""
    found = take(finops, tmp_path / "m", content)
    assert (found.status, found.names) == (1, ["ORDER-2"])
    assert said in found.said


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]>' + sese024(ONE),
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&x;</a>',
        "<a>" * 5000,
        sese024(ONE)[:-30],
        sese024(ONE).replace("<ISIN>", "<ISIN>" + "x" * 2_000_000),
    ],
)
def test_hostile_xml_is_one_clear_error(content: str, finops: Finops, tmp_path: Path) -> None:
    """Declared entities, depth, size and a cut are refused; nothing is read from them."""
    found = take(finops, tmp_path / "m", content)
    assert (found.status, found.records) == (1, [])
    assert "Traceback" not in found.said
    assert "a whole message" in found.said


def test_file_without_a_message_is_reported(finops: Finops, tmp_path: Path) -> None:
    """A file in which no message is found ends with 1."""
    for content in ("", "hello\n", "a < b"):
        found = take(finops, tmp_path / "m", content)
        assert (found.status, found.records) == (1, [])
        assert "no market message" in found.said


def test_packed_file_is_read(finops: Finops, tmp_path: Path) -> None:
    """A .gz file is read; a ZIP file, a folder and a missing file end with 2 and the fix."""
    assert take(finops, tmp_path / "m.gz", gzip.compress(mt548(ONE).encode())).names == ["ORDER-1"]
    for path in (tmp_path, tmp_path / "absent"):
        assert finops("import", "swift", path).returncode == 2
    assert take(finops, tmp_path / "m.zip", b"PK\x03\x04 and more").status == 2


def test_cns_account_gives_a_cns_direction(finops: Finops, tmp_path: Path) -> None:
    """A delivery to participant 888 is a fail to deliver to CNS."""
    record = take(finops, tmp_path / "m", mt548(ONE.but(dtc="00000888"))).records[0]
    assert (record["cns_direction"], record["cns_position"]) == ("FTD", -5000)


instructions = st.builds(
    Instruction,
    reference=st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True).filter(
        lambda text: text not in {"NONREF", "NOREF", "UNKNOWN"}
    ),
    isin=st.sampled_from(["US5949181045", "US0378331005", "US36467W1099", "CA0679011084"]),
    quantity=st.integers(1, 10**9),
    amount=st.integers(0, 10**12).map(lambda cents: f"{cents // 100},{cents % 100:02}"),
    movement=st.sampled_from(["DELI", "RECE"]),
    dtc=st.integers(1, 9999).map(lambda number: f"{number:08}"),
    reason=st.sampled_from(["PENF//LACK", "PENF//CLAC", "PENF//OTHR"]),
    narrative=st.from_regex(r"[A-Z0-9 ./()?+'-]{0,60}", fullmatch=True).map(str.strip),
)


@pytest.mark.slow
@given(wanted=st.lists(instructions, max_size=5, unique_by=lambda each: each.reference))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("make", [mt537_by_status, mt537_by_transaction, semt018])
def test_written_instructions_are_read_back(
    make: Any, wanted: list[Instruction], finops: Finops, tmp_path: Path
) -> None:
    """What a statement is written from is what the records say, in order."""
    found = take(finops, tmp_path / "m", make(*wanted))
    assert found.names == [each.reference for each in wanted], found.said
    for each, record in zip(wanted, found.records, strict=True):
        assert record["qty"] == each.quantity
        assert record["cusip"] == each.isin[2:11]
        assert f"{record['market_value']:.2f}" == each.amount.replace(",", ".")
        assert record["counterparty"] == f"DTC-{int(each.dtc):04}"
        assert record["side"] == {"DELI": "Sell", "RECE": "Buy"}[each.movement]


@pytest.mark.slow
@given(position=st.integers(0, 10**6), noise=st.binary(min_size=1, max_size=8))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("content", [mt548(ONE), mt537_by_status(ONE, TWO), semt018(ONE, TWO)])
def test_noise_in_a_message_never_ends_the_import(
    content: str, position: int, noise: bytes, finops: Finops, tmp_path: Path
) -> None:
    """Bytes that are put into a message give records, damage or notes, and no traceback."""
    raw = content.encode()
    at = position % len(raw)
    assume(at or not noise.startswith((b"PK\x03\x04", b"\x1f\x8b")))  # a packed file
    found = take(finops, tmp_path / "m", raw[:at] + noise + raw[at:])
    assert found.status in (0, 1)
    assert "Traceback" not in found.said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux")
@pytest.mark.parametrize("kind", ["mt", "mx", "mx by transaction"])
def test_large_statement_is_read_in_flat_memory(kind: str, tmp_path: Path) -> None:
    """A statement of 7,000 instructions (40,000 in `just soak`) needs about as much memory as one
    of 1,000: at most a kilobyte more for each of the others.
    """
    program = (
        "import sys\n"
        "from finops_cli.cli import main\n"
        "sys.argv = ['finops', 'import', 'swift', sys.argv[1], '-q', '-o', sys.argv[2]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))\n"
    )
    peaks = []  # VmHWM: ru_maxrss of a child begins with the peak of its parent
    for count in (1_000, scaled(7_000, 40_000)):
        given = [ONE.but(reference=f"R{number}") for number in range(count)]
        path = tmp_path / f"{count}.txt"
        path.write_text(
            mt537_by_status(*given) if kind == "mt" else semt018(*given, is_by_status=kind == "mx")
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(tmp_path / f"{count}.jsonl")],
            capture_output=True,
            check=True,
            text=True,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + scaled(6_000, 12_000), peaks  # KiB
