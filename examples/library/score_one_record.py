"""Score one fail and print the plan for it."""

import finops_cli as finops

record = {
    "cusip": "594918104",
    "side": "Sell",
    "qty": 32000,
    "counterparty": "DTC-0005",
    "age_days": 7,
    "market_value": "$2.1M",
    "cns_position": -32000,
    "cns_direction": "FTD",
    "reg_sho_threshold": True,
    "inventory_coverage_pct": 25,
    "cp_fail_rate_pct": 4,
    "inventory": {
        "box_qty": 8000,
        "stock_loan_available": 3000,
        "recall_outstanding": 5000,
        "pending_receives": 0,
    },
}

result = finops.run_record(record)
print(result.triage.priority_score, result.triage.priority_tier, result.triage.action)
if isinstance(result.resolution, finops.NotApplicable):
    print("no plan:", result.resolution.reason)
else:
    for step in result.resolution.resolution_steps:
        print(step.step, step.action, step.qty, f"{step.coverage_after_step_pct}%")
