# shellcheck shell=bash
# One writer at a time: on the state folder (file descriptor 9) and on each cached thing (file descriptor 8).
# Servers are started with both closed, or they would hold the locks for as long as they live.

# Waits for the state folder and holds it until the script ends.
lock_state() {
  while true; do
    mkdir -p -- "$STATE"
    exec 9>>"$STATE/lock" || fail "cannot write to $STATE"
    if ! flock --nonblock 9; then
      say "another dev/services works on $STATE: waiting for it"
      flock 9
    fi
    # `clean` may have removed the folder while this one waited.
    if [[ $STATE/lock -ef /proc/self/fd/9 ]]; then
      return
    fi
  done
}

# cached NAME BUILD: calls `BUILD FOLDER` unless the cache has NAME. What an interrupted build left is
# thrown away; only a complete folder gets the final name.
cached() {
  local name=$1 build=$2
  local folder=$CACHE/$name
  if [[ -d $folder ]]; then
    return
  fi
  mkdir -p -- "$CACHE"
  exec 8>>"$CACHE/$name.lock" || fail "cannot write to $CACHE"
  if ! flock --nonblock 8; then
    say "another checkout is fetching $name: waiting for it"
    flock 8
  fi
  if [[ ! -d $folder ]]; then
    rm -rf --one-file-system -- "$folder.partial"
    mkdir -- "$folder.partial"
    "$build" "$folder.partial"
    mv -- "$folder.partial" "$folder"
  fi
  exec 8>&-
}
