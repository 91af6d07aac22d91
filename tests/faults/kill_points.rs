//! The orchestrator is killed at every moment between two durable steps, and the next one brings
//! everything to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;

use serde_json::json;
use wharf_model::*;
use wharf_store::log::{LogReader, Stream, StreamSet, copy_to, last_exit_frame};
use wharf_store::view::ActivityQuery;

use super::checker::{self, Books};
use super::ground::{Note, is_exhaustive};
use super::trees::SHIM_POINTS;
use crate::orchestrator::*;

/// Variable that names where to die.
const DIE: &str = "WHARF_KILL_POINT";
/// Scenarios side by side: they mostly wait for the disk.
const WORKERS: usize = 6;
/// Deaths of one scenario in an ordinary run, where another test dies at the same points; all of them with
/// `WHARF_TEST_EXHAUSTIVE`.
const SHARE: usize = 16;

/// The names of contracts 10.
const CONTRACT: &[(&str, &str)] = &[
    ("request", "inserted accepted answered"),
    (
        "run",
        "claimed step_committed spawn_intended dir_made spec_synced link_made shim_spawned started_seen end_seen \
         collected end_committed link_removed",
    ),
    (
        "shim",
        "locked id_written child_spawned child_id_written first_frame stop_recorded term_sent kill_sent \
         exit_frame_written exit_synced exit_json",
    ),
    ("lease", "intended provider_called active_committed release_intended provider_released release_committed"),
    (
        "workspace",
        "intended worktree_added provisioned realised_there committed snapshot_made snapshot_committed \
         remove_intended commands_run removed remove_committed restore_intended before_kept brought_back empty_intended emptied \
         trash_recorded trash_held trash_moved trash_parked trash_branch trash_emptying trash_removing trash_emptied \
         trash_entry_removed trash_ref_removed entry_held entry_parked parked_told \
         restore_branch restore_entry restore_moved restore_kept restore_removed restore_written restore_exchanged \
         restore_file restore_modes",
    ),
    ("service", "intended prestart_planned prestart_done port_reserved spawned ready_committed stop_intended stopped"),
    ("seal", "hashed compressed verified renamed row_committed old_removed"),
    ("gc", "log_removed"),
    ("store", "backup_made migration_statement migrated set_aside restored"),
    ("elect", "locked epoch_committed adopted"),
    ("config", "read accepted"),
];
/// Those of steps that are not built yet, and of those that have tests of their own.
const NOT_HERE: &[&str] = &[
    // Passed where something stands in a start's way: tests/crash/services.rs.
    "service.prestart_planned",
    "service.prestart_done",
    // Passed where a driver leads elsewhere: tests/crash/leases.rs.
    "workspace.realised_there",
    "run.collected",
    // Of what becomes of workspaces after their runs: tests/crash/workspaces.rs.
    "workspace.snapshot_made",
    "workspace.snapshot_committed",
    "workspace.remove_intended",
    "workspace.commands_run",
    "workspace.removed",
    "workspace.remove_committed",
    // Every step of the trash and of a restore: tests/destroy.rs.
    "workspace.trash_recorded",
    "workspace.trash_held",
    "workspace.trash_moved",
    "workspace.trash_parked",
    "workspace.trash_branch",
    "workspace.trash_emptying",
    "workspace.trash_removing",
    "workspace.trash_emptied",
    "workspace.trash_entry_removed",
    "workspace.trash_ref_removed",
    "workspace.entry_held",
    "workspace.entry_parked",
    "workspace.parked_told",
    "workspace.restore_branch",
    "workspace.restore_entry",
    "workspace.restore_moved",
    "workspace.restore_kept",
    "workspace.restore_removed",
    "workspace.restore_written",
    "workspace.restore_exchanged",
    "workspace.restore_file",
    "workspace.restore_modes",
    "workspace.restore_intended",
    "workspace.before_kept",
    "workspace.brought_back",
    "workspace.empty_intended",
    "workspace.emptied",
    "store.backup_made",
    "store.migration_statement",
    "store.migrated",
    "store.set_aside",
    "store.restored",
];

