# shellcheck shell=bash
# A real Kafka broker (KRaft) from Maven Central, one per state folder.

KAFKA_RELEASE=kafka-4.1.0
KAFKA_HOME=$STATE/kafka
KAFKA_LOG=$LOGS/kafka.log
KAFKA_MARK=-Dsensorpipe.state=$STATE

kafka_pid() {
  pids_marked "$KAFKA_MARK" | head -n 1
}

# A metadata answer that names this broker, not merely an open port.
kafka_answers() {
  port_answers "$KAFKA_PORT" &&
    timeout 5 kcat -b "$KAFKA_BROKERS_HERE" -L -m 3 2>/dev/null | grep -q " at 127.0.0.1:$KAFKA_PORT"
}

# The port that the broker of this state was started with.
kafka_started_port() {
  sed -n 's|^listeners=PLAINTEXT://127\.0\.0\.1:\([0-9]*\),.*|\1|p' "$KAFKA_HOME/server.properties" 2>/dev/null
}

kafka_fetch_into() {
  say "fetching $KAFKA_RELEASE"
  make_logs
  mvn --batch-mode --quiet --file "$REPO/dev/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$1/lib" >"$LOGS/kafka-fetch.log" 2>&1 ||
    fail_with_log "$LOGS/kafka-fetch.log" "Maven could not fetch $KAFKA_RELEASE"
}

# write_broker_properties FILE DATA_FOLDER
# KAFKA_PROXIED is "NAME:PORT:PROXY_PORT ...": a listener each for clients that reach the broker through a proxy, which
# are told to go on through it. KAFKA_SUPER_USER, where set, may do everything, and others what no ACL forbids.
write_broker_properties() {
  local proxied name port proxy_port listeners='' advertised='' protocols=''
  for proxied in ${KAFKA_PROXIED:-}; do
    IFS=: read -r name port proxy_port <<<"$proxied"
    listeners+=,$name://127.0.0.1:$port
    advertised+=,$name://127.0.0.1:$proxy_port
    protocols+=,$name:PLAINTEXT
  done
  {
    cat -- "$REPO/dev/kafka/server.properties"
    printf 'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL%s\n' "$protocols"
    printf 'listeners=PLAINTEXT://127.0.0.1:%s,CONTROLLER://127.0.0.1:%s,SASL_SSL://127.0.0.1:%s%s\n' \
      "$KAFKA_PORT" "$KAFKA_CONTROLLER_PORT" "$KAFKA_TLS_PORT" "$listeners"
    printf 'advertised.listeners=PLAINTEXT://127.0.0.1:%s,SASL_SSL://127.0.0.1:%s%s\n' \
      "$KAFKA_PORT" "$KAFKA_TLS_PORT" "$advertised"
    printf 'ssl.keystore.location=%s/server-with-key.pem\n' "$TLS_HOME"
    printf 'controller.quorum.voters=1@127.0.0.1:%s\n' "$KAFKA_CONTROLLER_PORT"
    printf 'log.dirs=%s\n' "$2"
    if [[ -n ${KAFKA_SUPER_USER:-} ]]; then
      printf '%s\n' authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer \
        allow.everyone.if.no.acl.found=true "super.users=User:$KAFKA_SUPER_USER"
    fi
  } >"$1"
}

kafka_java() {
  java -cp "$CACHE/$KAFKA_RELEASE/lib/*" -Dlog4j2.configurationFile="$REPO/dev/kafka/log4j2.properties" "$@"
}

# Kafka's form of a UUID: 16 bytes in URL-safe base64. A leading A because Kafka refuses a leading dash.
kafka_cluster_id() {
  printf 'A%s' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"
}

# Formats beside the final name, so that a half-formatted folder never looks like data.
kafka_format() {
  say "kafka: formatting $KAFKA_HOME/data"
  rm -rf -- "$KAFKA_HOME/data.new"
  write_broker_properties "$KAFKA_HOME/format.properties" "$KAFKA_HOME/data.new"
  kafka_java -Xmx256m kafka.tools.StorageTool format \
    -t "$(kafka_cluster_id)" -c "$KAFKA_HOME/format.properties" \
    --add-scram "SCRAM-SHA-512=[name=sensorpipe,password=$(<"$TLS_HOME/kafka-password")]" \
    >"$LOGS/kafka-format.log" 2>&1 ||
    fail_with_log "$LOGS/kafka-format.log" "kafka: formatting failed"
  rm -- "$KAFKA_HOME/format.properties"
  mv -- "$KAFKA_HOME/data.new" "$KAFKA_HOME/data"
  cp -- "$TLS_HOME/kafka-password" "$KAFKA_HOME/password-set"
}

