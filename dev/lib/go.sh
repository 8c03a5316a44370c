# shellcheck shell=bash
# Go programs of others, built by one pinned Go that comes from the module proxy, whatever Go fetched it: Debian 12's
# is too old for them.

GO_RELEASE=1.25.4

go_toolchain() {
  printf '%s' "$CACHE/go-$GO_RELEASE"
}

need_go_packages() {
  need_tool jq jq
  [[ -d $(go_toolchain) ]] || need_tool go golang-go
}

# The proxy's archive is checked against Go's checksum database, as any module is.
go_fetch_into() {
  local module found
  module=golang.org/toolchain@v0.0.1-go$GO_RELEASE.linux-$(dpkg --print-architecture)
  say "fetching Go $GO_RELEASE"
  make_logs
  found=$(cd / && GOMODCACHE=$1/modules GOFLAGS=-modcacherw go mod download -json "$module" 2>"$LOGS/go-fetch.log") ||
    fail_with_log "$LOGS/go-fetch.log" "could not fetch $module"
  mv -- "$(jq --raw-output .Dir <<<"$found")" "$1/root"
  rm -rf -- "$1/modules"
  # Modules have no executable files.
  chmod -R u+w,a+rX -- "$1/root"
  chmod a+x "$1"/root/bin/* "$1"/root/pkg/tool/*/*
}

# with_go COMMAND...: with the pinned Go first in PATH; `cached` has to have fetched it.
with_go() {
  env -u GOROOT GOTOOLCHAIN=local CGO_ENABLED=0 PATH="$(go_toolchain)/root/bin:$PATH" "$@"
}

# go_module MODULE@VERSION: prints the folder with the module's files.
go_module() {
  local found log=$LOGS/go-module.log
  found=$(cd / && with_go go mod download -json "$1" 2>"$log") || fail_with_log "$log" "could not fetch $1"
  jq --raw-output .Dir <<<"$found"
}
