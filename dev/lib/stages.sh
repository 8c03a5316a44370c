# shellcheck shell=bash
# Long steps of a script: each says its name, how long it took, and ends with the script.

STAGE_PID=

# interruptible COMMAND...: runs it in the background and waits, so that a signal to the script is heard at once
# and `stop_stage` can end the command with everything that it started.
interruptible() {
  local status=0
  setsid "$@" &
  STAGE_PID=$!
  wait "$STAGE_PID" || status=$?
  STAGE_PID=
  return "$status"
}

# As dev/test builds it: by itself the binary would be built with other features of its dependencies, all anew.
build_as_tested() {
  interruptible cargo test --quiet --workspace --locked --no-run
}

stop_stage() {
  if [[ -n $STAGE_PID ]]; then
    kill -s TERM -- "-$STAGE_PID" 2>/dev/null || true
    ends_within 15 "$STAGE_PID" || kill -s KILL -- "-$STAGE_PID" 2>/dev/null || true
    STAGE_PID=
  fi
}

# stage NAME COMMAND...
stage() {
  local name=$1 started=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  if ((status == 0)); then
    say "$name: $((SECONDS - started)) s"
  else
    say "$name: FAILED after $((SECONDS - started)) s"
  fi
  return "$status"
}

export_services_env() {
  local line
  while IFS= read -r line; do
    export "${line?}"
  done < <("$REPO/dev/services" env)
}
