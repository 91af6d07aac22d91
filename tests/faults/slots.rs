//! Many contenders for the few slots of an environment, with holders and orchestrators that die.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_model::*;

use super::ground::{Ground, Note, is_exhaustive};
use super::world::{Made, World};
use crate::engines::Engine;
use crate::orchestrator::{LIMIT, Site, agent};

const SLOTS: usize = 3;
/// Time that an ordinary run may take.
const ORDINARY: Duration = Duration::from_secs(10);

/// What was seen of the grants so far.
#[derive(Default)]
struct Grants {
    fences: BTreeMap<LeaseId, i64>,
    highest: i64,
}

impl Grants {
    /// Takes a look: fences rise and stay, and no more hold than there are slots.
    fn look(&mut self, world: &World) {
        let holds =
            |l: &&LeaseRow| matches!(l.status, LeaseStatus::Acquiring | LeaseStatus::Active | LeaseStatus::Releasing);
        let holders: Vec<i64> = world.leases.iter().filter(holds).map(|l| l.number).collect();
        assert!(holders.len() <= SLOTS, "{holders:?} hold one of {SLOTS} slots");
        let before = self.highest;
        for lease in &world.leases {
            let Some(fence) = lease.fence else { continue };
            match self.fences.insert(lease.id, fence) {
                Some(earlier) => assert_eq!(earlier, fence, "the fence of L-{} changed", lease.number),
                None => assert!(fence > before, "L-{} was granted fence {fence} after {before}", lease.number),
            }
            self.highest = self.highest.max(fence);
        }
    }
}

/// A holder, or whoever reigns, dies by the seed.
fn strike(ground: &mut Ground, world: &World) -> bool {
    let live: Vec<RunId> = world
        .runs
        .iter()
        .filter(|r| r.row.status == RunStatus::Running && r.row.process_pid.is_some())
        .map(|r| r.row.id)
        .collect();
    if live.is_empty() {
        return false;
    }
    if ground.nemesis.below(4) == 0 {
        ground.kill_orchestrator();
        ground.reign();
        return true;
    }
    let whom = live[ground.nemesis.below(live.len() as u64) as usize];
    // It may have ended in between.
    let made = Made::all(&ground.site.data).into_iter().find(|m| m.id == whom.text());
    let shim = made.and_then(|m| super::nemesis::shim_of(&m.dir));
    shim.is_some_and(|shim| ground.nemesis.kill("the shim of a holder", shim))
}

/// Three at once: each slot can be held again.
fn all_slots_are_there(site: &Site) {
    let runs: Vec<RunId> = (0..SLOTS).map(|_| site.begin_run("last")).collect();
    site.wait_and_look("three holders at once", || {
        runs.iter().all(|run| site.run(*run).run.process_pid.is_some()).then_some(())
    });
    std::fs::write(site.path("out/go"), "").unwrap();
    for run in runs {
        assert_eq!(site.settled(run).status, RunStatus::Succeeded);
    }
}

#[test]
pub fn f39_many_contenders_for_three_slots_of_an_environment() {
    let (contenders, deaths_max) = if is_exhaustive() { (200, 40) } else { (12, 4) };
    // A grant is held by whoever makes its directory; it stays, so that nobody can hold the same one later.
    let hold = "mkdir $ROOT/out/fence-$WHARF_LEASE_FENCE || exit 9; sleep 0.1";
    let wait = "until [ -e $ROOT/out/go ]; do sleep 0.02; done";
    let more = "concurrent_runs = 50\ngrace = \"100ms\"\nenvironment = \"box\"\n";
    let config = format!(
        "[workspace]\nmode = \"shared_workspace\"\nconcurrency = \"allow\"\n{}{}",
        agent("one", more, hold),
        agent("last", more, wait)
    );
    let grounds = match Engine::Bubblewrap.site(&format!("slots = {SLOTS}"), &config) {
        Ok(grounds) => grounds,
        Err(why) => {
            Note::begin("f39-slots").skip(&format!("driver sandbox/bubblewrap: {why}"));
            return;
        }
    };
    let began = Instant::now();
    let mut ground = Ground::on("f39-slots", 39, grounds.into_site());
    ground.reign();
    let asked: Vec<RequestId> = (0..contenders).map(|_| ground.site.ask_run("one", json!({}))).collect();
    let runs: Vec<RunId> = asked.into_iter().map(|request| ground.site.run_of(request)).collect();
    let (mut grants, mut deaths) = (Grants::default(), 0);
    let end = began + if is_exhaustive() { 30 * LIMIT } else { 6 * ORDINARY };
    loop {
        let world = ground.look("among the contenders");
        grants.look(&world);
        let waits: Vec<i64> = world.runs.iter().filter(|r| !r.row.status.is_terminal()).map(|r| r.row.number).collect();
        if waits.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "these never had their turn: {waits:?}");
        if deaths < deaths_max && strike(&mut ground, &world) {
            deaths += 1;
        }
        ground.nemesis.pause(Duration::from_millis(60));
    }
    for run in &runs {
        ground.site.settled(*run);
    }
    let world = ground.at_rest();
    grants.look(&world);
    assert_eq!((world.runs.len(), world.leases.len()), (contenders, contenders), "one grant for each");
    assert!(world.leases.iter().all(|l| l.status.is_terminal()), "every grant ends");
    assert!(world.leases.iter().all(|l| l.fence.is_some()), "nobody is left out");
    let twice: Vec<i64> = world.runs.iter().filter(|r| r.row.exit_code == Some(9)).map(|r| r.row.number).collect();
    assert!(twice.is_empty(), "these hold a grant that another one had: {twice:?}");
    assert!(deaths > 0 && world.runs.iter().any(|r| r.row.status == RunStatus::Succeeded));
    // Whoever asked first had its turn first.
    let mut order: Vec<(i64, i64)> = world.leases.iter().filter_map(|l| Some((l.number, l.fence?))).collect();
    order.sort_unstable();
    let overtaken = order.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
    assert_eq!(overtaken, 0, "nobody is overtaken: {order:?}");
    all_slots_are_there(&ground.site);
    if !is_exhaustive() {
        super::ground::within_criterion("the ordinary form", began, ORDINARY);
    }
}
