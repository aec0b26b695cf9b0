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
