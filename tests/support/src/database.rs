//! A database of the test's own.

use std::time::Duration;

use sensorpipe::config::{DatabaseConfig, SchemaConfig};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};

use crate::{block_on, config, server, unique_name};

const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// A database that is dropped with the value, whoever is connected.
pub struct TestDatabase {
    /// Its URL, for a process.
    pub url: String,
    /// For the test's own SQL.
    pub pool: PgPool,
    name: String,
}

impl TestDatabase {
    /// A new database, migrated.
    pub async fn create() -> Self {
        let database = Self::create_empty().await;
        sensorpipe::store::migrate(&database.config(), &config::<SchemaConfig>(&[]))
            .await
            .expect("a new database can be migrated");
        database
    }

    /// A new database without anything in it.
    pub async fn create_empty() -> Self {
        let name = unique_name("db");
        let server_url = server("DATABASE_URL");
        let mut connection =
            PgConnection::connect(&server_url).await.expect("Postgres answers at DATABASE_URL");
        sqlx::query(&format!("CREATE DATABASE {name}"))
            .execute(&mut connection)
            .await
            .expect("the role of DATABASE_URL may create databases");
        let url = with_database(&server_url, &name);
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy(&url).expect("the URL is valid");
        Self { url, pool, name }
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

    /// Runs statements that answer nothing.
    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server_url, name) = (server("DATABASE_URL"), &self.name);
        let dropped = block_on(async {
            tokio::time::timeout(DROP_TIMEOUT, async {
                let mut connection = PgConnection::connect(&server_url).await?;
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

/// The URL with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let (place, options) = url.split_once('?').map_or((url, None), |(place, options)| (place, Some(options)));
    let (server, _) = place.rsplit_once('/').expect("DATABASE_URL names a database");
    options.map_or_else(|| format!("{server}/{name}"), |options| format!("{server}/{name}?{options}"))
}
