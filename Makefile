# make demo    build and run the demo: simulated loops, first alert, score table
# make test    everything the tests need, then the tests
# make bench   the city job over a real Kafka broker, stage by stage, beside raw librdkafka; writes target/bench.json
# make kill-nine   all of Aarhus, exactly once, while its processes are killed; needs ARTERIAL_DATA
# make check   lint and test: what CI runs
.PHONY: demo test bench kill-nine lint check audit
.DEFAULT_GOAL := check

DENY_VERSION := 0.20.2
CARGO := cargo

demo:
	@scripts/apt.sh
	$(CARGO) build --quiet --locked --bin arterial
	$$(scripts/binary.sh) run --until latest pipelines/congestion-simulated.yaml

test:
	@scripts/apt.sh
	@scripts/kafka.sh jars >/dev/null
	$(CARGO) test --locked --workspace

bench:
	@scripts/apt.sh
	@scripts/kafka.sh jars >/dev/null
	$(CARGO) bench --locked --bench city_job

kill-nine:
	@scripts/apt.sh
	@scripts/kafka.sh jars >/dev/null
	$(CARGO) bench --locked --bench kill_nine

lint:
	@scripts/apt.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --no-default-features --lib -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	@cargo deny --version 2>/dev/null | grep -q "$(DENY_VERSION)" || $(CARGO) install --quiet --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny check bans licenses sources

# Needs the network: fetches the advisory database.
audit:
	$(CARGO) deny check advisories

check: lint test
