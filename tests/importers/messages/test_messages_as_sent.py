"""`finops import swift`: shapes that custodians send, in which a status could be lost or wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.importers.messages.test_swift_messages import ONE, TWO, take
from tests.support.market_messages import (
    Instruction,
    mt537_by_status,
    mt548,
    semt018,
    sese024,
    transaction_xml,
)
from tests.support.program import Finops

BOTH = ["ORDER-1", "ORDER-2"]
REDE = ":22H::REDE"
DECLARED = "<?xml version='1.0'?>"
OTHER = "<Document xmlns='urn:x'><SctiesSttlmTxConf><a/></SctiesSttlmTxConf></Document>"


def bare(text: str) -> str:
    """The text of block 4 without its marks."""
    return text.partition("{4:\n")[2].removesuffix("-}")


def test_instructions_without_a_reference_are_all_kept(finops: Finops, tmp_path: Path) -> None:
    """NONREF names no instruction: two statuses with it are two fails."""
    one, two = ONE.but(reference="NONREF"), TWO.but(reference="NONREF")
    found = take(finops, tmp_path / "m", mt548(one) + mt548(two, seme="S2"))
    assert [each["qty"] for each in found.records] == [5000, 70], found.said


@pytest.mark.parametrize("status", ["CPRC//REJT", "IPRC//PACK", "MTCH//MACH"])
def test_answer_without_news_of_settlement_ends_no_fail(
    status: str, finops: Finops, tmp_path: Path
) -> None:
    """A rejected cancellation and an acknowledgement leave the fail before and behind them."""
    answer = mt548(ONE.but(status=status), seme="S2")
    for content in (mt548(ONE) + answer, answer + mt548(ONE)):
        assert take(finops, tmp_path / "m", content).names == ["ORDER-1"]


def test_match_ends_that_a_trade_is_not_matched(finops: Finops, tmp_path: Path) -> None:
    """MTCH/MACH replaces MTCH/NMAT and INMH/NMAT."""
    for status in ("MTCH//NMAT", "INMH//NMAT"):
        late = mt548(ONE.but(status=status))
        assert take(finops, tmp_path / "m", late).names == ["ORDER-1"]
        matched = mt548(ONE.but(status="MTCH//MACH"), seme="S2")
        assert take(finops, tmp_path / "m", late + matched).records == []


def test_cancelled_statement_gives_no_fail(finops: Finops, tmp_path: Path) -> None:
    """The transactions of a statement that cancels another one are not today's."""
    links = ":23G:CANC\n:16R:LINK\n:20C::PREV//P1\n:16S:LINK"
    cancel = mt537_by_status(ONE).replace(":23G:NEWM", links).replace("SEME//P1", "SEME//P2")
    found = take(finops, tmp_path / "m", mt537_by_status(ONE, TWO) + cancel)
    assert (found.status, found.records) == (0, [])
    unnamed = mt548(ONE, "CANC", "S3")
    found = take(finops, tmp_path / "m", unnamed)
    assert (found.status, found.records) == (1, [])
    assert "20C PREV" in found.said


def test_status_of_an_older_message_replaces_none(finops: Finops, tmp_path: Path) -> None:
    """Files come in any order: the moment of the message decides which status is the last."""
    newer = mt548(ONE.but(quantity=9)).replace(":98A::PREP//20261118", ":98C::PREP//20261118100000")
    older = mt548(ONE, seme="S2").replace(":98A::PREP//20261118", ":98C::PREP//20261118093000")
    for content in (newer + older, older + newer):
        found = take(finops, tmp_path / "m", content)
        assert [each["qty"] for each in found.records] == [9], found.said


def test_digits_of_other_scripts_are_no_date(finops: Finops, tmp_path: Path) -> None:
    """A superscript two in a date is one rejected fail, and the next one is read."""
    text = mt548(ONE.but(settlement="²0261113")) + mt548(TWO, seme="S2")
    found = take(finops, tmp_path / "m", text)
    assert (found.status, found.names) == (1, ["ORDER-2"])
    assert "ask the custodian" in found.said


