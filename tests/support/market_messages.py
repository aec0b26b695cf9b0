"""Market messages built from the published field formats; no real one is public."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Instruction:
    """An instruction that a message gives a status of."""

    reference: str = "ORDER-1"
    isin: str = "US5949181045"
    quantity: int = 5000
    amount: str = "2100000,"
    movement: str = "DELI"
    dtc: str = "00000161"
    trade: str = "20261112"
    settlement: str = "20261113"
    status: str = "SETT//PENF"
    reason: str = "PENF//LACK"
    narrative: str = "POSITION SHORT"

    def but(self, **changes: object) -> Instruction:
        """Return it with other facts."""
        return replace(self, **changes)  # type: ignore[arg-type]


def wrap(type: str, *lines: str) -> str:
    """Put lines into block 4 of a message."""
    text = "\n".join(line for line in lines if line)
    head = "{1:F01EXAMUS33AXXX0000000000}{2:O%s0900261118CUSTUS33AXXX00000000002611180900N}"
    return f"{head % type}{{4:\n{text}\n-}}"


def reasons_of(given: Instruction) -> tuple[str, ...]:
    return (
        ":16R:REAS",
        f":24B::{given.reason}",
        f":70D::REAS//{given.narrative}" if given.narrative else "",
        ":16S:REAS",
    )


def details_of(given: Instruction, posted: str = "SETT") -> tuple[str, ...]:
    role = "REAG" if given.movement == "DELI" else "DEAG"
    return (
        f":35B:ISIN {given.isin}",
        "A SECURITY",
        f":36B::{posted}//UNIT/{given.quantity},",
        f":19A::{posted}//USD{given.amount}" if given.amount else "",
        f":22H::REDE//{given.movement}",
        ":22H::PAYM//APMT",
        f":98A::TRAD//{given.trade}",
        f":98A::SETT//{given.settlement}",
        ":16R:SETPRTY",
        f":95R::{role}/DTCYID/{given.dtc}",
        ":16S:SETPRTY",
    )


def mt548(given: Instruction, function: str = "INST", seme: str = "S1", *links: str) -> str:
    """The status of one instruction."""
    return wrap(
        "548",
        ":16R:GENL",
        f":20C::SEME//{seme}",
        f":23G:{function}",
        ":98A::PREP//20261118",
        *(line for link in links for line in (":16R:LINK", link, ":16S:LINK")),
        ":16R:LINK",
        f":20C::RELA//{given.reference}",
        ":16S:LINK",
        ":16R:STAT",
        f":25D::{given.status}",
        *reasons_of(given),
        ":16S:STAT",
        ":16S:GENL",
        ":16R:SETTRAN",
        *details_of(given),
        ":16S:SETTRAN",
    )


def statement_head(page: str, shape: str) -> tuple[str, ...]:
    return (
        ":16R:GENL",
        f":28E:{page}",
        ":20C::SEME//P1",
        ":23G:NEWM",
        ":98A::STAT//20261118",
        f":22F::STST//{shape}",
        ":97A::SAFE//000111222",
        ":17B::ACTI//Y",
        ":16S:GENL",
    )


def link_of(given: Instruction) -> tuple[str, ...]:
    return (":16R:LINK", f":20C::RELA//{given.reference}", ":16S:LINK")


def mt537_by_status(*given: Instruction, page: str = "1/ONLY") -> str:
    """A statement by status: the transactions stand inside the status."""
    parts: list[str] = []
    for each in given:
        parts += [":16R:STAT", f":25D::{each.status}", *reasons_of(each), ":16R:TRAN"]
        parts += [*link_of(each), ":16R:TRANSDET", *details_of(each, "PSTA"), ":16S:TRANSDET"]
        parts += [":16S:TRAN", ":16S:STAT"]
    return wrap("537", *statement_head(page, "STAT"), *parts)


def mt537_by_transaction(*given: Instruction, page: str = "1/ONLY") -> str:
    """A statement by transaction: the statuses stand inside the transaction."""
    parts: list[str] = []
    for each in given:
        parts += [":16R:TRANS", *link_of(each), ":16R:TRANSDET", *details_of(each, "PSTA")]
        parts += [":16S:TRANSDET", ":16R:STAT", f":25D::{each.status}", *reasons_of(each)]
        parts += [":16S:STAT", ":16S:TRANS"]
    return wrap("537", *statement_head(page, "TRAN"), *parts)


def mt537_of_penalties() -> str:
    """A statement of penalties: it names transactions that have long settled."""
    inner = Instruction(reference="PENALTY")
    return wrap(
        "537",
        *statement_head("1/ONLY", "PENA"),
        ":16R:PENA",
        ":16R:PENACUR",
        ":16R:PENACOUNT",
        ":16R:PENDET",
        ":20C::PCOM//1",
        ":16R:RELTRAN",
        *link_of(inner),
        ":16R:TRAN",
        *details_of(inner),
        ":16R:STAT",
        ":25D::SETT//PENF",
        ":16S:STAT",
        ":16S:TRAN",
        ":16S:RELTRAN",
        ":16S:PENDET",
        ":16S:PENACOUNT",
        ":16S:PENACUR",
        ":16S:PENA",
    )


def _iso(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def transaction_xml(given: Instruction, posted: str = "Sttlm") -> str:
    """The element TxDtls of an instruction."""
    side = "RcvgSttlmPties" if given.movement == "DELI" else "DlvrgSttlmPties"
    return f"""<TxDtls>
      <FinInstrmId><ISIN>{given.isin}</ISIN></FinInstrmId>
      <{posted}Qty><Qty><Unit>{given.quantity}</Unit></Qty></{posted}Qty>
      <{posted}Amt><Amt Ccy="USD">{given.amount.replace(",", ".").rstrip(".")}</Amt></{posted}Amt>
      <SttlmDt><Dt><Dt>{_iso(given.settlement)}</Dt></Dt></SttlmDt>
      <TradDt><Dt>{_iso(given.trade)}</Dt></TradDt>
      <SctiesMvmntTp>{given.movement}</SctiesMvmntTp>
      <{side}><Pty1><Id><PrtryId><Id>{given.dtc}</Id><Issr>DTCYID</Issr></PrtryId></Id></Pty1>
      </{side}></TxDtls>"""


def status_xml(given: Instruction) -> str:
    name = {"PENF": "Flng", "PEND": "Pdg"}[given.status[-4:]]
    code = given.reason[-4:]
    return (
        f"<SttlmSts><{name}><Rsn><Cd><Cd>{code}</Cd></Cd>"
        f"<AddtlRsnInf>{given.narrative}</AddtlRsnInf></Rsn></{name}></SttlmSts>"
    )


def sese024(given: Instruction, version: str = "11", root: str = "") -> str:
    """The status of one instruction in XML; `root` wraps the document."""
    document = f"""<Document xmlns="urn:iso:std:iso:20022:tech:xsd:sese.024.001.{version}">
    <SctiesSttlmTxStsAdvc><TxId><AcctOwnrTxId>{given.reference}</AcctOwnrTxId></TxId>
    {status_xml(given)}{transaction_xml(given)}</SctiesSttlmTxStsAdvc></Document>"""
    header = '<AppHdr xmlns="urn:h"><CreDt>2026-11-18T09:00:00Z</CreDt></AppHdr>'
    return f"<{root}>{header}{document}</{root}>" if root else document


def semt018(*given: Instruction, version: str = "11", is_by_status: bool = True) -> str:
    """A report of pending transactions, by status or by transaction."""
    parts = []
    for each in given:
        reference = f"<AcctOwnrTxId>{each.reference}</AcctOwnrTxId>"
        details, status = (
            transaction_xml(each, "Pstng"),
            f"<StsAndRsn>{status_xml(each)}</StsAndRsn>",
        )
        parts.append(
            f"<Sts>{status}<Tx>{reference}{details}</Tx></Sts>"
            if is_by_status
            else f"<Txs>{reference}{details}{status}</Txs>"
        )
    return f"""<?xml version="1.0"?>
    <Document xmlns="urn:iso:std:iso:20022:tech:xsd:semt.018.001.{version}"><SctiesTxPdgRpt>
    <StmtGnlDtls><StmtDtTm><Dt>2026-11-18</Dt></StmtDtTm></StmtGnlDtls>
    {"".join(parts)}</SctiesTxPdgRpt></Document>"""
