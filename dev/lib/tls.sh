# shellcheck shell=bash
# Certificates of a certificate authority of the state folder's own, and Kafka's password: made once, for the tests
# of encrypted connections. Nobody else trusts the authority, and the keys never leave the folder.

TLS_HOME=$STATE/tls

# The servers' certificate names 127.0.0.1 and nothing else: `localhost` is a wrong name for the same server.
tls_make() {
  [[ ! -d $TLS_HOME ]] || return 0
  say "making certificates in $TLS_HOME"
  rm -rf --one-file-system -- "$TLS_HOME.new"
  make_logs
  mkdir -p -- "$TLS_HOME.new"
  (
    cd -- "$TLS_HOME.new" || exit
    umask 077
    tls_authority ca sensorpipe-dev-ca
    # Somebody else's, whom nobody here has reason to trust.
    tls_authority stranger-ca sensorpipe-dev-stranger
    tls_certificate server 127.0.0.1 $'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth'
    # Postgres takes the certificate's common name for the role's.
    tls_certificate client tls_certificate_holder extendedKeyUsage=clientAuth
    head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >kafka-password
    # Kafka wants both in one file.
    cat server.key server.pem >server-with-key.pem
    chmod 644 ca.pem stranger-ca.pem server.pem client.pem
  ) >"$LOGS/tls.log" 2>&1 || fail_with_log "$LOGS/tls.log" "no certificates could be made"
  mv -- "$TLS_HOME.new" "$TLS_HOME"
}

# tls_authority NAME COMMON_NAME
tls_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj "/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
    -keyout "$1.key" -out "$1.pem" || exit
}

# tls_certificate NAME COMMON_NAME EXTENSIONS
tls_certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$2" \
    -keyout "$1.key" -out "$1.csr" || exit
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 3650 -extfile <(printf '%s\n' "$3") \
    -out "$1.pem" || exit
  rm -- "$1.csr"
}
