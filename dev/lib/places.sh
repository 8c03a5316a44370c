# shellcheck shell=bash
# Where things are. The cache is shared by all checkouts of a user; the state belongs to one pair of servers.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sensorpipe
STATE=$(realpath -m -- "${SENSORPIPE_STATE:-$REPO/.dev}")
LOGS=$STATE/log

KAFKA_PORT=${KAFKA_PORT:-19092}
KAFKA_CONTROLLER_PORT=${KAFKA_CONTROLLER_PORT:-19093}
KAFKA_TLS_PORT=${KAFKA_TLS_PORT:-$((KAFKA_PORT + 2))}
POSTGRES_PORT=${POSTGRES_PORT:-15432}

DATABASE_URL_HERE=postgres://sensorpipe@127.0.0.1:$POSTGRES_PORT/sensorpipe
KAFKA_BROKERS_HERE=127.0.0.1:$KAFKA_PORT
KAFKA_TLS_BROKERS_HERE=127.0.0.1:$KAFKA_TLS_PORT
# shellcheck disable=SC2034  # read by the scripts that source this file
readonly REPO CACHE STATE LOGS KAFKA_PORT KAFKA_CONTROLLER_PORT KAFKA_TLS_PORT POSTGRES_PORT DATABASE_URL_HERE \
  KAFKA_BROKERS_HERE KAFKA_TLS_BROKERS_HERE

# Logs show parts of readings and of settings: nobody else reads them.
make_logs() {
  mkdir -p -- "$LOGS"
  chmod 700 -- "$LOGS"
}
