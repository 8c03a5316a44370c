//! A database of the test's own.

use std::time::Duration;

use sensorpipe::config::{DatabaseConfig, SchemaConfig};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction, postgres::PgPoolOptions};

use crate::{block_on, config, server, unique_name};

const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// A database that is dropped with the value, whoever is connected.
pub struct TestDatabase {
    /// Its URL, for a process.
    pub url: String,
    /// For the test's own SQL.
    pub pool: PgPool,
    server_url: String,
    name: String,
}

impl TestDatabase {
    /// A new database, migrated.
    pub async fn create() -> Self {
        Self::create_at(&server("DATABASE_URL")).await
    }

    /// A new database on another server than the environment's, migrated.
    pub async fn create_at(server_url: &str) -> Self {
        let database = Self::create_empty_at(server_url).await;
        sensorpipe::store::migrate(&database.config(), &config::<SchemaConfig>(&[]))
            .await
            .expect("a new database can be migrated");
        database
    }

    /// A new database without anything in it.
    pub async fn create_empty() -> Self {
        Self::create_empty_at(&server("DATABASE_URL")).await
    }

    /// The same on another server than the environment's.
    pub async fn create_empty_at(server_url: &str) -> Self {
        let name = unique_name("db");
        let mut connection =
            PgConnection::connect(server_url).await.expect("Postgres answers at DATABASE_URL");
        sqlx::query(&format!("CREATE DATABASE {name}"))
            .execute(&mut connection)
            .await
            .expect("the role of DATABASE_URL may create databases");
        let url = with_database(server_url, &name);
        let pool = lazy_pool(&url);
        Self { url, pool, server_url: server_url.to_owned(), name }
    }

    /// Looks for the database on another server from now on, which has become the primary.
    pub fn move_to(&mut self, server_url: &str) {
        server_url.clone_into(&mut self.server_url);
        self.url = with_database(server_url, &self.name);
        self.pool = lazy_pool(&self.url);
    }

    /// The configuration that leads here.
    pub fn config(&self) -> DatabaseConfig {
        config(&["--database-url", &self.url])
    }

    /// Adds sensors; their ids are 1 to `count` in a new database.
    pub async fn add_sensors(&self, count: i32) {
        sqlx::query("INSERT INTO sensors (sensor_type) SELECT 'test' FROM generate_series(1, $1)")
            .bind(count)
            .execute(&self.pool)
            .await
            .expect("sensors can be added");
    }

    /// The single number that a query answers.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs a statement in a transaction of its own that holds its locks until the value is dropped.
    pub async fn hold(&self, sql: &str) -> HeldLocks {
        let mut transaction = self.pool.begin().await.expect("a transaction begins");
        sqlx::raw_sql(sql).execute(&mut *transaction).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        HeldLocks { _transaction: transaction }
    }

    /// How many backends wait for a lock in this database.
    pub async fn waiting_for_locks(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .await
    }

    /// Runs statements that answer nothing as the superuser, also where the database is read-only.
    pub async fn execute_as_superuser(&self, sql: &str) {
        let mut superuser = PgConnection::connect(&self.superuser_url())
            .await
            .expect("postgres may log in without a password");
        for sql in ["SET default_transaction_read_only = off", sql] {
            sqlx::raw_sql(sql).execute(&mut superuser).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL for the superuser `postgres`, without a password, as `dev/services` has it.
    pub fn superuser_url(&self) -> String {
        with_role(&self.url, "postgres")
    }

    /// The URL with another role in it, which needs no password here.
    pub fn url_as(&self, role: &str) -> String {
        with_role(&self.url, role)
    }

    /// A new database that belongs to nobody but the superuser, with nothing in it but TimescaleDB.
    pub async fn create_unowned() -> Self {
        Self::create_empty_at(&with_role(&server("DATABASE_URL"), "postgres")).await
    }

    /// A URL for a role that may write readings and nothing more: it owns nothing and has no special privileges.
    ///
    /// Needs the superuser `postgres` without a password, as `dev/services` has it.
    pub async fn url_of_role_that_only_writes(&self) -> String {
        const ROLE: &str = "sensorpipe_test_writer";
        let mut superuser = PgConnection::connect(&self.superuser_url())
            .await
            .expect("postgres may log in without a password");
        // The role belongs to the server, so it stays; tests that run beside this one may be making it, too.
        let make_role = format!(
            "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        let grants = format!(
            "GRANT SELECT, INSERT, UPDATE ON sensor_data, ingest_offsets TO {ROLE};
             GRANT SELECT, UPDATE ON sensors TO {ROLE};
             GRANT SELECT, UPDATE, DELETE ON daily_stats TO {ROLE};
             GRANT SELECT ON _sqlx_migrations TO {ROLE};
             GRANT SELECT, INSERT, DELETE ON audit_checkpoints TO {ROLE};
             GRANT INSERT ON dead_letters TO {ROLE};"
        );
        for sql in [make_role, grants] {
            sqlx::raw_sql(&sql)
                .execute(&mut superuser)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        with_role(&self.url, ROLE)
    }

    /// Runs statements that answer nothing.
    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Sets what every process must have alike, as `sensorpipe settings set` does.
    pub async fn set(&self, name: &str, value: &str) {
        sqlx::query("INSERT INTO sensorpipe_settings (name, value, set_by) VALUES ($1, $2, 'a test')")
            .bind(name)
            .bind(value)
            .execute(&self.pool)
            .await
            .expect("settings can be stored");
    }

    /// Takes back what it has said it stored, of the rows that `condition` on `NEW` is true of.
    pub async fn forgets(&self, condition: &str) {
        self.execute(&format!(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN DELETE FROM sensor_data WHERE sensor_id = NEW.sensor_id AND time = NEW.time; RETURN NULL; END';
             CREATE TRIGGER forget AFTER INSERT ON sensor_data FOR EACH ROW
             WHEN ({condition}) EXECUTE FUNCTION forget();"
        ))
        .await;
    }

    /// Runs statements that answer nothing, again where they meet a deadlock, as everybody's SQL has to.
    pub async fn execute_despite_deadlocks(&self, sql: &str) {
        const DEADLOCK_DETECTED: &str = "40P01";
        while let Err(error) = sqlx::raw_sql(sql).execute(&self.pool).await {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            assert_eq!(code.as_deref(), Some(DEADLOCK_DETECTED), "{sql}: {error}");
        }
    }
}

/// Locks of a transaction that is rolled back with the value.
pub struct HeldLocks {
    _transaction: Transaction<'static, Postgres>,
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server_url, name) = (&self.server_url, &self.name);
        let dropped = block_on(async {
            tokio::time::timeout(DROP_TIMEOUT, async {
                let mut connection = PgConnection::connect(server_url).await?;
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::query(&statement).execute(&mut connection).await
            })
            .await
        });
        if !matches!(dropped, Ok(Ok(_))) {
            eprintln!("database {name} stays behind: {dropped:?}");
        }
    }
}

fn lazy_pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(4).connect_lazy(url).expect("the URL is valid")
}

/// The URL with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let (place, options) = url.split_once('?').map_or((url, None), |(place, options)| (place, Some(options)));
    let (server, _) = place.rsplit_once('/').expect("DATABASE_URL names a database");
    options.map_or_else(|| format!("{server}/{name}"), |options| format!("{server}/{name}?{options}"))
}

/// The URL with another role in it, and no password.
fn with_role(url: &str, role: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("DATABASE_URL has a scheme");
    let (authority, path) = rest.split_once('/').expect("DATABASE_URL names a database");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{role}@{host}/{path}")
}
