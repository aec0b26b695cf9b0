#!/usr/bin/env bash
# Writes the expected output of each example again. It leaves out the provenance (version of the rules,
# latency), which differs between checkouts.
set -euo pipefail
cd "$(dirname "$0")"
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

expect() { # COMMAND EXAMPLE [OPTION...]
    local status=0
    finops "$1" "$2" --quiet "${@:3}" > "$printed" || status=$?
    if [ "$status" -gt 1 ]; then exit "$status"; fi # 1 is expected when records are rejected
    jq -c 'del(.provenance)' "$printed" > "${2%.jsonl}.expected.jsonl"
}

for blotter in monday gridlock corporate-action back-to-back damaged cards/fails sec-fails/fails csv/fails csv/dated csv/european csv/broker; do
    expect run "$blotter.jsonl"
done
expect book book/fails.jsonl --inventory book/inventory.jsonl
expect net net/legs.jsonl --balances net/balances.jsonl
expect net net/deadlock.jsonl
expect net net/own.jsonl --own DTC-0999
expect resolve cards/cases.jsonl
expect check cards/published.jsonl
expect clock clock/fails.jsonl --as-of 2026-11-18T08:30
expect clock clock/worked.jsonl
expect sentiment sentiment/texts.jsonl --backend baseline