fn seed(otherwise: u64) -> u64 {
    std::env::var("WHARF_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(otherwise)
}

/// The points of the program under test: names of the contract that its executable holds and its source passes.
fn points_of_the_program() -> BTreeSet<String> {
    let program = fs::read(WHARF).unwrap();
    let mut passed = String::new();
    let mut dirs = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                // In these the names stand apart from the call.
                let is_table = path.ends_with("dispatch/committed.rs") || path.ends_with("run/seal.rs");
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|l| is_table || l.contains("kill_point(\""));
                lines.for_each(|line| passed.push_str(line));
            }
        }
    }
    let all = CONTRACT.iter().flat_map(|(verb, steps)| steps.split(' ').map(move |step| format!("{verb}.{step}")));
    let is_passed = |name: &String| passed.contains(&format!("\"{name}\""));
    let points: BTreeSet<String> = all.filter(is_passed).collect();
    for point in points.iter().filter(|p| !NOT_HERE.contains(&p.as_str())) {
        assert!(memchr::memmem::find(&program, point.as_bytes()).is_some(), "{point} is not in {WHARF}");
    }
    let calls = passed.matches("kill_point(\"").count();
    let known = points.iter().filter(|p| passed.contains(&format!("kill_point(\"{p}\")"))).count();
    assert!(known <= calls && calls > 20, "{calls} calls");
    for call in passed.split("kill_point(\"").skip(1) {
        let name = call.split('"').next().unwrap();
        assert!(points.contains(name), "{name} is no kill point of the contract");
    }
    points
}
/// A course of events that ends by itself, whichever orchestrators carry it out.
struct Scenario {
    site: fn() -> Site,
    /// Asks what is to be asked next.
    next: fn(&Site, &mut Vec<RequestId>),
    /// How many requests it makes.
    requests: usize,
    check: fn(&Site, &[RequestId]),
    /// Points of the contract that it must pass.
    passes: &'static [&'static str],
}

/// A run with everything: worktree, provisioning, a service, output, a lease, hashes.
const WHOLE_RUN: Scenario = Scenario {
    site: || {
        let script = "echo $$ >> $ROOT/starts; echo hello; sleep 0.2; exit 7";
        let service = listener("web", "stop = { policy = \"on_run_finish\", grace = \"2s\" }");
        let worker = agent("worker", "services = [\"web\"]\n", script);
        Site::git(&format!("[workspace]\nprovision = \"echo $$ >> $ROOT/provisions\"\n{worker}{service}"))
    },
    next: |site, requests| {
        if requests.is_empty() {
            requests.push(site.ask_run("worker", json!({})));
        }
    },
    requests: 1,
    check: |site, requests| {
        let row = site.run(site.run_of(requests[0])).run;
        assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(7)), "{:?}", row.error);
        assert_eq!((row.attempt, row.number), (1, 1));
        assert_eq!(site.lines("starts").len(), 1, "the child was started once");
        assert_eq!(site.lines("provisions").len(), 1, "the workspace was provisioned once");
        assert_eq!(site.lines("web.starts").len(), 1, "the service was started once");
        assert_eq!((site.noted(row.id, "run.ended"), site.noted(row.id, "run.cancelled")), (1, 0));
        assert_eq!(site.noted(row.id, "run.queued"), 1);
        assert_eq!(row.stdout_bytes, Some(6));
        assert!(row.stdout_sha256.is_some(), "its log is sealed");
        let detail = site.run(row.id);
        assert_eq!(detail.lease.unwrap().lease.status, LeaseStatus::Failed, "the lease ended with its run");
        assert_eq!(detail.workspace.unwrap().status, WorkspaceStatus::Idle);
        let open = detail.steps.iter().find(|s| !matches!(s.status, StepStatus::Succeeded | StepStatus::Failed));
        assert_eq!(open, None);
        let granted = ActivityQuery { action: Some("environment.lease_acquired".into()), ..ActivityQuery::default() };
        assert_eq!(site.activity(&granted).len(), 1, "one grant");
        assert_eq!(site.service("web").service.status, ServiceStatus::Stopped);
    },
    passes: &[
        "config.accepted",
        "config.read",
        "elect.adopted",
        "elect.epoch_committed",
        "elect.locked",
        "lease.active_committed",
        "lease.intended",
        "lease.provider_called",
        "lease.provider_released",
        "lease.release_committed",
        "lease.release_intended",
        "request.answered",
        "request.inserted",
        "run.claimed",
        "run.dir_made",
        "run.end_committed",
        "run.end_seen",
        "run.link_made",
        "run.link_removed",
        "run.shim_spawned",
        "run.spawn_intended",
        "run.spec_synced",
        "run.started_seen",
        "run.step_committed",
        "seal.hashed",
        "service.intended",
        "service.port_reserved",
        "service.ready_committed",
        "service.spawned",
        "service.stop_intended",
        "service.stopped",
        "workspace.committed",
        "workspace.intended",
        "workspace.provisioned",
        "workspace.worktree_added",
    ],
};

