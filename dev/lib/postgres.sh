# shellcheck shell=bash
# A real PostgreSQL 17 with TimescaleDB, one cluster per state folder.

TIMESCALEDB_PACKAGE=postgresql-17-timescaledb
POSTGRES_PROGRAMS=/usr/lib/postgresql/17/bin
POSTGRES_HOME=$STATE/postgres
POSTGRES_LOG=$LOGS/postgres.log
POSTGRES_MARK=sensorpipe.state=$STATE
POSTGRES_MOUNT_POINT=/var/lib/postgresql

# The distribution's own server, where it has one.
native_timescaledb() {
  if package_installed "$TIMESCALEDB_PACKAGE"; then
    return
  fi
  if [[ -d $CACHE/$TRIXIE_RELEASE ]] || ! command -v apt-cache >/dev/null; then
    return 1
  fi
  # A fresh container has no package lists at all.
  if ((EUID == 0)) && [[ -z $(find /var/lib/apt/lists -maxdepth 1 -name '*Release' -print -quit) ]]; then
    update_package_lists
  fi
  apt-cache policy "$TIMESCALEDB_PACKAGE" | grep 'Candidate:' | grep -qv '(none)'
}

postgres_root() {
  if native_timescaledb; then
    printf /
  else
    printf '%s' "$CACHE/$TRIXIE_RELEASE/root"
  fi
}

# as_postgres PROGRAM FOLDER ARGUMENT...: becomes `PROGRAM -D FOLDER ARGUMENT...`, FOLDER being one in $POSTGRES_HOME.
# PostgreSQL refuses to run as root. As root $POSTGRES_HOME is therefore mounted where the server's own user
# can reach it, whatever the rights of the path to it.
as_postgres() {
  local program=$POSTGRES_PROGRAMS/$1 folder=$2 root
  shift 2
  root=$(postgres_root)
  if ((EUID == 0)) && unshare --mount true 2>/dev/null; then
    enter "$root" "$POSTGRES_HOME" "$POSTGRES_MOUNT_POINT" \
      --userspec=postgres:postgres "$root" "$program" -D "$POSTGRES_MOUNT_POINT/$folder" "$@"
  fi
  [[ $root == / ]] || fail "postgres: Debian 13 in a folder needs root with the right to mount and to chroot"
  cd -- "$POSTGRES_HOME" || exit
  if ((EUID == 0)); then
    local -a as_user=(setpriv --reuid=postgres --regid=postgres --init-groups)
    "${as_user[@]}" test -w "$POSTGRES_HOME" ||
      fail "postgres: user postgres cannot reach $POSTGRES_HOME: set SENSORPIPE_STATE to a folder that it can"
    exec ${DETACHED:+setsid} "${as_user[@]}" "$program" -D "$POSTGRES_HOME/$folder" "$@"
  fi
  exec ${DETACHED:+setsid} "$program" -D "$POSTGRES_HOME/$folder" "$@"
}

postgres_pid() {
  pids_marked "$POSTGRES_MARK" | head -n 1
}

postgres_query() {
  psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
    "host=127.0.0.1 port=$POSTGRES_PORT user=postgres dbname=postgres sslmode=disable connect_timeout=3"
}

postgres_answers() {
  port_answers "$POSTGRES_PORT" && [[ $(postgres_query <<<'SELECT 1' 2>/dev/null) == 1 ]]
}

# The port that the server of this state was started with: the fourth line of its pid file.
postgres_started_port() {
  sed -n 4p "$POSTGRES_HOME/data/postmaster.pid" 2>/dev/null
}

# Makes the cluster beside its final name, so that a half-made one never looks like data.
postgres_init() {
  say "postgres: making a cluster in $POSTGRES_HOME/data"
  rm -rf --one-file-system -- "$POSTGRES_HOME/data.new"
  (as_postgres initdb data.new --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8) \
    </dev/null >"$LOGS/postgres-init.log" 2>&1 8>&- 9>&- ||
    fail_with_log "$LOGS/postgres-init.log" "postgres: initdb failed"
  echo "include = 'sensorpipe.conf'" >>"$POSTGRES_HOME/data.new/postgresql.conf"
  mv -- "$POSTGRES_HOME/data.new" "$POSTGRES_HOME/data"
}

# Postgres refuses a key that others may read, so it gets copies of its own.
postgres_take_certificates() {
  local file
  for file in ca.pem server.pem server.key; do
    install --mode=600 -- "$TLS_HOME/$file" "$POSTGRES_HOME/data/$file"
    if ((EUID == 0)); then
      chown --reference="$POSTGRES_HOME/data" -- "$POSTGRES_HOME/data/$file"
    fi
  done
}

