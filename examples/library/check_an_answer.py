"""Check an answer from another source, and print each violated rule with the expected value."""

import finops_cli as finops

record = {
    "cusip": "594918104",
    "side": "Sell",
    "qty": 5000,
    "counterparty": "DTC-0005",
    "age_days": 7,
    "market_value": "$2.1M",
    "cns_position": -5000,
    "cns_direction": "FTD",
    "reg_sho_threshold": True,
    "inventory_coverage_pct": 10,
    "cp_fail_rate_pct": 4,
}
answer = {
    "category": "CNS_FAIL",
    "cns_direction": "FTD",
    "lifecycle_state": "ESCALATED",
    "priority_score": 88.2,
    "priority_tier": "CRITICAL",
    "category_priority_override": False,
    "score_components": {
        "age_factor": 60,
        "value_factor": 70,
        "regulatory_factor": 80,
        "cp_history_factor": 60,
        "base_score": 73.5,
        "inventory_modifier": 1.0,
        "concentration_modifier": 1.2,
    },
    "reason": "A threshold security, aged 7 days.",
    "action": "LOCATE_AND_DELIVER",
    "escalation_level": "L3",
    "deadline": "T+6",
    "flags": ["THRESHOLD_SECURITY", "REG_SHO_CLOSEOUT", "HIGH_VALUE"],
}

for finding in finops.check(answer, record):
    print(f"{finding.rule} {finding.path}: expected {finding.expected}, found {finding.actual}")
