# `just --list` lists the recipes. Activate the environment of CONTRIBUTING.md first.

default: check test

test:
    pytest -n 2 --dist loadfile

# without the command line, model files and training: about half a minute
test-fast:
    pytest -n 2 --dist loadfile -m "not slow and not cli and not train and not llama"

check:
    ruff check .
    ruff format --check .
    mypy
    mypy -p tools
    lint-imports

# write the pages that are generated from the code and the rules
generate:
    python -m tools.generate_docs

# run the commands of all pages and write their outputs into the pages
fill-pages:
    python -m tools.console_blocks

# build the site in build/site/index.html; needs `pip install -e '.[docs]'`
docs:
    python -m sphinx -W --keep-going -n -E -a -b html docs build/site

# take the pictures of the desk in docs/images; needs `pip install -e '.[serve,browser]'` and chromium
pictures:
    python -m tools.desk_pictures

# the long tests, some hours: 10,000 requests of schemathesis, 20 kills of each kind, 1 GiB masked, 1,000,000 requests, a clock that is set, 10,000 damaged answers
soak:
    FINOPS_SOAK=1 pytest -m slow tests/service/test_contract.py tests/service/test_reliability.py tests/service/endurance tests/service/replicas
    FINOPS_SOAK=1 pytest -m slow tests/service/test_jobs.py tests/desk/test_work_in_chromium.py -k "kill or cancelled"
    FINOPS_SOAK=1 pytest -m slow tests/pipeline/test_mutated_lines.py tests/pipeline/test_resume.py tests/importers tests/ollama/test_create_trial.py
    FINOPS_SOAK=1 pytest -m slow tests/checking tests/models tests/datasets tests/monitoring tests/guard tests/views tests/book/test_parts_are_plans.py

examples:
    bash examples/expect.sh

bench:
    python -m benchmarks.pipeline 7
    python -m benchmarks.growth
    python -m benchmarks.datasets
    python -m benchmarks.book 2
    python -m benchmarks.net 3

# make the bundled models again (docs/tiny-models.md); needs `pip install -e '.[train,export,llama]'` and jq
models: (held-out "triage") (model "triage" "triage-eval.jsonl" "1000") (held-out "resolver") few (model "resolver" "resolver-few.jsonl" "600")

held-out stage:
    finops generate --stage {{ stage }} -n 10000 --seed 990 -o runs/held-out

# select the rows that the tiny resolver is made for: one to three fails to receive
few:
    jq -c 'select(.record | fromjson | .ftrs | length | . >= 1 and . <= 3)' runs/held-out/resolver-eval.jsonl > runs/held-out/resolver-few.jsonl

# run two training phases for a model: phase 2 continues from the quantized model of phase 1
model stage held rows:
    finops train --stage {{ stage }} --preset tiny-cpu --overwrite
    mkdir -p runs/phase-1
    finops quantize --stage {{ stage }} --base runs/{{ stage }}/model --type q8_0 --eval runs/held-out/{{ held }} --rows {{ rows }} --name tiny-{{ stage }} -o runs/phase-1
    cp runs/phase-1/tiny-{{ stage }}-q8_0.gguf training/continue/tiny-{{ stage }}.gguf
    cp runs/phase-1/tiny-{{ stage }}.manifest.json training/continue/
    cp runs/{{ stage }}/run.json training/continue/tiny-{{ stage }}.run.json
    finops train --stage {{ stage }} --preset tiny-cpu --config training/continue/{{ stage }}.yaml -o runs/{{ stage }}-phase-2 --overwrite
    finops quantize --stage {{ stage }} --base runs/{{ stage }}-phase-2/model --type q8_0 --eval runs/held-out/{{ held }} --rows {{ rows }} --name tiny-{{ stage }} -o runs
    cp runs/tiny-{{ stage }}-q8_0.gguf bundled_models/tiny-{{ stage }}.gguf
    cp runs/tiny-{{ stage }}.manifest.json bundled_models/
    cp runs/{{ stage }}-phase-2/run.json bundled_models/tiny-{{ stage }}.run.json

# make the bundled sentiment model again, and measure it beside the classifier that ships
sentiment-model: (held-out "sentiment")
    finops train --stage sentiment --preset tiny-cpu --config training/tiny-sentiment.yaml --overwrite
    finops quantize --stage sentiment --base runs/sentiment/model --type q8_0 --eval runs/held-out/sentiment-eval.jsonl --rows 600 --name tiny-sentiment -o runs
    finops train --stage sentiment --kind calibration --base runs/tiny-sentiment-q8_0.gguf
    cp runs/tiny-sentiment-q8_0.gguf bundled_models/tiny-sentiment.gguf
    cp runs/tiny-sentiment-q8_0.calibration.json bundled_models/tiny-sentiment.calibration.json
    cp runs/tiny-sentiment.manifest.json bundled_models/
    cp runs/sentiment/run.json bundled_models/tiny-sentiment.run.json
    finops evaluate --stage sentiment --backend llama-cpp --sentiment-gguf runs/tiny-sentiment-q8_0.gguf -o runs/sentiment-test --overwrite
    finops evaluate --stage sentiment --backend llama-cpp --sentiment-gguf runs/tiny-sentiment-q8_0.gguf --data examples/sentiment/hand-written.jsonl --learn-from generated -o runs/sentiment-hand --overwrite
