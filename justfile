# `just --list`; each recipe expects the environment of CONTRIBUTING.md to be active

default: check test

test:
    pytest

check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports

examples:
    bash examples/expect.sh

bench:
    python -m benchmarks.pipeline 7
    python -m benchmarks.datasets

# needs `pip install -e '.[train,export,llama]'` and jq; the same seed on a processor makes the same files (docs/tiny-models.md)
models: (held-out "triage") (model "triage" "triage-eval.jsonl" "1000") (held-out "resolver") few (model "resolver" "resolver-few.jsonl" "600")

held-out stage:
    finops generate --stage {{ stage }} -n 10000 --seed 990 -o runs/held-out

# what the tiny resolver is made for: up to three fails to receive
few:
    jq -c 'select(.record | fromjson | .ftrs | length | . >= 1 and . <= 3)' runs/held-out/resolver-eval.jsonl > runs/held-out/resolver-few.jsonl

# two sittings a model: the second one goes on with what the first one made, as it was quantized
model stage held rows:
    finops train --stage {{ stage }} --preset tiny-cpu --overwrite
    mkdir -p runs/first
    finops quantize --stage {{ stage }} --base runs/{{ stage }}/model --type q8_0 --eval runs/held-out/{{ held }} --rows {{ rows }} --name tiny-{{ stage }} -o runs/first
    cp runs/first/tiny-{{ stage }}-q8_0.gguf training/continue/tiny-{{ stage }}.gguf
    cp runs/first/tiny-{{ stage }}.manifest.json training/continue/
    cp runs/{{ stage }}/run.json training/continue/tiny-{{ stage }}.run.json
    finops train --stage {{ stage }} --preset tiny-cpu --config training/continue/{{ stage }}.yaml -o runs/{{ stage }}-second --overwrite
    finops quantize --stage {{ stage }} --base runs/{{ stage }}-second/model --type q8_0 --eval runs/held-out/{{ held }} --rows {{ rows }} --name tiny-{{ stage }} -o runs
    cp runs/tiny-{{ stage }}-q8_0.gguf bundled_models/tiny-{{ stage }}.gguf
    cp runs/tiny-{{ stage }}.manifest.json bundled_models/
    cp runs/{{ stage }}-second/run.json bundled_models/tiny-{{ stage }}.run.json
