//! What our sessions rest on, whatever the role, the database or the server's file say.
//!
//! It is set by SQL once the connection stands: a pooler may refuse or drop the options of a startup message.

use std::time::Duration;

use sqlx::{Connection as _, Executor, PgConnection, Postgres, Transaction};

/// Settings of every session, in one round trip. The first statement runs under the role's own `statement_timeout`, so
/// it does nothing but end that. Servers before 14 and 17 do not know all of them.
const OURS: &str = "
    SET statement_timeout = 0;
    SELECT set_config(name, '0', false) FROM (VALUES ('transaction_timeout'), ('idle_session_timeout')) AS ours (name)
        WHERE current_setting(name, true) IS NOT NULL;
    SET lock_timeout = 0;
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '30s';
    SET client_encoding = 'UTF8';
    SET TimeZone = 'UTC';
    SET DateStyle = 'ISO, MDY';
    SET IntervalStyle = 'postgres';
    SET bytea_output = 'hex';
    SET extra_float_digits = 3;
    SET standard_conforming_strings = on;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_deferrable = off;
    SET row_security = on;";

/// The same for a transaction over a session that is somebody else's before and after. Encoding, time zone and dates are in
/// the startup message, which a pooler applies for each client.
const OURS_LOCALLY: &str = "
    SET LOCAL lock_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = '60s';
    SET LOCAL IntervalStyle = 'postgres';
    SET LOCAL bytea_output = 'hex';
    SET LOCAL extra_float_digits = 3;
    SET LOCAL standard_conforming_strings = on;
    SET LOCAL row_security = on;
    SET LOCAL jit = off;";

/// A plan over many chunks looks costly enough to be compiled: 600 ms before a query of 10 ms.
const OF_QUERIES: &str = "SET jit = off;";

/// A plan for any range holds every chunk; one for the range asked for holds its chunks.
const OF_READS: &str = "SET default_transaction_read_only = on; SET plan_cache_mode = force_custom_plan;";

const OF_READS_LOCALLY: &str = "SET TRANSACTION READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan;";

/// The settings of a connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    sql: String,
    /// Begins a transaction that has them, where there is no session that could.
    begin: String,
}

impl Session {
    /// Of a connection that writes, or waits for what it is told: no statement has a limit, for its owner has one of its
    /// own. A transaction that has gone silent is ended after a minute, which frees its locks. (A writer frozen inside
    /// COPY is not silent to the server; the owner of its partitions ends it.)
    pub(super) fn unlimited() -> Self {
        Self { sql: OURS.to_owned(), begin: begin(Duration::ZERO) }
    }

    /// Of the api's queries, each of which is bounded.
    pub(super) fn of_queries(statement_timeout: Duration) -> Self {
        let millis = statement_timeout.as_millis();
        Self {
            sql: format!("{OURS} {OF_QUERIES} SET statement_timeout = {millis};"),
            begin: begin(statement_timeout),
        }
    }

    /// The same for queries that only read, over many readings.
    pub(super) fn of_reads(statement_timeout: Duration) -> Self {
        Self {
            sql: Self::of_queries(statement_timeout).sql + OF_READS,
            begin: begin(statement_timeout) + OF_READS_LOCALLY,
        }
    }

    /// Makes the settings; to be called once, before anything else is done over the connection.
    pub(super) async fn set(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        connection.execute(self.sql.as_str()).await.map(drop)
    }

    /// Begins a transaction that has the settings, and leaves the session as it was.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
        connection.begin_with(self.begin.clone()).await
    }
}

fn begin(statement_timeout: Duration) -> String {
    let millis = statement_timeout.as_millis();
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {millis}; {OURS_LOCALLY}")
}
