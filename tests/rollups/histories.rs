//! Random histories: after every step the api says what the guide's query says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, rngs::StdRng};
use sensorpipe::{
    config::Rollups,
    reading::{OnDuplicate, Timestamp},
    store::stats::StatsStore,
};
use testbed::config;

use crate::{
    bench::{Bench, Reading, at},
    dice, setting,
};

const SENSORS: i32 = 3;

/// Mostly of the last days, some far back, some ahead; often at the same times again.
fn time(dice: &mut StdRng) -> Timestamp {
    let days_ago = match dice.random_range(0..20) {
        0 => dice.random_range(9..400),
        1..4 => 0,
        _ => dice.random_range(0..9),
    };
    let tomorrow = dice.random_ratio(1, 40);
    let hour = if tomorrow { dice.random_range(24..30) } else { dice.random_range(0..24) };
    let time = at(if tomorrow { 0 } else { days_ago }, hour * 3_600 + dice.random_range(0..4) * 20);
    // The last microsecond of a day is its own, and the first of the next one is not.
    if dice.random_ratio(1, 10) { time.plus_micros(-1) } else { time }
}

fn readings(dice: &mut StdRng, sensors: i32) -> Vec<Reading> {
    let count = dice.random_range(1..=40);
    (0..count).map(|_| (dice.random_range(1..=sensors), time(dice), dice.random_range(-1e6..1e6))).collect()
}

async fn delete_some(bench: &Bench, dice: &mut StdRng) {
    let (from, hours) = (time(dice), dice.random_range(1..40));
    bench
        .database
        .execute_despite_deadlocks(&format!(
            "DELETE FROM sensor_data WHERE sensor_id = {} AND time >= '{from}'
                AND time < '{from}'::timestamptz + interval '{hours} hours'",
            dice.random_range(1..=SENSORS)
        ))
        .await;
}

async fn a_history(on_duplicate: OnDuplicate) {
    let bench = Bench::new(SENSORS).await;
    let mut dice = dice(&format!("a history, {on_duplicate:?}"));
    let mut writer = bench.writer(0, on_duplicate, Rollups::On).await;
    let mut stats = StatsStore::connect(&bench.database.config()).await.unwrap();
    stats.install_trigger().await.unwrap();
    for step in 1..=setting("ROLLUPS_STEPS", 150) {
        match dice.random_range(0..10) {
            0 => delete_some(&bench, &mut dice).await,
            1 => {
                let (sensor_id, days_ago) = (dice.random_range(1..=SENSORS), dice.random_range(0..9));
                let since = at(days_ago, 0).to_datetime().unwrap().date_naive();
                let flags = ["--sensor", &sensor_id.to_string(), "--since", &since.to_string()];
                stats.rebuild(&config(&flags)).await.unwrap();
            }
            2 => {
                // Others' SQL moves readings from one day to another.
                bench
                    .database
                    .execute(
                        "WITH moved AS (
                             DELETE FROM sensor_data WHERE (sensor_id, time) IN (
                                 SELECT sensor_id, time FROM sensor_data ORDER BY random() LIMIT 2)
                             RETURNING *)
                         INSERT INTO sensor_data SELECT sensor_id, value, time - interval '1 day 1 microsecond'
                         FROM moved ON CONFLICT (sensor_id, time) DO UPDATE SET value = 7",
                    )
                    .await;
            }
            _ => writer.write(&readings(&mut dice, SENSORS + 1)).await,
        }
        bench.agrees(&format!("step {step}")).await;
    }
    assert!(bench.kept().await > 0, "nothing was ever kept");
    assert!(bench.kept_quarter_hours().await > 0, "no quarter-hours were ever kept");
    assert!(
        bench.database.number("SELECT count(*) FROM dead_letters WHERE reason = 'unknown_sensor'").await > 0,
        "no batch held a reading of an unknown sensor"
    );
}

#[tokio::test]
async fn a_history_where_the_first_reading_stays() {
    a_history(OnDuplicate::Ignore).await;
}

#[tokio::test]
async fn a_history_where_the_last_reading_stays() {
    a_history(OnDuplicate::Overwrite).await;
}

/// Writers, deleters and readers at once. In no snapshot is anything kept that is not true.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    const ROUNDS: u64 = 6;
    let bench = Arc::new(Bench::new(SENSORS).await);
    let mut dice = dice("many at once");
    StatsStore::connect(&bench.database.config()).await.unwrap().install_trigger().await.unwrap();
    let (kept_seen, rewritten) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    for round in 1..=ROUNDS {
        let is_over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..4)
            .map(|reader| {
                let (bench, is_over) = (Arc::clone(&bench), Arc::clone(&is_over));
                let kept_seen = Arc::clone(&kept_seen);
                tokio::spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        if reader == 0 {
                            kept_seen.fetch_max(bench.kept().await, Ordering::Relaxed);
                            assert_eq!(bench.wrong().await, 0, "kept days that are not true");
                            assert_eq!(bench.wrong_quarter_hours().await, 0, "quarter-hours that are not");
                        } else {
                            bench.daily_avg(reader).await;
                            bench.keep_some_quarter_hours().await;
                        }
                    }
                })
            })
            .collect();
        let mut writers = Vec::new();
        for partition in 0..3 {
            let policy = if partition == 0 { OnDuplicate::Overwrite } else { OnDuplicate::Ignore };
            let mut writer = bench.writer((round * 10) as i32 + partition, policy, Rollups::On).await;
            let mut dice: StdRng = rand::SeedableRng::seed_from_u64(dice.random());
            let (bench, rewritten) = (Arc::clone(&bench), Arc::clone(&rewritten));
            writers.push(tokio::spawn(async move {
                for batch in 0..setting("ROLLUPS_STEPS", 150) / 5 {
                    let before = bench.kept().await;
                    // A day or two at a time, so that there are others that can be kept meanwhile.
                    let few: Vec<Reading> = readings(&mut dice, SENSORS).into_iter().take(3).collect();
                    writer.write(&few).await;
                    if partition == 2 && batch % 5 == 0 {
                        delete_some(&bench, &mut dice).await;
                    }
                    rewritten.fetch_add(i64::from(bench.kept().await < before), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(dice.random_range(0..8))).await;
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
        bench.agrees(&format!("round {round}")).await;
    }
    println!(
        "at most {} kept days were seen, fewer than before {rewritten:?} times",
        kept_seen.load(Ordering::Relaxed)
    );
    assert!(kept_seen.load(Ordering::Relaxed) > 0, "nothing was kept while others wrote");
    assert!(rewritten.load(Ordering::Relaxed) > 0, "nothing that was kept was forgotten");
}