# A postmaster that was killed leaves its pid file, and maybe backends that hold its shared memory.
postgres_clear_crash() {
  local -a left
  mapfile -t left < <(pids_in "$POSTGRES_HOME/data" postgres)
  if ((${#left[@]} > 0)); then
    say "postgres: ending what a killed server left: ${left[*]}"
    kill -s KILL -- "${left[@]}" 2>/dev/null || true
    ends_within 10 "${left[@]}" || fail "postgres: one of ${left[*]} survives SIGKILL"
  fi
  rm -f -- "$POSTGRES_HOME/data/postmaster.pid"
}

postgres_launch() {
  local pid port
  pid=$(postgres_pid)
  if [[ -n $pid ]] && ! runs_in "$pid" "$POSTGRES_HOME/data"; then
    say "postgres: process $pid has lost its folder"
    postgres_down
  elif [[ -n $pid ]]; then
    port=$(postgres_started_port)
    [[ $port == "$POSTGRES_PORT" ]] ||
      fail "postgres of $STATE runs on port $port, not $POSTGRES_PORT: dev/services down postgres first, or set POSTGRES_PORT=$port"
    [[ -e $POSTGRES_HOME/data/server.pem ]] ||
      fail "postgres of $STATE runs without TLS: dev/services down postgres first"
    return
  fi
  require_free_port "$POSTGRES_PORT" POSTGRES_PORT
  native_timescaledb || cached "$TRIXIE_RELEASE" trixie_fetch_into
  make_logs
  mkdir -p -- "$POSTGRES_HOME"
  if ((EUID == 0)); then
    chown --reference="$(postgres_root)/var/lib/postgresql" -- "$POSTGRES_HOME"
  fi
  if [[ -d $POSTGRES_HOME/data ]]; then
    postgres_clear_crash
  else
    postgres_init
  fi
  cat -- "$REPO/dev/postgres/sensorpipe.conf" >"$POSTGRES_HOME/data/sensorpipe.conf"
  cat -- "$REPO/dev/postgres/pg_hba.conf" >"$POSTGRES_HOME/data/pg_hba.conf"
  postgres_take_certificates
  rotate_log "$POSTGRES_LOG"
  local -a limits=()
  # What a server has that nobody has set up: for tests of what needs more.
  if [[ ${POSTGRES_LIMITS:-} == default ]]; then
    limits=(-c max_connections=100 -c max_locks_per_transaction=64 -c max_worker_processes=8)
  fi
  say "postgres: starting on 127.0.0.1:$POSTGRES_PORT"
  (DETACHED=1 as_postgres postgres data -p "$POSTGRES_PORT" -c "$POSTGRES_MARK" "${limits[@]}") \
    </dev/null >>"$POSTGRES_LOG" 2>&1 8>&- 9>&- &
  POSTGRES_CHILD=$!
}

postgres_await() {
  local deadline=$((SECONDS + 120))
  until postgres_answers; do
    if [[ -n ${POSTGRES_CHILD:-} ]] && ! alive "$POSTGRES_CHILD"; then
      fail_with_log "$POSTGRES_LOG" "postgres: ended while starting"
    fi
    ((SECONDS < deadline)) || fail_with_log "$POSTGRES_LOG" "postgres: no answer within 120 s"
    sleep 0.2
  done
  if [[ ! -e $POSTGRES_HOME/prepared ]]; then
    say "postgres: making the role and the database sensorpipe"
    postgres_query <"$REPO/dev/postgres/init.sql" >"$LOGS/postgres-init.log" 2>&1 ||
      fail_with_log "$LOGS/postgres-init.log" "postgres: dev/postgres/init.sql failed"
    touch -- "$POSTGRES_HOME/prepared"
  fi
  say "postgres: answers on 127.0.0.1:$POSTGRES_PORT"
}

postgres_down() {
  local pid
  local -a all
  pid=$(postgres_pid)
  if [[ -z $pid ]]; then
    say "postgres: not running"
    postgres_clear_crash
    return
  fi
  say "postgres: stopping process $pid"
  mapfile -t all < <(pids_in "$POSTGRES_HOME/data" postgres)
  # A frozen backend would hold up the shutdown.
  kill -s CONT -- "$pid" "${all[@]}" 2>/dev/null || true
  stop_within 30 INT "$pid"
}

postgres_kill() {
  local pid
  local -a all
  pid=$(postgres_pid)
  if [[ -z $pid ]]; then
    say "postgres: not running"
    return 1
  fi
  mapfile -t all < <(pids_in "$POSTGRES_HOME/data" postgres)
  say "postgres: killing process $pid and its backends"
  kill -s KILL -- "$pid" "${all[@]}" 2>/dev/null || true
  ends_within 10 "$pid" "${all[@]}" || fail "postgres: a process survives SIGKILL"
}
