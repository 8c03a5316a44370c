//! Random steps for a long time, from a seed: far larger worlds than can be explored, and far faster than real time.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::world::{Broken, Bug, Fetch, GroupProtocol, Rules, Step, World};

/// Seeds of a run in `dev/test`; `dev/simulate` goes through more.
const SEEDS: u64 = 100_000;
/// How long it may take to find a mistake that was made on purpose.
const PATIENCE: Duration = Duration::from_secs(60);
/// Failing seeds that are looked at for the shortest trace.
const SHORTEST_OF: usize = 20;
/// Steps that are shown of how a world settles, or does not.
const SETTLING_SHOWN: usize = 30;

/// What a failing seed did.
struct Failure {
    seed: u64,
    broken: String,
    rules: Rules,
    trace: Vec<Step>,
    world: World,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken, rules, trace, world } = self;
        writeln!(f, "seed {seed} in {rules:?}: {broken}, after {} steps:", trace.len())?;
        trace.iter().try_for_each(|step| writeln!(f, "  {step:?}"))?;
        writeln!(f, "{world:?}")
    }
}

/// The world of a seed.
fn rules(random: &mut StdRng, bug: Option<Bug>) -> Rules {
    let group = [GroupProtocol::Eager, GroupProtocol::Cooperative, GroupProtocol::Consumer];
    Rules {
        consumers: random.random_range(1..=3),
        partitions: random.random_range(1..=3),
        records: random.random_range(0..=3),
        appends: random.random_range(0..=6),
        faults: random.random_range(1..=6),
        group: group[random.random_range(0..group.len())],
        disasters: random.random_bool(0.5),
        turns_at_once: random.random_bool(0.5),
        bug,
    }
}

/// Goes through one seed's world, to its end.
fn simulate(seed: u64, bug: Option<Bug>) -> Result<usize, Box<Failure>> {
    let mut random = StdRng::seed_from_u64(seed);
    let rules = rules(&mut random, bug);
    let mut world = World::new(&rules);
    let mut trace = Vec::new();
    let ended = panic::catch_unwind(AssertUnwindSafe(|| walk(&mut random, &rules, &mut world, &mut trace)));
    let broken = match ended {
        Ok(Ok(())) => return Ok(trace.len()),
        Ok(Err(broken)) => format!("{broken:?}"),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        }
    };
    Err(Box::new(Failure { seed, broken, rules, trace, world }))
}

fn walk(random: &mut StdRng, rules: &Rules, world: &mut World, trace: &mut Vec<Step>) -> Result<(), Broken> {
    let mut steps = Vec::new();
    for _ in 0..random.random_range(20..150) {
        steps.clear();
        // Rare enough that there is something to break.
        if random.random_bool(0.1) {
            world.faults(rules, &mut steps);
        }
        if steps.is_empty() {
            world.steps(rules, &mut steps);
        }
        if steps.is_empty() {
            break;
        }
        let step = match steps[random.random_range(0..steps.len())] {
            // An operator takes longer than anything else.
            Step::Accept(_) if random.random_bool(0.9) => continue,
            Step::Fetch(fetch) => Step::Fetch(Fetch { most: random.random_range(1..=4), ..fetch }),
            Step::Turn { consumer, .. } => {
                // Mostly at once, now and then late, and as late as anything waits.
                let longest = [0, 60, 3_000, 20_000][random.random_range(0..4)];
                Step::Turn { consumer, waited: Duration::from_millis(random.random_range(0..=longest)) }
            }
            step => step,
        };
        trace.push(step);
        world.take(rules, step);
        if let Some(broken) = world.broken() {
            return Err(broken);
        }
    }
    // One that is stuck turns round and round.
    let until = trace.len() + SETTLING_SHOWN;
    world.settle(rules, |step| {
        if trace.len() < until && !matches!(step, Step::Turn { .. }) {
            trace.push(step);
        }
    })
}

/// Goes through seeds on every core until one fails, or there are no more.
fn first_failure(
    seeds: std::ops::Range<u64>,
    bug: Option<Bug>,
    until: Option<Instant>,
) -> Option<Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<Box<Failure>> = thread::scope(|scope| {
        let search = || loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || until.is_some_and(|until| Instant::now() >= until) {
                return None;
            }
            if let Err(failure) = simulate(seed, bug) {
                next.store(seeds.end, Ordering::Relaxed);
                return Some(failure);
            }
        };
        let searches: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
        searches.into_iter().filter_map(|search| search.join().expect("its panics are caught")).collect()
    });
    failures.into_iter().min_by_key(|failure| failure.trace.len())
}

/// The shortest trace of a few that fail.
fn shortest(first: Box<Failure>, bug: Option<Bug>) -> Box<Failure> {
    let mut shortest = first;
    for seed in
        (shortest.seed + 1..).take(2_000).filter_map(|seed| simulate(seed, bug).err()).take(SHORTEST_OF)
    {
        if seed.trace.len() < shortest.trace.len() {
            shortest = seed;
        }
    }
    shortest
}

#[test]
fn whatever_goes_wrong_every_reading_is_stored_once() {
    let seeds = std::env::var("SIMULATION_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let first = std::env::var("SIMULATION_FIRST").map_or(0, |first| first.parse().expect("a number"));
    let started = Instant::now();
    if let Some(failure) = first_failure(first..first + seeds, None, None) {
        panic!("{}", shortest(failure, None));
    }
    println!("{seeds} seeds from {first} in {:.1?}", started.elapsed());
}

#[test]
fn every_mistake_is_found_within_a_minute() {
    for bug in Bug::ALL {
        let started = Instant::now();
        let failure = first_failure(0..u64::MAX, Some(bug), Some(started + PATIENCE));
        let Some(failure) = failure else { panic!("{bug:?} is not found, so the simulation proves nothing") };
        let (seed, took) = (failure.seed, started.elapsed());
        println!("{bug:?}: {} in {took:.1?}, seed {seed}, {} steps", failure.broken, failure.trace.len());
    }
}
