//! A writer's connection.

use sqlx::{Executor, PgConnection};

use super::{WriterConfig, existing_dead_letters};
use crate::{
    config::FkCheck,
    store::{
        StoreError,
        connection::{WRITER_APPLICATION_NAME, connect},
        fitness,
    },
};

/// A connection and what was asked of the server when it was made.
pub(super) struct Open {
    pub(super) connection: PgConnection,
    pub(super) backend_pid: i32,
    pub(super) chunk_micros: i64,
    pub(super) may_skip_row_checks: bool,
    pub(super) may_change_dead_letters: bool,
}

impl Open {
    pub(super) async fn connect(config: &WriterConfig) -> Result<Self, StoreError> {
        let mut connection = connect(&config.database, WRITER_APPLICATION_NAME).await?;
        fitness::check(&mut connection).await?;
        let (backend_pid, chunk_micros, has_privilege): (i32, i64, bool) = sqlx::query_as(
            "SELECT pg_backend_pid(), (extract(epoch FROM time_interval) * 1e6)::bigint,
                    has_parameter_privilege('session_replication_role', 'SET')
             FROM timescaledb_information.dimensions
             WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
               AND dimension_number = 1",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(StoreError::new("looking at the hypertable"))?;
        let may_skip_row_checks = has_privilege && config.fk_check == FkCheck::Auto;
        let may_change_dead_letters = existing_dead_letters::are_permitted(&mut connection).await?;
        tracing::info!(db.backend_pid = backend_pid, "writer connected");
        Ok(Self { connection, backend_pid, chunk_micros, may_skip_row_checks, may_change_dead_letters })
    }

    pub(super) async fn execute(&mut self, statement: &str, doing: &'static str) -> Result<(), StoreError> {
        self.connection.execute(statement).await.map_err(StoreError::new(doing))?;
        Ok(())
    }
}
