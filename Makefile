# make demo    build and run the demo: simulated loops, first alert, score table
# make test    everything the tests need, then the tests
# make bench   the city job over a real Kafka broker, stage by stage, beside raw librdkafka; writes target/bench.json
# make bench-peers   the city job beside Flink and Kafka Streams; needs ARTERIAL_PEERS and Maven; likewise
# make bench-state   what commits and restores of the state cost, for 5,000 and 100,000 sensors; likewise
# make bench-latency   how soon forecasts are seen at 50,000 readings per second; as bench-peers
# make bench-sensors   1,000,000 sensors beside 1,000; likewise, and 10 GB of disk
# make bench-backfill   all of Aarhus as history: time, and memory of half and of all of it; needs ARTERIAL_DATA; likewise
# make bench-river   linear models beside River's (Python), samples per second and MAE; needs ARTERIAL_DATA, Python 3 and, once, the network; likewise
# make accuracy    forecasts on real data beside their references; needs ARTERIAL_DATA; writes target/accuracy.json
# make plots       alerts and forecasts of the shipped pipelines beside the real data; needs ARTERIAL_DATA; writes target/plots
# make kill-nine   all of Aarhus, exactly once, while its processes are killed; needs ARTERIAL_DATA
# make docs    the documentation as a site, in target/book
# make check   lint and test: what CI runs, all of it without the network once the tools and crates are there
# make audit   known vulnerabilities of the dependencies; needs the network, so `make check` leaves it out
#
# ARTERIAL_TEST_KAFKA=host:port   test and bench use that broker: neither Java nor Maven is needed, nothing is fetched
.PHONY: demo test bench bench-peers bench-state bench-latency bench-sensors bench-backfill bench-river accuracy plots kill-nine docs lint check audit
.DEFAULT_GOAL := check

DENY_VERSION := 0.20.2
MDBOOK_VERSION := 0.5.4
CARGO := cargo
BROKER_JARS := @scripts/kafka.sh jars >/dev/null
ifdef ARTERIAL_TEST_KAFKA
SHARED_BROKER_JARS :=
else
SHARED_BROKER_JARS := $(BROKER_JARS)
endif

demo:
	@scripts/apt.sh
	$(CARGO) build --locked --bin arterial
	$$(scripts/binary.sh) run --until latest pipelines/congestion-simulated.yaml

test:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) test --locked --workspace

bench:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) bench --locked --bench city_job

bench-peers:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) bench --locked --bench city_job -- peers

bench-state:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) bench --locked --bench city_job -- state

bench-latency:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) bench --locked --bench city_job -- latency

bench-sensors:
	@scripts/apt.sh
	$(SHARED_BROKER_JARS)
	$(CARGO) bench --locked --bench city_job -- sensors

bench-backfill:
	@scripts/apt.sh
	$(CARGO) bench --locked --bench backfill

# The environment is made once for each list of packages: the list in it says for which. A half made one is not left behind.
bench-river:
	@scripts/apt.sh
	@cmp -s benches/river/requirements.txt target/river/requirements.txt || { \
		rm -rf target/river && mkdir -p target && python3 -m venv target/river \
			&& target/river/bin/pip install --quiet --disable-pip-version-check -r benches/river/requirements.txt \
			&& cp benches/river/requirements.txt target/river/; \
	} || { rm -rf target/river; echo "bench-river is skipped: it needs python3 with venv and, once, the network" >&2; }
	@test ! -f target/river/requirements.txt || $(CARGO) bench --locked --bench river

accuracy:
	@scripts/apt.sh
	$(CARGO) bench --locked --bench accuracy

plots:
	@scripts/apt.sh
	$(CARGO) bench --locked --bench plots

kill-nine:
	@scripts/apt.sh
	$(BROKER_JARS)
	$(CARGO) bench --locked --bench kill_nine

docs:
	@mdbook --version 2>/dev/null | grep -q "$(MDBOOK_VERSION)" || $(CARGO) install --quiet --locked --no-default-features --features search mdbook@$(MDBOOK_VERSION)
	@mdbook build docs
	@echo "the documentation is in target/book/index.html"

lint:
	@scripts/apt.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --no-default-features --lib -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(CARGO) package --workspace --no-verify --locked --offline --allow-dirty --quiet 2>/dev/null || $(CARGO) package --workspace --no-verify --locked --offline --allow-dirty
	@cargo deny --version 2>/dev/null | grep -q "$(DENY_VERSION)" || $(CARGO) install --quiet --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny check bans licenses sources

# Fetches the advisory database.
audit:
	$(CARGO) deny check advisories

check: lint test