@pytest.mark.parametrize(
    "content",
    [
        f"{bare(mt548(ONE))}\n{bare(mt548(TWO, seme='S2'))}",
        (mt548(ONE) + mt548(TWO, seme="S2")).replace("\n", "\r"),
        f"From: Desk <desk@custody.example>\n\n{mt548(ONE)}{mt548(TWO, seme='S2')}",
        f"From: Desk <desk@custody.example>\n\n{DECLARED}{semt018(ONE, TWO).partition('?>')[2]}",
        re.sub(" xmlns='[^']*'", "", f"{sese024(ONE)}{DECLARED}{sese024(TWO)}".replace('"', "'")),
        f"<Batch><M>{sese024(ONE)}</M><M>{sese024(TWO)}</M></Batch>",
    ],
)
def test_two_messages_are_read_however_they_are_sent(
    content: str, finops: Finops, tmp_path: Path
) -> None:
    """Texts without marks, CR alone, a mail address before them, one wrapper: none is lost."""
    found = take(finops, tmp_path / "m", content)
    assert (found.status, found.names) == (0, BOTH), found.said


def test_second_general_sequence_is_a_cut(finops: Finops, tmp_path: Path) -> None:
    """A text that follows a cut message is read, and the cut is reported."""
    found = take(finops, tmp_path / "m", mt548(ONE)[:-40] + "\n" + bare(mt548(TWO, seme="S2")))
    assert (found.status, found.names) == (1, ["ORDER-2"])
    assert "cut off" in found.said


def test_each_message_of_a_wrapper_has_its_own_day(finops: Finops, tmp_path: Path) -> None:
    """A batch of messages keeps the header of each, and names the parts without a status."""
    second = sese024(TWO, root="M").replace("2026-11-18", "2026-11-25")
    found = take(finops, tmp_path / "m", f"<B>{sese024(ONE, root='M')}{second}{OTHER}</B>")
    days = [each["clock_facts"]["as_of"] for each in found.records]
    assert days == ["2026-11-18", "2026-11-25"], found.said
    assert "no settlement status (Document / SctiesSttlmTxConf" in found.said


def test_document_after_a_damaged_one_is_read(finops: Finops, tmp_path: Path) -> None:
    """A damaged XML document is one report; the next XML declaration begins another one."""
    good = DECLARED + sese024(TWO)
    for bad in (sese024(ONE)[:-60], sese024(ONE).replace("<ISIN>", "<ISIN>&"), "<!DOCTYPE a><a/>"):
        found = take(finops, tmp_path / "m", DECLARED + bad + good)
        assert (found.status, found.names) == (1, ["ORDER-2"]), found.said
    found = take(finops, tmp_path / "m", DECLARED + "<a>&" + "x" * 200_000 + good)
    assert (found.status, found.names) == (1, ["ORDER-2"]), found.said


@pytest.mark.parametrize("encoding", ["EBCDIC-XX", "shift_jis", "idna", "hex", "undefined"])
def test_encoding_that_cannot_be_read_is_reported(
    encoding: str, finops: Finops, tmp_path: Path
) -> None:
    """A codec that XML cannot use refuses its document alone."""
    declared = f"<?xml version='1.0' encoding='{encoding}'?>"
    found = take(finops, tmp_path / "m", declared + sese024(ONE) + DECLARED + sese024(TWO))
    assert (found.status, found.names) == (1, ["ORDER-2"]), found.said


def test_transaction_without_details_is_reported(finops: Finops, tmp_path: Path) -> None:
    """A report may leave the details of a transaction out: it is rejected, not lost."""
    text = semt018(ONE, TWO).replace(transaction_xml(TWO, "Pstng"), "")
    found = take(finops, tmp_path / "m", text)
    assert (found.status, found.names) == (1, ["ORDER-1"])
    assert "22H REDE" in found.said


