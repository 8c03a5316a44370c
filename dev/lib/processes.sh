# shellcheck shell=bash
# Which processes are ours, and how they end. A server carries `sensorpipe.state=<state folder>` on its command
# line, so neither a stale pid file nor a pid used again can point at somebody else's process.

# pids_marked MARK: the processes with exactly this argument.
pids_marked() {
  local file
  # The pattern comes from a file: on grep's own command line it would match grep itself.
  { grep -lzxF -f <(printf '%s\n' "$1") /proc/[0-9]*/cmdline 2>/dev/null || true; } |
    while IFS=/ read -r _ _ file _; do
      printf '%s\n' "$file"
    done
}

# runs_in PID FOLDER: whether this is the process's current directory, in whatever mount namespace.
runs_in() {
  [[ /proc/$1/cwd -ef $2 ]]
}

# pids_in FOLDER NAME: the processes called NAME that run in FOLDER.
pids_in() {
  local cwd pid name
  for cwd in /proc/[0-9]*/cwd; do
    pid=${cwd#/proc/}
    pid=${pid%/cwd}
    if runs_in "$pid" "$1" && read -r name 2>/dev/null <"/proc/$pid/comm" && [[ $name == "$2" ]]; then
      printf '%s\n' "$pid"
    fi
  done
}

# Zombies have ended, whatever kill -0 says; but not while they have threads, which keep ports and files open.
alive() {
  local stat
  local -a threads
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  stat=${stat##*) }
  threads=("/proc/$1/task/"*)
  [[ $stat != [ZX]* ]] || ((${#threads[@]} > 1))
}

# ends_within SECONDS PID...
ends_within() {
  local deadline=$((SECONDS + $1)) pid
  shift
  for pid in "$@"; do
    while alive "$pid"; do
      if ((SECONDS > deadline)); then
        return 1
      fi
      sleep 0.1
    done
  done
}

# stop_within SECONDS SIGNAL PID: asks, waits, then kills. SIGCONT because a frozen process hears nothing else.
stop_within() {
  local seconds=$1 signal=$2 pid=$3
  kill -s "$signal" -- "$pid" 2>/dev/null || return 0
  kill -s CONT -- "$pid" 2>/dev/null || true
  if ! ends_within "$seconds" "$pid"; then
    say "process $pid did not end within $seconds s: killing it"
    kill -s KILL -- "$pid" 2>/dev/null || true
    ends_within 10 "$pid" || fail "process $pid survives SIGKILL"
  fi
}

port_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Who listens on a port, as far as this user may know: "java (pid 123)".
port_holder() {
  local line
  line=$(ss -Hltnp "sport = :$1" 2>/dev/null | grep -o '(("[^"]*",pid=[0-9]*' | head -n 1) || true
  if [[ $line =~ \"(.*)\",pid=([0-9]+) ]]; then
    printf '%s (pid %s)' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  else
    printf 'another process'
  fi
}

# require_free_port PORT VARIABLE
require_free_port() {
  if port_answers "$1"; then
    fail "port $1 on 127.0.0.1 is taken by $(port_holder "$1"), which is not ours: stop it or set $2"
  fi
}
