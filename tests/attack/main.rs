//! Everything that one user, one id, one machine or one clock can do to the ImageTasks of another, in virtual time: worlds
//! made from a seed, with attackers in them. Afterwards a list of statements must hold for every honest ImageTask.
//!
//! `IMAGETASK_ATTACK_SEED=7 cargo test --test attack` runs one seed, `IMAGETASK_ATTACK_SEEDS=20` that many fresh ones.
//! A red run leaves its calls, statuses and events in a folder that it names.
//!
//! The world is the same for the same seed. The program keeps maps in an order of chance: where it serves several
//! ImageTasks of one Secret, it may serve them in another order the next time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapter;
mod checks;
mod clocks;
mod cloud;
mod cluster;
mod evidence;
mod profiles;
mod record;
mod scenario;
mod truth;
mod world;

use std::collections::BTreeMap;

use checks::{Finding, STATEMENTS, check};
use profiles::Profile;
use scenario::Scenario;
use truth::Run;
use world::World;

/// The runs that are always made: each profile comes with as many of them.
const ROUNDS: u64 = 2;

/// Seeds besides them, each chosen because it finds a deliberate break that they do not.
const FINDERS: [u64; 13] = [29, 38, 75, 88, 175, 181, 194, 266, 304, 332, 1_059, 1_364, 741_107];

#[test]
fn nobodys_trouble_reaches_another() {
    let (seeds, is_whole) = seeds();
    let mut checked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut red = Vec::new();
    for seed in seeds {
        let findings = run(seed);
        for finding in &findings {
            *checked.entry(finding.statement).or_default() += finding.checked;
        }
        let broken: Vec<_> = findings.iter().filter(|it| it.against.is_some()).collect();
        if !broken.is_empty() {
            red.push(seed.to_string());
            for finding in broken {
                let against = finding.against.as_deref().unwrap_or_default();
                eprintln!("  {}: {against}", finding.statement.replace('_', " "));
            }
            eprintln!("  the evidence is in {}", evidence::folder(seed).display());
        }
    }
    assert!(
        red.is_empty(),
        "red: IMAGETASK_ATTACK_SEED={}; the evidence is in {}",
        red.join(", "),
        evidence::root().display()
    );
    for (statement, _) in STATEMENTS.iter().filter(|_| is_whole) {
        assert_ne!(checked.get(statement), Some(&0), "no run had anything to say of: {}", statement.replace('_', " "));
    }
}

fn run(seed: u64) -> Vec<Finding> {
    let scenario = Scenario::of(seed);
    eprintln!("IMAGETASK_ATTACK_SEED={seed} ({:?})", scenario.profile);
    let record = World::new(&scenario).run();
    let run = Run::new(&scenario, &record);
    let findings = check(&run);
    if findings.iter().any(|it| it.against.is_some()) {
        evidence::write(&run, &findings);
    }
    findings
}

/// The seeds to run, and whether every statement must be spoken of by them.
#[expect(clippy::disallowed_methods, reason = "the seeds are chosen by whoever runs the tests")]
fn seeds() -> (Vec<u64>, bool) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    match (number("IMAGETASK_ATTACK_SEED"), number("IMAGETASK_ATTACK_SEEDS")) {
        (Some(seed), _) => (vec![seed], false),
        (None, Some(count)) => ((0..count).map(|_| fastrand::u64(..1_000_000)).collect(), false),
        (None, None) => ((0..ROUNDS * Profile::ALL.len() as u64).chain(FINDERS).collect(), true),
    }
}