def paged(given: Instruction, number: int, last: str) -> str:
    page = f"<Pgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></Pgntn>"
    return semt018(given).replace("<StmtGnlDtls>", f"{page}<StmtGnlDtls>")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (mt537_by_status(ONE, page="1/MORE"), mt537_by_status(TWO, page="2/LAST")),
        (paged(ONE, 1, "false"), paged(TWO, 2, "true")),
    ],
)
def test_pages_may_be_in_files_of_their_own(
    first: str, second: str, finops: Finops, tmp_path: Path
) -> None:
    """Pages are followed over all files, in any order; one that is missing is reported."""
    (tmp_path / "other").write_text(second)
    found = take(finops, tmp_path / "m", first, tmp_path / "other")
    assert (found.status, found.names) == (0, BOTH), found.said
    assert "page 2 is missing" in take(finops, tmp_path / "m", first).said
    assert "page 1 is missing" in take(finops, tmp_path / "m", second).said


@pytest.mark.parametrize(
    ("more", "amount"),
    [
        (":36B::PSTT//UNIT/1200,", 1596000),
        (":36B::RSTT//UNIT/3800,", 1596000),
        (":36B::RSTT//UNIT/3800,\n:19A::RSTT//USD1590000,", 1590000),
        (":36B::RSTT//UNIT/3800,\n:19A::RSTT//EUR1590000,", 1596000),
    ],
)
def test_amount_is_that_of_the_open_shares(
    more: str, amount: int, finops: Finops, tmp_path: Path
) -> None:
    """After a part has settled, the market value is the stated rest, else pro rata."""
    text = mt548(ONE).replace(REDE, f"{more}\n{REDE}")
    [record] = take(finops, tmp_path / "m", text).records
    assert (record["qty"], record["market_value"]) == (3800, amount)
    assert record["origin"]["settled_qty"] == "1200"


@pytest.mark.parametrize(("currency", "amount"), [("USD", 1680000), ("EUR", 1680001)])
def test_stated_rest_counts_in_the_currency_of_the_trade(
    currency: str, amount: int, finops: Finops, tmp_path: Path
) -> None:
    """sese.024 states the rest of shares and amount; another currency is not taken for dollars."""
    rest = (
        "<RmngToBeSttldQty><Qty><Unit>4000</Unit></Qty></RmngToBeSttldQty><RmngToBeSttldAmt>"
        f"<Amt Ccy='{currency}'>1680000</Amt></RmngToBeSttldAmt><SttlmDt>"
    )
    text = sese024(ONE.but(amount="2100001,25")).replace("<SttlmDt>", rest)
    [record] = take(finops, tmp_path / "m", text).records
    assert (record["qty"], record["market_value"]) == (4000, amount)


@pytest.mark.parametrize(
    ("content", "cusip"),
    [
        (
            mt548(ONE).replace("ISIN US5949181045\n", "ISIN KYG875721634\n/US/G87572163\n"),
            "G87572163",
        ),
        (
            sese024(ONE).replace(
                "<ISIN>US5949181045</ISIN>",
                "<OthrId><Id>594918104</Id><Tp><Cd>CUSP</Cd></Tp></OthrId>",
            ),
            "594918104",
        ),
    ],
)
def test_cusip_beside_or_instead_of_an_isin_is_read(
    content: str, cusip: str, finops: Finops, tmp_path: Path
) -> None:
    """A local code of the United States is a CUSIP."""
    [record] = take(finops, tmp_path / "m", content).records
    assert record["cusip"] == cusip


def test_party_behind_an_unknown_one_is_an_assumption(finops: Finops, tmp_path: Path) -> None:
    """Where only the client of the agent has a DTC number, the record says so."""
    agent = ":95R::REAG/DTCYID/00000161"
    both = ":95Q::REAG//ACME\n:16S:SETPRTY\n:16R:SETPRTY\n:95R::BUYR/DTCYID/0352"
    [record] = take(finops, tmp_path / "m", mt548(ONE).replace(agent, both)).records
    assert record["counterparty"] == "DTC-0352"
    assert "counterparty" in record["origin"]["assumed"]
    zero = take(finops, tmp_path / "m", mt548(ONE.but(dtc="00000000")))
    assert (zero.status, zero.records) == (1, [])
