# shellcheck shell=bash
# A real Kafka cluster: node 0 is the controller, nodes 1 to 3 are brokers. Each is a process with a small heap and a
# folder of its own, so that one can be stopped, killed and started without the others. Needs kafka.sh.

CLUSTER_HOME=$STATE/cluster
CLUSTER_NODES=(0 1 2 3)

# cluster_port NODE
cluster_port() {
  printf '%s' "${CLUSTER_PORTS_HERE[$1]}"
}

cluster_brokers() {
  printf '127.0.0.1:%s,127.0.0.1:%s,127.0.0.1:%s' "${CLUSTER_PORTS_HERE[@]:1}"
}

# node_name NODE
node_name() {
  if (($1 == 0)); then printf 'controller'; else printf 'broker %s' "$1"; fi
}

node_mark() {
  printf -- '-Dsensorpipe.state=%s/%s' "$CLUSTER_HOME" "$1"
}

node_pid() {
  pids_marked "$(node_mark "$1")" | head -n 1
}

# A broker answers once it lists itself; the controller, once its port is open.
node_answers() {
  local port
  port=$(cluster_port "$1")
  port_answers "$port" || return 1
  (($1 == 0)) || timeout 5 kcat -b "127.0.0.1:$port" -L -m 3 2>/dev/null | grep -q " at 127.0.0.1:$port"
}

# write_node_properties NODE FILE DATA_FOLDER
write_node_properties() {
  local port
  port=$(cluster_port "$1")
  {
    cat -- "$REPO/dev/kafka/cluster.properties"
    printf 'node.id=%s\n' "$1"
    printf 'controller.quorum.voters=0@127.0.0.1:%s\n' "$(cluster_port 0)"
    if (($1 == 0)); then
      printf 'process.roles=controller\nlisteners=CONTROLLER://127.0.0.1:%s\n' "$port"
    else
      printf 'process.roles=broker\nlisteners=PLAINTEXT://127.0.0.1:%s\n' "$port"
    fi
    printf 'log.dirs=%s\n' "$3"
  } >"$2"
}

# Formats beside the final name, so that a half-formatted folder never looks like data.
node_format() {
  local home=$CLUSTER_HOME/$1
  rm -rf -- "$home/data.new"
  write_node_properties "$1" "$home/format.properties" "$home/data.new"
  kafka_java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format \
    -t "$(<"$CLUSTER_HOME/id")" -c "$home/format.properties" >"$LOGS/cluster-format-$1.log" 2>&1 ||
    fail_with_log "$LOGS/cluster-format-$1.log" "$(node_name "$1"): formatting failed"
  rm -- "$home/format.properties"
  mv -- "$home/data.new" "$home/data"
}

# All at once: each is a Java process of its own.
cluster_format() {
  local node
  local -a formatting=()
  mkdir -p --mode=700 -- "$CLUSTER_HOME"
  [[ -f $CLUSTER_HOME/id ]] || kafka_cluster_id >"$CLUSTER_HOME/id"
  for node in "${CLUSTER_NODES[@]}"; do
    mkdir -p --mode=700 -- "$CLUSTER_HOME/$node"
    [[ -d $CLUSTER_HOME/$node/data ]] || {
      node_format "$node" &
      formatting+=("$!")
    }
  done
  for node in "${formatting[@]}"; do
    wait "$node" || exit
  done
}

# node_launch NODE: starts it unless it runs.
node_launch() {
  local home=$CLUSTER_HOME/$1 port log
  [[ -z $(node_pid "$1") ]] || return 0
  port=$(cluster_port "$1")
  require_free_port "$port" CLUSTER_PORTS
  log=$LOGS/cluster-$1.log
  write_node_properties "$1" "$home/server.properties" "$home/data"
  rotate_log "$log"
  say "$(node_name "$1"): starting on 127.0.0.1:$port"
  (
    cd -- "$home" || exit
    ulimit -Sn "$(ulimit -Hn)"
    exec setsid java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$CACHE/$KAFKA_RELEASE/lib/*" \
      "$(node_mark "$1")" -Dlog4j2.configurationFile="$REPO/dev/kafka/log4j2.properties" \
      kafka.Kafka "$home/server.properties"
  ) </dev/null >>"$log" 2>&1 8>&- 9>&- &
}

# node_await NODE
node_await() {
  local deadline=$((SECONDS + 90))
  until node_answers "$1"; do
    # The process that was started may not be there yet.
    ((SECONDS < deadline - 85)) || [[ -n $(node_pid "$1") ]] ||
      fail_with_log "$LOGS/cluster-$1.log" "$(node_name "$1"): ended while starting"
    ((SECONDS < deadline)) || fail_with_log "$LOGS/cluster-$1.log" "$(node_name "$1"): no answer within 90 s"
    sleep 0.2
  done
  say "$(node_name "$1"): answers on 127.0.0.1:$(cluster_port "$1")"
}

# node_down NODE: in an orderly way, where the controller is there to take its partitions.
node_down() {
  local pid
  pid=$(node_pid "$1")
  [[ -n $pid ]] || return 0
  say "$(node_name "$1"): stopping process $pid"
  stop_within 30 TERM "$pid"
}

# node_signal NODE SIGNAL PID: fails where there is nothing to signal, since then the fault test tests nothing.
node_signal() {
  [[ -n $3 ]] || fail "$(node_name "$1"): not running"
  say "$(node_name "$1"): SIG$2 for process $3"
  kill -s "$2" -- "$3"
}

# node_freeze NODE: its connections stay, and nothing is answered.
node_freeze() {
  node_signal "$1" STOP "$(node_pid "$1")"
}

node_kill() {
  local pid
  pid=$(node_pid "$1")
  node_signal "$1" KILL "$pid"
  ends_within 10 "$pid" || fail "process $pid survives SIGKILL"
}
