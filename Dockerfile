ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM rust:${RUST_VERSION}-${DEBIAN_RELEASE} AS build
# librdkafka is compiled by cmake; its OAuth code includes curl's header.
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake libcurl4-openssl-dev libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
WORKDIR /src

# The dependencies, with stand-ins for our own code: this layer is built anew only when they change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches/floors/Cargo.toml benches/floors/
COPY benches/load/Cargo.toml benches/load/
COPY tests/support/Cargo.toml tests/support/
RUN mkdir -p src benches/floors/src benches/load/src tests/support/src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs benches/floors/src/lib.rs benches/load/src/lib.rs tests/support/src/lib.rs \
    && cargo build --release --locked

# What --version shows; the repository itself stays out of the image. After the dependencies, for it changes often.
ARG SENSORPIPE_COMMIT=
ENV SENSORPIPE_COMMIT=${SENSORPIPE_COMMIT}
COPY migrations migrations
COPY src src
# Cargo goes by time, and a checkout may be older than the stand-ins.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

FROM debian:${DEBIAN_RELEASE}-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sensorpipe
COPY --from=build /src/target/release/sensorpipe /usr/local/bin/sensorpipe
COPY --chmod=755 deploy/docker/healthcheck /usr/local/bin/sensorpipe-healthcheck
# What registries and scanners show. The commit comes with --build-arg SENSORPIPE_COMMIT=$(git rev-parse HEAD).
ARG SENSORPIPE_COMMIT=
LABEL org.opencontainers.image.title="sensorpipe" \
      org.opencontainers.image.description="Sensor readings from HTTP and Kafka into TimescaleDB, each stored exactly once" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.revision="${SENSORPIPE_COMMIT}"
# By number: Kubernetes' runAsNonRoot cannot look up a name.
USER 10001:10001
# Logs go to collectors, not to a terminal.
ENV NO_COLOR=1
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["sensorpipe-healthcheck"]
# The binary is the container's first process, so SIGTERM reaches it: it drains and stops.
ENTRYPOINT ["sensorpipe"]
CMD ["--help"]