/// A run that an operator stops and that must be killed for it.
const STOPPED_RUN: Scenario = Scenario {
    site: || {
        let script = "trap '' TERM; echo $$ >> $ROOT/starts; while :; do sleep 1; done";
        Site::plain(&agent("stubborn", "", script))
    },
    next: |site, requests| match requests[..] {
        [] => requests.push(site.ask_run("stubborn", json!({}))),
        [asked] => {
            let row = site.request(asked).and_then(|r| r.result).and_then(|r| r["run_id"].as_str()?.parse().ok());
            // Once it no longer listens.
            if let Some(run) = row.filter(|_| !site.lines("starts").is_empty()) {
                requests.push(site.cancel(run, 100));
            }
        }
        _ => {}
    },
    requests: 2,
    check: |site, requests| {
        let row = site.run(site.run_of(requests[0])).run;
        assert_eq!((row.status, row.stop_reason), (RunStatus::Cancelled, Some(StopReason::Operator)));
        assert_eq!((row.signal.as_deref(), row.attempt), (Some("SIGKILL"), 1));
        assert_eq!(site.lines("starts").len(), 1, "the child was started once");
        assert_eq!(site.run(row.id).lease.unwrap().lease.status, LeaseStatus::Released);
    },
    passes: &["request.accepted", "run.end_seen", "run.end_committed"],
};

/// A run that prints enough for its log to be compressed.
const LOUD_RUN: Scenario = Scenario {
    site: || Site::plain(&agent("loud", "", "seq 1 30000; seq 1 9 >&2")),
    next: |site, requests| {
        if requests.is_empty() {
            requests.push(site.ask_run("loud", json!({})));
        }
    },
    requests: 1,
    check: |site, requests| {
        let row = site.run(site.run_of(requests[0])).run;
        assert_eq!((row.status, row.exit_code), (RunStatus::Succeeded, Some(0)), "{:?}", row.error);
        assert!(row.log_compressed);
        let dir = site.data.join(row.log_ref.unwrap());
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(
            names.contains(&"out.000001.wlog.zst".into()) && !names.contains(&"out.000001.wlog".into()),
            "{names:?}"
        );
        assert!(names.iter().all(|n| !n.to_string_lossy().ends_with(".tmp")), "{names:?}");
        let mut log = LogReader::open(&dir).unwrap();
        let hashes = log.hashes(|_| true).unwrap().unwrap();
        assert_eq!((row.log_sha256, row.stdout_sha256), (Some(hashes.log_sha256), Some(hashes.stdout_sha256)));
        let (mut printed, start) = (Vec::new(), log.start());
        copy_to(&mut log, &mut printed, StreamSet::of(&[Stream::Stdout]), start, u64::MAX).unwrap();
        let expected: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
        assert!(printed == expected.as_bytes());
        assert!(last_exit_frame(&dir).unwrap().is_some());
    },
    passes: &[
        "seal.hashed",
        "seal.compressed",
        "seal.verified",
        "seal.renamed",
        "seal.row_committed",
        "seal.old_removed",
    ],
};

/// A run whose log is removed once it has ended.
const REMOVED_LOG: Scenario = Scenario {
    site: || {
        let site = Site::plain(&agent("worker", "", "echo hello"));
        site.configure_machine("[retention]\nrun_logs = \"1ms\"\n");
        site
    },
    next: |site, requests| match requests[..] {
        [] => requests.push(site.ask_run("worker", json!({}))),
        [asked] if site.request(asked).is_some_and(|r| r.status == RequestStatus::Done) => {
            let state = site.open_rows();
            if state.runs.is_empty() && state.actions.is_empty() {
                requests.push(site.send("gc.run", None, json!({})));
            }
        }
        _ => {}
    },
    requests: 2,
    check: |site, requests| {
        let row = site.run(site.run_of(requests[0])).run;
        assert_eq!((row.status, row.stdout_bytes), (RunStatus::Succeeded, Some(6)));
        assert!(row.log_deleted_at.is_some() && row.log_deleted_reason.is_some());
        let log = site.data.join(row.log_ref.unwrap());
        assert!(!log.exists() && !log.parent().unwrap().exists());
        let collected = ActivityQuery { action: Some("store.collected".into()), ..ActivityQuery::default() };
        assert_eq!(site.activity(&collected).len(), 1);
    },
    passes: &["gc.log_removed", "request.accepted"],
};

