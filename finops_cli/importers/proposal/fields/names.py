"""Names of fields that several parts of a proposal decide about."""

SIDE, DIRECTION, POSITION = "side", "cns_direction", "cns_position"
VENUE = "clock_facts.venue"
BOX = "inventory.box_qty"
COVERAGE, CP_RATE, SECURITY_RATE = (
    "inventory_coverage_pct",
    "cp_fail_rate_pct",
    "security_fail_rate_pct_adv",
)
TRADE, SETTLEMENT, AS_OF = (
    "clock_facts.trade_date",
    "clock_facts.settlement_date",
    "clock_facts.as_of",
)
