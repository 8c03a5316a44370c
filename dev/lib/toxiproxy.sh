# shellcheck shell=bash
# toxiproxy, a TCP proxy that spoils connections on demand, built from its source in the Go module proxy.

TOXIPROXY_RELEASE=toxiproxy-2.7.0

need_toxiproxy_packages() {
  [[ -d $CACHE/$TOXIPROXY_RELEASE ]] || need_go_packages
}

toxiproxy_fetch_into() {
  say "building $TOXIPROXY_RELEASE"
  make_logs
  # Outside of any module, and static: libraries of the machine may change.
  (
    cd -- "$1"
    with_go env GOBIN="$1" GOFLAGS=-mod=mod go install \
      "github.com/Shopify/toxiproxy/v2/cmd/server@v${TOXIPROXY_RELEASE#toxiproxy-}"
  ) >"$LOGS/toxiproxy-build.log" 2>&1 </dev/null 8>&- ||
    fail_with_log "$LOGS/toxiproxy-build.log" "$TOXIPROXY_RELEASE could not be built"
  mv -- "$1/server" "$1/toxiproxy-server"
}