/// A service that is started and stopped by hand.
const SERVICE_BY_HAND: Scenario = Scenario {
    site: || {
        let site = Site::plain(&listener("db", "stop = { policy = \"manual\", grace = \"2s\" }"));
        site.send("config.accept", None, json!({ "path": site.project }));
        site
    },
    next: |site, requests| match requests[..] {
        [] => {
            if let Some(item) = site.services().pop() {
                requests.push(site.ask_service("start", item.service.id));
            }
        }
        [start] if site.request(start).is_some_and(|r| r.status == RequestStatus::Done) => {
            requests.push(site.ask_service("stop", site.service("db").service.id));
        }
        _ => {}
    },
    requests: 2,
    check: |site, _| {
        let service = site.service("db").service;
        assert_eq!((service.status, service.generation), (ServiceStatus::Stopped, 1));
        assert_eq!(site.lines("db.starts").len(), 1, "the service was started once");
    },
    passes: &["request.accepted", "service.intended", "service.spawned", "service.stop_intended", "service.stopped"],
};

impl Scenario {
    /// Carries the scenario to its end. Each orchestrator that dies is followed by another: the first
    /// ones get a variable each, the last one none. Says whether every one with a variable died.
    fn play(&self, site: &Site, env: &[(&str, String)]) -> (Vec<RequestId>, bool) {
        let mut requests = Vec::new();
        let mut left = env.iter();
        let mut start = || match left.next() {
            Some((name, value)) => (site.spawn(&[(name, value)]), true),
            None => (site.start(), false),
        };
        let (mut it, mut is_doomed) = start();
        site.wait_and_look("the end of everything", || {
            (self.next)(site, &mut requests);
            if it.has_ended() {
                (it, is_doomed) = start();
            }
            let over = |id: &RequestId| site.request(*id).is_some_and(|r| r.status.is_terminal());
            let all_asked = requests.len() == self.requests && requests.iter().all(over);
            if !all_asked {
                return None;
            }
            let state = site.open_rows();
            let live = state.services.values().any(|s| s.status.is_live());
            (state.runs.is_empty() && state.actions.is_empty() && state.requests.is_empty() && !live).then_some(())
        });
        // The last commit can be seen a moment before the death after it.
        let died = !is_doomed || (env.len() == 1 && env[0].0 == DIE && it.ends_soon());
        (requests, died)
    }

    fn check_all(&self, site: &Site, requests: &[RequestId]) {
        for id in requests {
            let row = site.request(*id).unwrap();
            assert_eq!(row.status, RequestStatus::Done, "{row:?}");
        }
        (self.check)(site, requests);
        // Ends, starts, intents and strays: the seven statements.
        checker::assert_holds(&Books::default(), site, true, "at the end");
        assert_eq!(fs::read_dir(site.data.join("live")).unwrap().count(), 0, "no link is left");
        assert!(site.services().iter().all(|s| s.users.is_empty()));
        site.assert_nothing_open("at the end");
    }

    /// The points that it passes, with how often.
    fn learn(&self) -> BTreeMap<String, u32> {
        let site = (self.site)();
        let log = site.path("points");
        let (requests, _) = self.play(&site, &[("WHARF_KILL_POINT_LOG", log.display().to_string())]);
        self.check_all(&site, &requests);
        let mut points = BTreeMap::new();
        for line in site.lines("points") {
            *points.entry(line).or_default() += 1;
        }
        for needed in self.passes {
            assert!(points.contains_key(*needed), "the scenario never passes {needed}: {points:?}");
        }
        points
    }

    /// Dies at each of these points in turn; says whether they were reached.
    fn survive(&self, deaths: &[String]) -> bool {
        let site = (self.site)();
        let env: Vec<_> = deaths.iter().map(|d| (DIE, d.clone())).collect();
        let (requests, died) = self.play(&site, &env);
        self.check_all(&site, &requests);
        died
    }

    /// Plays every case beside others; a single death at a first pass must be reached.
    fn survive_all(&self, cases: &[Vec<String>]) {
        let queue = Mutex::new(cases.iter());
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let Some(deaths) = queue.lock().unwrap().next() else { return };
                        let outcome = std::panic::catch_unwind(|| self.survive(deaths));
                        let failure = match outcome {
                            Ok(true) => continue,
                            // How often a later pass comes depends on how commits fall together, and what
                            // comes after a death on where it was.
                            Ok(false) if deaths.len() > 1 || !deaths[0].ends_with(":1") => continue,
                            Ok(false) => "was never reached".to_owned(),
                            Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
                        };
                        failures.lock().unwrap().push(format!("{deaths:?}: {failure}"));
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap();
        assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
    }

