# shellcheck shell=bash
# Talking to whoever started the script: everything goes to stderr, a line per step.

say() {
  printf '%s\n' "${SAY_AS:-dev}: $*" >&2
}

fail() {
  say "$*"
  exit 1
}

# fail_with_log FILE MESSAGE: the message, the file's name and its last lines.
fail_with_log() {
  local log=$1
  shift
  say "$*"
  if [[ -s $log ]]; then
    say "the end of $log:"
    tail -n 25 -- "$log" | sed 's/^/    /' >&2
  else
    say "$log is empty"
  fi
  exit 1
}

# Keeps a log that is appended to from growing for ever: one older file stays beside it.
rotate_log() {
  if [[ -f $1 ]] && (($(stat --format=%s -- "$1") > 20000000)); then
    mv -f -- "$1" "$1.old"
  fi
}
