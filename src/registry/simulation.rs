//! Random histories of apis that make sensors, a worker, and a database that loses its tail: no id is ever two sensors',
//! and every sensor that was answered is there in the end.
//!
//! What the shells do is told here once more, step by step, so that any step can come between two others; what they decide
//! is the code itself. A bug is planted by leaving a step out, and has to be found.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{Description, Known, Latest, Lost, Registry, Row, SensorRecord};

/// A step that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A sensor is committed without reading up to its own claim.
    NotReadBack,
    /// A later claim is taken for a state.
    LaterClaimCounts,
    /// A sensor whose change is not told yet is taken for lost.
    ChangesNotSeen,
}

/// A database, as it is or as a standby has it.
#[derive(Clone, Debug, Default)]
struct Database {
    rows: BTreeMap<i32, Description>,
    changes: Vec<i32>,
    next_offset: i64,
    last_id: i32,
}

/// A sensor that is being made, over a connection to a server.
#[derive(Clone, Debug)]
enum Making {
    Inserted { server: usize, id: i32, what: Description },
    Claimed { server: usize, id: i32, what: Description, number: u64 },
    Published { server: usize, id: i32, what: Description, offset: i64 },
}

#[derive(Default)]
struct Api {
    registry: Registry,
    making: Option<Making>,
}

/// A worker between two steps of its own.
enum Keeping {
    Idle,
    /// It has told the topic of these.
    Told {
        server: usize,
        changes: Vec<i32>,
    },
    /// It has compared rows with what it had read.
    Compared {
        server: usize,
        lost: Lost,
        end: i64,
    },
}

struct World {
    dice: StdRng,
    bug: Bug,
    topic: Vec<SensorRecord>,
    /// Each server that was ever the primary; the last one is.
    servers: Vec<Database>,
    /// Whether a server still commits.
    alive: Vec<bool>,
    standby: Database,
    apis: Vec<Api>,
    worker: Registry,
    keeping: Keeping,
    made: i32,
    answered: BTreeMap<i32, Description>,
    /// Of these it is not known what they are in the end: somebody changed or deleted them.
    touched: BTreeSet<i32>,
}

fn read(topic: &[SensorRecord], registry: &mut Registry, up_to: i64) {
    for offset in registry.next_offset()..up_to {
        registry.note(offset, &topic[usize::try_from(offset).unwrap()]);
    }
}