    /// Dies once, at every moment. In an ordinary run only at the first pass of each point, and where another test
    /// dies at that point too (`taken`), at some of them: always the same.
    fn survive_one_death(&self, taken: &[&str]) {
        let most = if is_exhaustive() { u32::MAX } else { 1 };
        let hits = |(point, hits): (String, u32)| (1..=hits.min(most)).map(move |hit| vec![format!("{point}:{hit}")]);
        let cases = |points: BTreeMap<String, u32>| points.into_iter().flat_map(hits).collect::<Vec<_>>();
        let mut own = self.learn();
        if is_exhaustive() {
            self.survive_all(&cases(own));
            return;
        }
        let others = own.extract_if(.., |point, _| taken.contains(&point.as_str())).collect();
        let (mut own, others) = (cases(own), cases(others));
        let room = SHARE.saturating_sub(own.len()).max(1);
        own.extend(others.iter().step_by(others.len().div_ceil(room).max(1)).cloned());
        self.survive_all(&own);
    }

    /// Dies, and its followers die while they recover: some pairs and triples of moments, from a seed.
    fn survive_more_deaths(&self, rounds: usize) {
        let seed = seed(7);
        eprintln!("seed {seed}");
        let points: Vec<(String, u32)> = self.learn().into_iter().collect();
        let mut random = seed;
        let mut below = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % n
        };
        let mut death = || {
            let (point, hits) = &points[below(points.len())];
            format!("{point}:{}", 1 + below(*hits as usize))
        };
        let rounds = if is_exhaustive() { 20 * rounds } else { rounds };
        let cases: Vec<_> = (0..rounds).map(|i| (0..2 + i % 2).map(|_| death()).collect()).collect();
        self.survive_all(&cases);
    }
}

#[test]
pub fn f02_a_whole_run_survives_a_death_between_any_two_durable_steps() {
    let _note = Note::begin("f02-run");
    WHOLE_RUN.survive_one_death(&[]);
}

#[test]
pub fn f02_a_stopped_run_survives_a_death_between_any_two_durable_steps() {
    let _note = Note::begin("f02-stopped");
    STOPPED_RUN.survive_one_death(WHOLE_RUN.passes);
}

#[test]
fn a_sealing_survives_deaths_between_any_two_of_its_steps() {
    let points: Vec<_> = LOUD_RUN.learn().into_keys().filter(|p| p.starts_with("seal.")).collect();
    let once = points.iter().map(|p| vec![format!("{p}:1")]);
    // And the one that recovers dies as well, at the same place and at the next.
    let twice = points.iter().map(|p| vec![format!("{p}:1"); 2]);
    let on = points.windows(2).map(|p| p.iter().map(|p| format!("{p}:1")).collect());
    LOUD_RUN.survive_all(&once.chain(twice).chain(on).collect::<Vec<_>>());
}

#[test]
fn the_removal_of_a_log_survives_a_death_before_and_after_it() {
    let points = REMOVED_LOG.learn();
    let last = |point: &str| format!("{point}:{}", points[point]);
    let cases = [last("request.accepted"), last("gc.log_removed")];
    REMOVED_LOG.survive_all(&cases.map(|c| vec![c]));
}

#[test]
pub fn f02_a_service_by_hand_survives_a_death_between_any_two_durable_steps() {
    let _note = Note::begin("f02-service");
    SERVICE_BY_HAND.survive_one_death(WHOLE_RUN.passes);
}

#[test]
pub fn f03_a_recovery_that_is_cut_off_is_recovered_from_as_well() {
    let _note = Note::begin("f03-points");
    WHOLE_RUN.survive_more_deaths(8);
    STOPPED_RUN.survive_more_deaths(4);
    SERVICE_BY_HAND.survive_more_deaths(4);
}

#[test]
pub fn f02_every_kill_point_is_visited() {
    let _note = Note::begin("f02-visited");
    let mut visited: BTreeSet<String> = SHIM_POINTS.iter().map(|p| (*p).to_owned()).collect();
    for scenario in [&WHOLE_RUN, &STOPPED_RUN, &LOUD_RUN, &REMOVED_LOG, &SERVICE_BY_HAND] {
        visited.extend(scenario.learn().into_keys());
    }
    let points = points_of_the_program();
    let missed: Vec<&String> =
        points.iter().filter(|p| !visited.contains(*p) && !NOT_HERE.contains(&p.as_str())).collect();
    assert!(missed.is_empty(), "no scenario dies at {missed:?}");
    let strange: Vec<&String> = visited.difference(&points).collect();
    assert!(strange.is_empty(), "passed, and not in the contract: {strange:?}");
    for (verb, steps) in CONTRACT {
        for step in steps.split(' ') {
            let name = format!("{verb}.{step}");
            assert!(points.contains(&name) || NOT_HERE.contains(&name.as_str()), "the program never passes {name}");
        }
    }
}