# For a folder that was formatted with another password, or before there was one.
kafka_set_password() {
  cmp --silent -- "$TLS_HOME/kafka-password" "$KAFKA_HOME/password-set" && return
  say "kafka: setting the password of sensorpipe"
  kafka_java -Xmx256m kafka.admin.ConfigCommand --bootstrap-server "$KAFKA_BROKERS_HERE" --alter \
    --entity-type users --entity-name sensorpipe \
    --add-config "SCRAM-SHA-512=[password=$(<"$TLS_HOME/kafka-password")]" >"$LOGS/kafka-password.log" 2>&1 ||
    fail_with_log "$LOGS/kafka-password.log" "kafka: the password of sensorpipe could not be set"
  cp -- "$TLS_HOME/kafka-password" "$KAFKA_HOME/password-set"
}

kafka_launch() {
  local pid port
  pid=$(kafka_pid)
  if [[ -n $pid ]] && ! runs_in "$pid" "$KAFKA_HOME"; then
    say "kafka: process $pid has lost its folder"
    kafka_down
  elif [[ -n $pid ]]; then
    port=$(kafka_started_port)
    [[ $port == "$KAFKA_PORT" ]] ||
      fail "kafka of $STATE runs on port $port, not $KAFKA_PORT: dev/services down kafka first, or set KAFKA_PORT=$port"
    grep -q "SASL_SSL://127\.0\.0\.1:$KAFKA_TLS_PORT\(,\|$\)" "$KAFKA_HOME/server.properties" ||
      fail "kafka of $STATE runs without TLS on port $KAFKA_TLS_PORT: dev/services down kafka first"
    return
  fi
  require_free_port "$KAFKA_PORT" KAFKA_PORT
  require_free_port "$KAFKA_TLS_PORT" KAFKA_TLS_PORT
  require_free_port "$KAFKA_CONTROLLER_PORT" KAFKA_CONTROLLER_PORT
  cached "$KAFKA_RELEASE" kafka_fetch_into
  make_logs
  mkdir -p --mode=700 -- "$KAFKA_HOME"
  [[ -d $KAFKA_HOME/data ]] || kafka_format
  write_broker_properties "$KAFKA_HOME/server.properties" "$KAFKA_HOME/data"
  rotate_log "$KAFKA_LOG"
  say "kafka: starting on 127.0.0.1:$KAFKA_PORT"
  (
    cd -- "$KAFKA_HOME" || exit
    # Each partition holds several files open.
    ulimit -Sn "$(ulimit -Hn)"
    exec setsid java -Xms512m -Xmx1g -cp "$CACHE/$KAFKA_RELEASE/lib/*" "$KAFKA_MARK" \
      -Dlog4j2.configurationFile="$REPO/dev/kafka/log4j2.properties" \
      kafka.Kafka "$KAFKA_HOME/server.properties"
  ) </dev/null >>"$KAFKA_LOG" 2>&1 8>&- 9>&- &
  KAFKA_CHILD=$!
}

kafka_await() {
  local deadline=$((SECONDS + 90))
  until kafka_answers; do
    if [[ -n ${KAFKA_CHILD:-} ]] && ! alive "$KAFKA_CHILD"; then
      fail_with_log "$KAFKA_LOG" "kafka: ended while starting"
    fi
    ((SECONDS < deadline)) || fail_with_log "$KAFKA_LOG" "kafka: no answer within 90 s"
    sleep 0.2
  done
  kafka_set_password
  say "kafka: answers on 127.0.0.1:$KAFKA_PORT, with TLS on $KAFKA_TLS_PORT"
}

kafka_down() {
  local pid
  pid=$(kafka_pid)
  if [[ -z $pid ]]; then
    say "kafka: not running"
    return
  fi
  say "kafka: stopping process $pid"
  stop_within 30 TERM "$pid"
}

kafka_kill() {
  local pid
  pid=$(kafka_pid)
  if [[ -z $pid ]]; then
    say "kafka: not running"
    return 1
  fi
  say "kafka: killing process $pid"
  kill -s KILL -- "$pid"
  ends_within 10 "$pid" || fail "kafka: process $pid survives SIGKILL"
}
