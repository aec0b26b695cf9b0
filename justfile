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

# needs `pip install -e '.[train,export,llama]'`; the same seed on a processor makes the same files (models/README.md)
models:
    just model triage
    just model resolver

model stage:
    finops generate --stage {{ stage }} -n 2000 --seed 990 -o build/models
    finops train --stage {{ stage }} --preset tiny-cpu -o build/models/{{ stage }}
    finops quantize --stage {{ stage }} --base build/models/{{ stage }}/model --kind q8_0 --eval build/models/{{ stage }}-eval.jsonl -o build/models --name tiny-{{ stage }}
    mv build/models/tiny-{{ stage }}-q8_0.gguf models/tiny-{{ stage }}.gguf
    mv build/models/tiny-{{ stage }}.manifest.json models/
