#!/usr/bin/env bash
# Writes each example's expected output anew. Provenance (rules version, latency) is left out: it differs from checkout to checkout.
set -euo pipefail
cd "$(dirname "$0")"

expect() { # COMMAND EXAMPLE
    local status=0
    finops "$1" "$2" --quiet > /tmp/finops-example.jsonl || status=$?
    if [ "$status" -gt 1 ]; then exit "$status"; fi # 1 is expected where records are rejected
    jq -c 'del(.provenance)' /tmp/finops-example.jsonl > "${2%.jsonl}.expected.jsonl"
}

for blotter in monday gridlock corporate-action back-to-back damaged cards/fails sec-fails/fails csv/fails; do
    expect run "$blotter.jsonl"
done
expect resolve cards/cases.jsonl
expect check cards/published.jsonl
