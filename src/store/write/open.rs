//! A writer's connection.

use sqlx::{Executor, PgConnection};

use super::{WriterConfig, existing_dead_letters};
use crate::{
    config::FkCheck,
    store::{
        StoreError,
        connection::{WRITER_APPLICATION_NAME, connect_following},
        fitness,
        hosts::Follower,
    },
};

/// A connection and what was asked of the server when it was made.
pub(super) struct Open {
    pub(super) connection: PgConnection,
    pub(super) backend: Backend,
    /// Whether another server is the one to write to by now.
    pub(super) follower: Follower,
    pub(super) chunk_micros: i64,
    pub(super) may_skip_row_checks: bool,
    pub(super) may_change_dead_letters: bool,
}

/// The process of the server that a connection leads to. Another server, or the same after a restart, may have another one
/// of the same pid.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// `backend_start`, as text; none where the role is another one than the login's, which may not see it.
    pub(super) started: Option<String>,
}

impl Open {
    pub(super) async fn connect(config: &WriterConfig) -> Result<Self, StoreError> {
        let (mut connection, follower) = connect_following(&config.database, WRITER_APPLICATION_NAME).await?;
        fitness::check(&mut connection).await?;
        let (pid, started, chunk_micros, has_privilege): (i32, Option<String>, i64, bool) = sqlx::query_as(
            "SELECT pid, backend_start::text, (extract(epoch FROM time_interval) * 1e6)::bigint,
                    has_parameter_privilege('session_replication_role', 'SET')
             FROM timescaledb_information.dimensions JOIN pg_stat_activity ON pid = pg_backend_pid()
             WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
               AND dimension_number = 1",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(StoreError::new("looking at the hypertable"))?;
        let may_skip_row_checks = has_privilege && config.fk_check == FkCheck::Auto;
        let may_change_dead_letters = existing_dead_letters::are_permitted(&mut connection).await?;
        tracing::info!(db.backend_pid = pid, "writer connected");
        let backend = Backend { pid, started };
        Ok(Self { connection, backend, follower, chunk_micros, may_skip_row_checks, may_change_dead_letters })
    }

    pub(super) async fn execute(&mut self, statement: &str, doing: &'static str) -> Result<(), StoreError> {
        self.connection.execute(statement).await.map_err(StoreError::new(doing))?;
        Ok(())
    }
}
