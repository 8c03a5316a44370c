# shellcheck shell=bash
# Docker's own reader of Dockerfiles and that of compose files, without an engine.

CONTAINERS_FILES=$REPO/dev/containers

containers_name() {
  local sum
  sum=$(cat -- "$CONTAINERS_FILES"/{main.go,go.mod,go.sum} | sha256sum)
  printf 'containers-%s' "${sum:0:12}"
}

containers_into() {
  local log=$LOGS/containers.log
  say "building the readers of Dockerfile and docker-compose.yml (log: $log)"
  (cd -- "$CONTAINERS_FILES" && with_go go build -trimpath -o "$1/" .) >"$log" 2>&1 8>&- ||
    fail_with_log "$log" "could not build $CONTAINERS_FILES"
}

# containers_read FILE...: fails where one of them cannot be read. `cached` has to have fetched Go.
containers_read() {
  local name
  name=$(containers_name)
  cached "$name" containers_into
  "$CACHE/$name/containers" "$@"
}