impl World {
    fn new(seed: u64, bug: Bug) -> Self {
        Self {
            dice: StdRng::seed_from_u64(seed),
            bug,
            topic: Vec::new(),
            servers: vec![Database::default()],
            alive: vec![true],
            standby: Database::default(),
            apis: (0..3).map(|_| Api::default()).collect(),
            worker: Registry::default(),
            keeping: Keeping::Idle,
            made: 0,
            answered: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    fn primary(&self) -> usize {
        self.servers.len() - 1
    }

    fn end(&self) -> i64 {
        i64::try_from(self.topic.len()).unwrap()
    }

    fn publish(&mut self, record: SensorRecord) -> i64 {
        self.topic.push(record);
        self.end() - 1
    }

    fn step(&mut self) -> Result<(), String> {
        match self.dice.random_range(0..100) {
            0..45 => {
                let api = self.dice.random_range(0..self.apis.len());
                self.step_of_api(api)?;
            }
            45..60 => {
                let (api, end) = (self.dice.random_range(0..self.apis.len()), self.end());
                let next = self.apis[api].registry.next_offset();
                let up_to = self.dice.random_range(next..=end);
                read(&self.topic, &mut self.apis[api].registry, up_to);
            }
            60..85 => self.step_of_worker()?,
            85..92 => self.standby = self.servers[self.primary()].clone(),
            92..95 => self.change_by_hand(),
            _ => self.fail_over(),
        }
        Ok(())
    }

    fn fail_over(&mut self) {
        let primary = self.primary();
        // The old one may not have noticed.
        self.alive[primary] = self.dice.random_bool(0.5);
        self.servers.push(self.standby.clone());
        self.alive.push(true);
    }

    fn change_by_hand(&mut self) {
        let primary = self.primary();
        let database = &mut self.servers[primary];
        let ids: Vec<i32> = database.rows.keys().copied().collect();
        let Some(&id) = ids.choose(&mut self.dice) else { return };
        if self.dice.random_bool(0.5) {
            database.rows.remove(&id);
        } else if let Some(row) = database.rows.get_mut(&id) {
            row.location = Some(format!("moved {}", self.made));
        }
        database.changes.push(id);
        self.touched.insert(id);
    }

    fn step_of_api(&mut self, api: usize) -> Result<(), String> {
        let Some(making) = self.apis[api].making.take() else {
            let server = self.primary();
            self.made += 1;
            let what = Description {
                sensor_type: format!("sensor {}", self.made),
                description: None,
                location: None,
            };
            let database = &mut self.servers[server];
            database.last_id += 1;
            let id = database.last_id;
            // Of a sensor that came back meanwhile the key is there.
            if !database.rows.contains_key(&id) {
                self.apis[api].making = Some(Making::Inserted { server, id, what });
            }
            return Ok(());
        };
        match making {
            Making::Inserted { server, id, what } => {
                let number = self.dice.random();
                if let Err(taken) = self.apis[api].registry.begin_claims(&[(id, number)]) {
                    self.servers[server].last_id = self.servers[server].last_id.max(taken.up_to);
                    return Ok(());
                }
                self.apis[api].making = Some(Making::Claimed { server, id, what, number });
            }
            Making::Claimed { server, id, what, number } => {
                let claim = (self.bug != Bug::LaterClaimCounts).then_some(number);
                let offset = self.publish(SensorRecord { sensor_id: id, sensor: Some(what.clone()), claim });
                self.apis[api].making = Some(Making::Published { server, id, what, offset });
            }
            Making::Published { server, id, what, offset } => {
                read(&self.topic, &mut self.apis[api].registry, offset + 1);
                let is_first = self.apis[api].registry.end_claim(id);
                if is_first || matches!(self.bug, Bug::NotReadBack | Bug::LaterClaimCounts) {
                    self.commit(server, id, &what)?;
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, server: usize, id: i32, what: &Description) -> Result<(), String> {
        let database = &mut self.servers[server];
        if !self.alive[server] || database.rows.contains_key(&id) {
            return Ok(());
        }
        database.rows.insert(id, what.clone());
        database.changes.push(id);
        match self.answered.insert(id, what.clone()) {
            Some(other) => Err(format!("{id} is {} and {}", other.sensor_type, what.sensor_type)),
            None => Ok(()),
        }
    }

    fn state_of(&self, server: usize, id: i32) -> SensorRecord {
        SensorRecord::state(id, self.servers[server].rows.get(&id).cloned())
    }

    fn step_of_worker(&mut self) -> Result<(), String> {
        match std::mem::replace(&mut self.keeping, Keeping::Idle) {
            Keeping::Idle => {
                let server = self.primary();
                let changes = self.servers[server].changes.clone();
                if !changes.is_empty() && self.dice.random_bool(0.5) {
                    for id in changes.iter().copied().collect::<BTreeSet<_>>() {
                        let record = self.state_of(server, id);
                        self.publish(record);
                    }
                    self.keeping = Keeping::Told { server, changes };
                } else {
                    self.compare(server);
                }
            }
            Keeping::Told { server, changes } => {
                if server == self.primary() {
                    self.servers[server].changes.drain(..changes.len());
                }
            }
            Keeping::Compared { server, lost, end } => {
                if server == self.primary() {
                    self.make_again(server, lost, end)?;
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, server: usize) {
        let end = self.end();
        read(&self.topic, &mut self.worker, end);
        let database = &self.servers[server];
        let latest: HashMap<i32, Latest> = self.worker.since(database.next_offset).into_iter().collect();
        let rows = latest.keys().map(|&sensor_id| Row {
            sensor_id,
            sensor: database.rows.get(&sensor_id).cloned(),
            has_changed: self.bug != Bug::ChangesNotSeen && database.changes.contains(&sensor_id),
        });
        let known = Known { up_to: database.next_offset, topic_lacks_changes: false };
        let lost = Lost::of(&latest, rows.collect(), known);
        self.keeping = Keeping::Compared { server, lost, end };
    }

    fn make_again(&mut self, server: usize, lost: Lost, end: i64) -> Result<(), String> {
        let database = &mut self.servers[server];
        for (latest, row) in lost.sensors {
            let Some(said) = self.topic[usize::try_from(latest.offset).unwrap()].sensor.clone() else {
                continue;
            };
            let has_changed = database.changes.contains(&row.sensor_id);
            if has_changed && self.bug != Bug::ChangesNotSeen {
                continue;
            }
            if has_changed && row.sensor.is_none() {
                return Err(format!("{} was deleted, and is made again", row.sensor_id));
            }
            // Only what is as it was seen is changed.
            if database.rows.get(&row.sensor_id) == row.sensor.as_ref() {
                database.rows.insert(row.sensor_id, said);
            }
        }
        database.changes.extend(lost.deletions);
        database.next_offset = end;
        Ok(())
    }

    /// Everybody ends what is under way; then nothing happens but the worker's work.
    fn settle(&mut self) -> Result<(), String> {
        for api in 0..self.apis.len() {
            while self.apis[api].making.is_some() {
                self.step_of_api(api)?;
            }
        }
        for _ in 0..200 {
            self.step_of_worker()?;
        }
        let database = &self.servers[self.primary()];
        for (id, what) in self.answered.iter().filter(|(id, _)| !self.touched.contains(id)) {
            match database.rows.get(id) {
                Some(row) if row.sensor_type == what.sensor_type => {}
                row => return Err(format!("{id} was answered as {}, and is {row:?}", what.sensor_type)),
            }
        }
        let told: BTreeSet<i32> = self.worker.sensors().collect();
        let there: BTreeSet<i32> = database.rows.keys().copied().collect();
        if told == there { Ok(()) } else { Err(format!("the topic has {told:?}, the table {there:?}")) }
    }
}

fn history(seed: u64, bug: Bug) -> Result<(), String> {
    let mut world = World::new(seed, bug);
    for _ in 0..world.dice.random_range(20..200) {
        world.step()?;
    }
    world.settle()
}

#[test]
fn no_history_gives_an_id_out_twice_or_loses_a_sensor() {
    for seed in 0..3_000 {
        history(seed, Bug::None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn each_planted_bug_is_found() {
    for bug in [Bug::NotReadBack, Bug::LaterClaimCounts, Bug::ChangesNotSeen] {
        let found = (0..3_000).find_map(|seed| history(seed, bug).err().map(|error| (seed, error)));
        let (seed, error) = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {error}");
    }
}
