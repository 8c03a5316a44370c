# shellcheck shell=bash
# cargo-deny, built once and kept in the cache: no registry has a binary of it that reads today's Cargo.lock.

CARGO_DENY_VERSION=0.20.2

# Without optimisation it builds in a third of the time, and looks through this workspace in seconds all the same.
cargo_deny_fetch_into() {
  say "building cargo-deny $CARGO_DENY_VERSION (a minute or two; log: $LOGS/cargo-deny.log)"
  make_logs
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$1/target cargo install cargo-deny --version "=$CARGO_DENY_VERSION" \
    --locked --debug --root "$1" >"$LOGS/cargo-deny.log" 2>&1 </dev/null 8>&- ||
    fail_with_log "$LOGS/cargo-deny.log" "cargo-deny could not be built"
  rm -rf --one-file-system -- "$1/target"
}

cargo_deny() {
  (cached "cargo-deny-$CARGO_DENY_VERSION" cargo_deny_fetch_into) || return
  interruptible "$CACHE/cargo-deny-$CARGO_DENY_VERSION/bin/cargo-deny" --log-level error check \
    bans licenses sources --hide-inclusion-graph
}
