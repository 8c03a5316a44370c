# shellcheck shell=bash
# Two PostgreSQL servers, one of them a standby that streams from the other. Either can be the primary: 1 is at first.
# Needs postgres.sh, whose programs and settings they use.

REPLICATION_HOME=$STATE/replication
REPLICATION_NODES=(1 2)
# Where `as_postgres` finds their folders.
POSTGRES_HOME=$REPLICATION_HOME

# replica_port NODE
replica_port() {
  printf '%s' "${REPLICATION_PORTS_HERE[$(($1 - 1))]}"
}

replica_mark() {
  printf 'sensorpipe.state=%s/%s' "$REPLICATION_HOME" "$1"
}

replica_pid() {
  pids_marked "$(replica_mark "$1")" | head -n 1
}

# The postmaster and its backends.
replica_pids() {
  replica_pid "$1"
  pids_in "$REPLICATION_HOME/$1" postgres
}

# replica_query NODE: runs what it reads as the superuser.
replica_query() {
  psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$(replica_conninfo "$1") dbname=postgres"
}

# replica_conninfo NODE
replica_conninfo() {
  printf 'host=127.0.0.1 port=%s user=postgres sslmode=disable connect_timeout=3' "$(replica_port "$1")"
}

replica_answers() {
  port_answers "$(replica_port "$1")" && [[ $(replica_query "$1" <<<'SELECT 1' 2>/dev/null) == 1 ]]
}

# replica_copy NODE: makes it a standby of the other one, which has to run.
replica_copy() {
  local other=$((3 - $1)) log=$LOGS/replication-copy-$1.log
  say "server $1: copying server $other"
  rm -rf --one-file-system -- "$REPLICATION_HOME/$1.new"
  (as_postgres pg_basebackup "$1.new" --dbname="$(replica_conninfo "$other")" --checkpoint=fast --write-recovery-conf) \
    </dev/null >"$log" 2>&1 8>&- 9>&- || fail_with_log "$log" "server $1: copying server $other failed"
  rm -rf --one-file-system -- "${REPLICATION_HOME:?}/$1"
  mv -- "$REPLICATION_HOME/$1.new" "$REPLICATION_HOME/$1"
}

replica_init() {
  local log=$LOGS/replication-init.log
  rm -rf --one-file-system -- "$REPLICATION_HOME/1.new"
  (as_postgres initdb 1.new --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8) \
    </dev/null >"$log" 2>&1 8>&- 9>&- || fail_with_log "$log" "initdb failed"
  echo "include = 'sensorpipe.conf'" >>"$REPLICATION_HOME/1.new/postgresql.conf"
  # Two servers on one machine, without TLS.
  sed -e '/^ssl/d' -e "s/^shared_buffers = .*/shared_buffers = 64MB/" "$REPO/dev/postgres/sensorpipe.conf" \
    >"$REPLICATION_HOME/1.new/sensorpipe.conf"
  printf 'host all,replication all 127.0.0.1/32 trust\n' >"$REPLICATION_HOME/1.new/pg_hba.conf"
  mv -- "$REPLICATION_HOME/1.new" "$REPLICATION_HOME/1"
}

replica_launch() {
  local port log=$LOGS/replication-$1.log
  [[ -z $(replica_pid "$1") ]] || return 0
  port=$(replica_port "$1")
  require_free_port "$port" REPLICATION_PORTS
  rm -f -- "$REPLICATION_HOME/$1/postmaster.pid"
  rotate_log "$log"
  say "server $1: starting on 127.0.0.1:$port"
  (DETACHED=1 as_postgres postgres "$1" -p "$port" -c "$(replica_mark "$1")" -c wal_keep_size=1GB) \
    </dev/null >>"$log" 2>&1 8>&- 9>&- &
}

replica_await() {
  local deadline=$((SECONDS + 90))
  until replica_answers "$1"; do
    # The process that was started may not be there yet.
    ((SECONDS < deadline - 85)) || [[ -n $(replica_pid "$1") ]] ||
      fail_with_log "$LOGS/replication-$1.log" "server $1: ended while starting"
    ((SECONDS < deadline)) || fail_with_log "$LOGS/replication-$1.log" "server $1: no answer within 90 s"
    sleep 0.2
  done
}

# replica_down NODE: an orderly shutdown, which sends the standby all there is.
replica_down() {
  local pid
  pid=$(replica_pid "$1")
  [[ -n $pid ]] || return 0
  say "server $1: stopping process $pid"
  # A frozen backend would hold up the shutdown.
  replica_signal "$1" CONT
  stop_within 30 INT "$pid"
}

# replica_kill NODE: fails where there was nothing to kill, since then the fault test tests nothing.
replica_kill() {
  local -a all
  mapfile -t all < <(replica_pids "$1")
  ((${#all[@]} > 0)) || fail "server $1: not running"
  say "server $1: killing ${#all[@]} processes"
  kill -s KILL -- "${all[@]}" 2>/dev/null || true
  ends_within 10 "${all[@]}" || fail "server $1: a process survives SIGKILL"
}

# replica_signal NODE SIGNAL: to all its processes; those that are made meanwhile are of no concern to a stopped server.
replica_signal() {
  local -a all
  mapfile -t all < <(replica_pids "$1")
  ((${#all[@]} > 0)) || fail "server $1: not running"
  kill -s "$2" -- "${all[@]}" 2>/dev/null || true
}
