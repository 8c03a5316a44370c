# shellcheck shell=bash
# Prometheus and promtool from Debian's package, unpacked into the cache and never installed: installed, its service
# would start and take port 9090.

# Prints the folder of both programs; the distribution's own where they are installed.
prometheus_programs() {
  local name promtool
  if command -v prometheus >/dev/null && promtool=$(command -v promtool); then
    dirname -- "$promtool"
    return
  fi
  name=prometheus-$(
    # shellcheck disable=SC1091  # the machine's own
    source /etc/os-release
    printf '%s' "${ID:-linux}-${VERSION_ID:-unstable}"
  )
  cached "$name" prometheus_fetch_into
  printf '%s\n' "$CACHE/$name/usr/bin"
}

prometheus_fetch_into() {
  local folder=$1 log=$LOGS/prometheus.log
  command -v apt-get >/dev/null ||
    fail "prometheus and promtool are missing, and there is no apt-get to fetch Debian's package with"
  say "fetching prometheus (log: $log)"
  make_logs
  # Lists that are there will do; they may be older than the mirror.
  (cd -- "$folder" && apt-get download prometheus) >"$log" 2>&1 </dev/null || {
    update_package_lists
    (cd -- "$folder" && apt-get download prometheus) >>"$log" 2>&1 </dev/null ||
      fail_with_log "$log" "could not download Debian's package prometheus"
  }
  dpkg --extract "$folder"/prometheus_*.deb "$folder" >>"$log" 2>&1 ||
    fail_with_log "$log" "could not unpack Debian's package prometheus"
  rm -rf -- "$folder"/prometheus_*.deb "$folder"/{etc,lib,var,usr/share}
  "$folder/usr/bin/promtool" --version >>"$log" 2>&1 ||
    fail_with_log "$log" "promtool does not run here"
}
