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
    python benchmarks/desk.py 7
    python benchmarks/foundry.py

# needs `pip install -e '.[train,export,llama]'`; the same seed on a processor makes the same files (docs/tiny-models.md)
models: (model "triage" "1000") (model "resolver" "300")

model stage rows:
    finops generate --stage {{ stage }} -n 10000 --seed 990 -o runs/held-out
    finops train --stage {{ stage }} --preset tiny-cpu --overwrite
    finops quantize --stage {{ stage }} --base runs/{{ stage }}/model --kind q8_0 --eval runs/held-out/{{ stage }}-eval.jsonl --rows {{ rows }} --name tiny-{{ stage }} -o runs
    cp runs/tiny-{{ stage }}-q8_0.gguf models/tiny-{{ stage }}.gguf
    cp runs/tiny-{{ stage }}.manifest.json runs/{{ stage }}/run.json models/
    mv models/run.json models/tiny-{{ stage }}.run.json
