# The same lines as .ci/run, one by one.

# Everything
ci:
    .ci/run

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# All tests
test:
    cargo test --workspace

# The real binary, end to end
smoke:
    cargo build --release
    scripts/smoke.sh

# The kernels on every instruction set, and under AddressSanitizer
kernels:
    scripts/check-simd.sh
    scripts/check-unsafe.sh

# The memory that training takes
memory:
    cargo build --release
    scripts/check-memory.sh

# Fuzz every reader for a minute
fuzz:
    fuzz/run.sh

# Kill a run 1,000 times instead of 20
kill:
    BETAVAE_KILLS=1000 cargo test --workspace --test resume killed -- --nocapture

# API documentation
doc:
    cargo doc --workspace --no-deps --open

# Rewrite the oracle's fixtures in a throw-away Python environment
golden:
    cd golden && python3 -m venv /tmp/betavae-golden && /tmp/betavae-golden/bin/pip install -r requirements.txt && /tmp/betavae-golden/bin/python -B generate.py && sha256sum -c SHA256SUMS
