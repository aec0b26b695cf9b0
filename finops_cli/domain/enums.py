"""Closed word lists of the field.

`kb/vocabulary.toml` explains each word; a test keeps the two equal.
"""

from __future__ import annotations

from typing import Literal

Category = Literal["CNS_FAIL", "DVP_FAIL", "B2B_PENDING", "CA_EVENT", "DK_DISPUTE"]
Direction = Literal["FTD", "FTR", "N_A"]
Side = Literal["Buy", "Sell"]
RegShoStatus = Literal["NONE", "APPROACHING", "THRESHOLD", "CLOSE_OUT"]
Tier = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
EscalationLevel = Literal["NONE", "L1", "L2", "L3", "L4"]
LifecycleState = Literal["OPEN", "ESCALATED", "BUYIN", "OFFSET"]
Action = Literal[
    "LOCATE_AND_DELIVER",
    "SEND_DK_NOTICE",
    "MONITOR_PENDING_RECEIPT",
    "ESCALATE",
    "CONTACT_COUNTERPARTY",
    "INITIATE_BUYIN",
    "NO_ACTION",
]
Flag = Literal["THRESHOLD_SECURITY", "REG_SHO_CLOSEOUT", "PROBLEM_CP", "HIGH_VALUE", "AGED_FAIL"]

HandoffLifecycleState = Literal["NEW", "OPEN", "ESCALATED", "AGED"]
HandoffEscalationLevel = Literal["L1", "L2", "L3"]
HandoffFlag = Literal[
    "THRESHOLD_SECURITY",
    "HIGH_VALUE",
    "REG_SHO_CLOSE_OUT",
    "AGED_FAIL",
    "LARGE_POSITION",
    "ILLIQUID",
]
SettlementType = Literal["RVP", "DVP", "FOP"]
RelatedCategory = Literal[
    "DVP_FAIL", "CNS_FAIL", "DEPOT_FAIL", "B2B_PENDING", "CA_EVENT", "DK_DISPUTE"
]
StepAction = Literal[
    "CHASE_FTR",
    "OFFSET_FTR",
    "APPLY_BOX",
    "INITIATE_RECALL",
    "SOURCE_BORROW",
    "PARTIAL_DELIVER",
    "DEPOT_MOVEMENT",
    "NET_GRIDLOCK",
    "BUY_IN_NOTICE",
    "SPO_SETTLEMENT",
    "ESCALATE",
]
Fallback = Literal["INITIATE_RECALL", "SOURCE_BORROW", "NONE"]
ResidualAction = Literal["ESCALATE", "NONE"]
Status = Literal["ok", "repaired", "fallback", "rejected", "failed"]
GuardMode = Literal["require", "on", "off"]
OnViolation = Literal["repair", "retry", "fallback", "reject"]
ProsePolicy = Literal["strict", "keep"]
