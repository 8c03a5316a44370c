//! A table of thousands of chunks on a Postgres with default limits: nothing needs more locks than it has, and
//! `/daily_avg` takes no longer than over few chunks.
//!
//! `MANY_CHUNKS` (2000) says how many; `MANY_CHUNKS=10000 cargo test --test many_chunks -- --nocapture` is the long
//! run, and prints how long each step took.

#![expect(clippy::unwrap_used, reason = "what is unwrapped is what the test is about")]

mod api;
mod jobs;
mod queries;
mod table;
mod write;

use std::time::{Duration, Instant};

use testbed::TestServers;

use crate::table::Table;

/// How often the locks are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Most locks that one backend may hold: those of a batch that goes into a hundred chunks. All of the table's are ten
/// times as many.
const LOCKS_MAX: i64 = 600;

/// One server for all of it: making its chunks takes longer than all that is asked afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_chunks_need_no_more_than_the_default_limits() {
    let servers = TestServers::start_postgres_with_default_limits(env!("CARGO_TARGET_TMPDIR")).await;
    let started = Instant::now();
    let many = Table::create(&servers.database_url, chunks_wanted()).await;
    eprintln!("making the table: {:.1} s", started.elapsed().as_secs_f64());
    let few = Table::create(&servers.database_url, 50).await;
    step(&many, "latest readings", queries::latest(&many)).await;
    step(&many, "pages of readings", queries::pages(&many)).await;
    step(&many, "new readings", queries::newer(&many)).await;
    step(&many, "statistics by day", queries::statistics_by_day(&many)).await;
    step(&many, "charts", queries::charts(&many)).await;
    step(&many, "newest days", queries::newest_days(&many)).await;
    step(&many, "queries side by side", queries::side_by_side(&many)).await;
    step(&many, "keeping days", jobs::keeping_days(&many)).await;
    step(&many, "an audit's look at the table", jobs::audit(&many)).await;
    step(&many, "the api", api::answers(&many)).await;
    step(&many, "/daily_avg over many and few", api::daily_avg_is_as_quick(&many, &few)).await;
    step(&many, "retention", jobs::retention(&many)).await;
    // What these ask and take themselves are more locks than that.
    queries::statistics_by_year(&many).await;
    step(&many, "batches", write::batches(&many)).await;
    api::a_full_lock_table_is_told(&many).await;
}

fn chunks_wanted() -> i64 {
    std::env::var("MANY_CHUNKS").map_or(2_000, |text| text.parse().expect("MANY_CHUNKS is a number"))
}

/// Does the work, and sees that none of sensorpipe's backends holds many locks meanwhile.
async fn step(table: &Table, name: &str, work: impl Future<Output = ()>) {
    const MOST_LOCKS: &str = "SELECT coalesce(max(locks), 0) FROM (
            SELECT count(*) AS locks FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE application_name LIKE 'sensorpipe%' GROUP BY pid) AS of_backends";
    let started = Instant::now();
    let mut most_locks = 0;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => break,
            () = tokio::time::sleep(CHECK_INTERVAL) => {
                most_locks = most_locks.max(table.database.number(MOST_LOCKS).await);
            }
        }
    }
    eprintln!("{name}: {:.1} s, {most_locks} locks", started.elapsed().as_secs_f64());
    assert!(most_locks <= LOCKS_MAX, "{name}: a backend held {most_locks} locks");
}
