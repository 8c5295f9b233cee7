# Sourced by benches that measure beside others, from the checkout: an environment of the peers' own, so that ours and the
# tests' stay lean.
peers=build/bench-peers
wanted=$(cksum <requirements-bench.txt)
if [ "$(cat "$peers/.installed" 2>/dev/null)" != "$wanted" ]; then
    printf 'installing requirements-bench.txt into %s\n' "$peers" >&2
    .venv/bin/python -m venv --clear "$peers"
    "$peers/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-bench.txt >&2
    printf '%s\n' "$wanted" >"$peers/.installed"
fi
