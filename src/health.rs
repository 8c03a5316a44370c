//! What the process knows of its own health; `/readyz` and `/healthz` show it.
//!
//! A [`Component`] is set by whoever talks to the thing, a [`Pulse`] is beaten by a loop each time it turns; a
//! [`Health`] is read by whoever is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::reading::Timestamp;

/// Whether the process is ready without a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Not ready while it is down.
    Required,
    /// Shown, but the process does its work without it.
    Optional,
}

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It answered lately.
    Up,
    /// It did not, and why.
    Down(String),
}

/// The health of this process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    components: Mutex<BTreeMap<&'static str, (Need, Component)>>,
    pulses: Mutex<Vec<Weak<Beats>>>,
}

/// A loop's way to say that it turns; one that was dropped is not missed. Clones beat for the same loop.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    name: String,
    started: Instant,
    /// Milliseconds from the start to the last beat.
    last_ms: AtomicU64,
    stuck_after: Duration,
}

/// One part's handle to say how it is; clones speak for the same part.
#[derive(Clone, Debug)]
pub struct Component {
    name: &'static str,
    /// With the time since when it has been up, or down.
    state: Arc<Mutex<(State, Timestamp)>>,
    is_out: Arc<AtomicBool>,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether work should be sent here.
    pub ready: bool,
    /// Whether the process is on its way out.
    pub stopping: bool,
    /// Each component by name.
    pub components: BTreeMap<&'static str, State>,
}

impl Health {
    /// Adds a component, down until it says otherwise; one of the same name is replaced.
    pub fn component(&self, name: &'static str, need: Need) -> Component {
        let state = Arc::new(Mutex::new((State::Down("starting".to_owned()), Timestamp::now())));
        let component = Component { name, state, is_out: Arc::default() };
        let mut components = self.0.components.lock();
        components.insert(name, (need, component.clone()));
        component
    }

    /// Adds a loop that is stuck when it has not beaten for so long; it begins now.
    pub fn pulse(&self, name: String, stuck_after: Duration) -> Pulse {
        let beats =
            Arc::new(Beats { name, started: Instant::now(), last_ms: AtomicU64::new(0), stuck_after });
        let mut pulses = self.0.pulses.lock();
        pulses.retain(|pulse| pulse.strong_count() > 0);
        pulses.push(Arc::downgrade(&beats));
        Pulse(beats)
    }

    /// The loops that do not turn, by name; only a restart mends that.
    pub fn stuck(&self) -> Vec<String> {
        let pulses = self.0.pulses.lock();
        let alive = pulses.iter().filter_map(Weak::upgrade);
        alive.filter(|beats| beats.is_stuck()).map(|beats| beats.name.clone()).collect()
    }

    /// From now on the process is not ready, whatever its components say.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// How everything is now.
    pub fn report(&self) -> Report {
        let stopping = self.0.stopping.load(Ordering::Relaxed);
        let mut ready = !stopping;
        let components = self.0.components.lock();
        let components = components
            .iter()
            .map(|(&name, (need, component))| {
                let state = component.state();
                ready &= *need == Need::Optional || state == State::Up;
                (name, state)
            })
            .collect();
        Report { ready, stopping, components }
    }
}

impl Pulse {
    /// The loop turns. Costs a look at the clock.
    pub fn beat(&self) {
        self.0.last_ms.store(self.0.elapsed_ms(), Ordering::Relaxed);
    }
}

impl Beats {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_stuck(&self) -> bool {
        let silent_ms = self.elapsed_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed));
        Duration::from_millis(silent_ms) > self.stuck_after
    }
}

impl Component {
    /// It answered.
    pub fn up(&self) {
        self.set(State::Up);
    }

    /// It did not; the reason is for people and holds no secret.
    pub fn down(&self, reason: impl Into<String>) {
        self.set(State::Down(reason.into()));
    }

    /// Whether it was asked and did not answer; cheap enough for every request. One not asked yet is not out.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.state_since().0
    }

    /// How it is, and since when it has been up, or down, without a break.
    pub fn state_since(&self) -> (State, Timestamp) {
        self.state.lock().clone()
    }

    /// Logs a change of direction and nothing else, so that an outage is two lines.
    fn set(&self, next: State) {
        let mut state = self.state.lock();
        let since = if (state.0 == State::Up) == (next == State::Up) { state.1 } else { Timestamp::now() };
        match (&state.0, &next) {
            (State::Down(_), State::Up) => tracing::info!(component = self.name, "{} is up", self.name),
            (State::Up, State::Down(reason)) => {
                tracing::warn!(component = self.name, "{} is down: {reason}", self.name);
            }
            (State::Up, State::Up) | (State::Down(_), State::Down(_)) => {}
        }
        self.is_out.store(next != State::Up, Ordering::Relaxed);
        *state = (next, since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_what_is_required_and_nothing_else() {
        let health = Health::default();
        assert!(health.report().ready);
        let kafka = health.component("kafka", Need::Required);
        let postgres = health.component("postgres", Need::Optional);
        assert!(!health.report().ready, "nothing is known yet");
        assert!(!kafka.is_out());
        kafka.up();
        assert!(health.report().ready);
        assert_eq!(health.report().components["postgres"], State::Down("starting".to_owned()));
        postgres.up();
        kafka.down("no broker answers");
        assert!(!health.report().ready);
        assert!(kafka.is_out());
        kafka.up();
        assert!(!kafka.is_out());
    }

    #[test]
    fn another_reason_is_no_change_of_direction() {
        let kafka = Health::default().component("kafka", Need::Required);
        let started = kafka.state_since().1;
        kafka.down("no broker answers");
        assert_eq!(kafka.state_since(), (State::Down("no broker answers".to_owned()), started));
        std::thread::sleep(std::time::Duration::from_millis(2));
        kafka.up();
        let (state, since) = kafka.state_since();
        assert!(state == State::Up && since > started);
        kafka.up();
        assert_eq!(kafka.state_since().1, since);
    }

    #[test]
    fn a_loop_that_does_not_turn_is_stuck_until_it_does_or_ends() {
        let health = Health::default();
        let (quick, slow) = (
            health.pulse("quick".to_owned(), Duration::from_millis(1)),
            health.pulse("slow".to_owned(), Duration::from_secs(3_600)),
        );
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(health.stuck(), ["quick"]);
        slow.beat();
        drop(quick);
        assert!(health.stuck().is_empty());
    }

    #[test]
    fn a_process_that_stops_is_not_ready() {
        let health = Health::default();
        health.component("kafka", Need::Required).up();
        health.stopping();
        let report = health.report();
        assert!(report.stopping && !report.ready);
    }
}
