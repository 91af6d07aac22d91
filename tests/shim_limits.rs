//! Caps of a run through a real shim: kept by the kernel's control groups, told, and gone afterwards.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shim_common::{Place, eventually};
use wharf::process::adopt::{Verdict, judge};
use wharf::process::cgroup::{self, Cap, Groups};
use wharf::process::{identity, signal, terminate};
use wharf_model::shim::*;
use wharf_store::log::Stream;

/// Whether these caps can be kept here; says so where they cannot.
fn can_keep(caps: &[Cap]) -> bool {
    let limits = [(limit::PROCESSES, 64_u64), (limit::MEMORY, 64 << 20)];
    let asked =
        limits.iter().filter(|(name, _)| caps.iter().any(|cap| (*cap == Cap::Memory) == (*name == limit::MEMORY)));
    let asked = asked.map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let mut groups = Groups::plan(&cgroup::name("run", &uuid::Uuid::now_v7().to_string(), 0), &asked);
    groups.make();
    let report = groups.report().unwrap();
    groups.remove();
    if !report.unenforced.is_empty() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a control group keeps not all: {:?}", report.unenforced);
    }
    report.unenforced.is_empty()
}

fn limited(mut place: Place, limits: &[(&str, u64)]) -> Place {
    place.spec.limits = limits.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    place
}

fn groups_in_id(place: &Place) -> Vec<PathBuf> {
    let id: IdFile = serde_json::from_slice(&std::fs::read(place.dir.join("id.json")).unwrap()).unwrap();
    id.cgroups.iter().map(PathBuf::from).collect()
}

/// No group of this place is left.
fn none_left(place: &Place) {
    let name = cgroup::name("run", &place.spec.id, 1);
    for dir in groups_in_id(place) {
        assert_eq!(dir.file_name().unwrap().to_str(), Some(name.as_str()));
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}

/// A program that takes 200 MB and touches all of it.
fn eater() -> Place {
    Place::new(&["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"])
}

#[test]
fn no_more_processes_are_made_than_the_cap_allows() {
    if !can_keep(&[Cap::Processes]) {
        return;
    }
    let script = "i=0; while [ $i -lt 20 ]; do sleep 60 & i=$((i+1)); echo $i; done; echo all";
    let mut place = limited(Place::sh(script), &[(limit::PROCESSES, 6)]);
    place.spec.grace_ms = 50;
    let frame = place.run();
    // The shell itself counts; the sixth sleeper is one too many.
    assert_eq!(place.text(Stream::Stdout), "1\n2\n3\n4\n5\n");
    assert!(place.text(Stream::Stderr).to_lowercase().contains("fork"), "{}", place.text(Stream::Stderr));
    assert!(frame.code.is_some_and(|code| code != 0), "{frame:?}");
    let report = frame.limits.unwrap();
    assert_eq!((report.asked[limit::PROCESSES], report.unenforced.len(), report.oom_kills), (6, 0, 0));
    assert!(report.words().starts_with("6 processes (cgroup v"), "{}", report.words());
    assert_eq!(place.records("started")[0]["limits"]["by"], serde_json::json!(report.by));
    assert_eq!(frame.stop.map(|stop| stop.killed > 0 || stop.reason == "leftover"), Some(true));
    assert!(!groups_in_id(&place).is_empty());
    none_left(&place);
}

#[test]
fn too_much_memory_ends_the_run_and_its_own_group_says_so() {
    if !can_keep(&[Cap::Memory]) {
        return;
    }
    let mut place = limited(eater(), &[(limit::MEMORY, 32 << 20)]);
    let frame = place.run();
    assert_eq!((frame.signal.as_deref(), frame.code, frame.by), (Some("SIGKILL"), None, EndedBy::Itself));
    assert_eq!((frame.oom, frame.oom_evidence), (true, Some(OomEvidence::OwnGroup)));
    let report = frame.limits.unwrap();
    assert!(report.oom_kills >= 1 && report.by.is_some(), "{report:?}");
    assert!(report.words().starts_with("32 MiB (cgroup v"), "{}", report.words());
    none_left(&place);
}

#[test]
fn a_kill_by_somebody_is_no_want_of_memory_because_a_neighbour_had_too_little() {
    if !can_keep(&[Cap::Memory]) {
        return;
    }
    // One with a group of its own, one without any.
    let mut ours = [
        limited(Place::sh("echo up; exec sleep 60"), &[(limit::MEMORY, 64 << 20)]),
        Place::sh("echo up; exec sleep 60"),
    ];
    for place in &mut ours {
        place.start();
        place.wait_for_text("up");
    }
    let neighbour = limited(eater(), &[(limit::MEMORY, 32 << 20)]).run();
    assert!(neighbour.oom, "{neighbour:?}");
    for place in &mut ours {
        let Verdict::Live(Some(id)) = judge(&place.dir).unwrap() else { panic!("not alive") };
        let child = id.child.unwrap();
        let child = ProcessRef { pid: child.pid, start_ticks: child.start_ticks };
        assert!(signal::send(child, signal::Signal::KILL).unwrap());
        let frame = place.finish();
        assert_eq!((frame.signal.as_deref(), frame.oom, frame.oom_evidence), (Some("SIGKILL"), false, None));
    }
}

#[test]
fn a_stop_reaches_what_left_its_session_and_its_environment() {
    if !can_keep(&[Cap::Processes]) {
        return;
    }
    let script = "env -i setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo up; wait; sleep 60";
    let mut place = limited(Place::sh(script), &[(limit::PROCESSES, 50)]);
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    let dirs = groups_in_id(&place);
    let living = || inside(&dirs).len();
    eventually("all of it to run in the group", || (living() >= 3).then_some(()));
    let stop = Control::Stop { reason: "operator".to_owned(), grace_ms: 50 };
    assert_eq!(client.ask(&stop).unwrap(), ControlReply::Ok);
    let frame = place.finish();
    assert_eq!(frame.by, EndedBy::Stop);
    assert!(frame.stop.as_ref().is_some_and(|s| s.delivered && s.survivors.is_empty()), "{frame:?}");
    none_left(&place);
}

#[test]
fn whoever_is_in_the_group_ends_with_it_wherever_it_comes_from() {
    if !can_keep(&[Cap::Processes]) {
        return;
    }
    for keep in [Vec::new(), vec!["nobody".to_owned()]] {
        let mut place =
            limited(Place::sh("trap '' TERM; echo up; while :; do sleep 1; done"), &[(limit::PROCESSES, 50)]);
        place.spec.keep = keep;
        place.start();
        let mut client = place.watch();
        place.wait_for_text("up");
        // No descendant of the shim, and without its tag: only the group tells that it belongs there.
        let mut other = std::process::Command::new("sleep").arg("60").env_clear().spawn().unwrap();
        for dir in groups_in_id(&place) {
            std::fs::write(dir.join("cgroup.procs"), other.id().to_string()).unwrap();
        }
        let stop = Control::Stop { reason: "operator".to_owned(), grace_ms: 50 };
        assert_eq!(client.ask(&stop).unwrap(), ControlReply::Ok);
        place.finish();
        let signal = std::os::unix::process::ExitStatusExt::signal(&other.wait().unwrap());
        assert_eq!(signal, Some(9));
        none_left(&place);
    }
}

/// Numbers in the groups.
fn inside(dirs: &[PathBuf]) -> Vec<String> {
    let mut all: Vec<String> = dirs
        .iter()
        .flat_map(|dir| {
            std::fs::read_to_string(dir.join("cgroup.procs"))
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn whoever_finds_the_shim_dead_ends_what_hides_from_its_tag() {
    if !can_keep(&[Cap::Processes]) {
        return;
    }
    // Its own first process hides too: nothing is left that carries the tag.
    let script = "echo up; exec env -i setsid -f sh -c 'trap \"\" TERM; while :; do sleep 1; done'";
    let mut place = limited(Place::sh(&format!("({script}); exec env -i sleep 60")), &[(limit::PROCESSES, 50)]);
    place.start();
    drop(place.watch());
    place.wait_for_text("up");
    let dirs = groups_in_id(&place);
    eventually("them to hide", || (place.tagged().is_empty() && inside(&dirs).len() >= 2).then_some(()));
    let shim = identity::process(place.shim.as_ref().unwrap().pid()).unwrap().unwrap();
    assert!(signal::send(shim, signal::Signal::KILL).unwrap());
    place.wait();
    let Verdict::ShimLost { id: Some(id) } = judge(&place.dir).unwrap() else { panic!("not lost") };
    // Another run's name leads nowhere.
    let other = cgroup::name("run", &uuid::Uuid::now_v7().to_string(), 1);
    assert!(cgroup::sweep_named(&id.cgroups, &other).is_empty());
    let groups = cgroup::sweep_named(&id.cgroups, &cgroup::name("run", &place.spec.id, 1));
    let grace = Duration::from_millis(50);
    assert_eq!(terminate::tagged(&place.spec.tag, grace, &[]).unwrap().asked, 0, "none is found by the tag");
    let done = terminate::all_of(&place.spec.tag, &groups, None, grace, &[]).unwrap();
    assert!(done.asked >= 2 && done.killed >= 1 && done.survivors.is_empty(), "{done:?}");
    assert_eq!(groups.remove(), Vec::<String>::new());
    none_left(&place);
}

#[test]
fn one_that_may_stay_leaves_the_group_and_its_cap() {
    if !can_keep(&[Cap::Processes]) {
        return;
    }
    let mut place = limited(Place::sh("sleep 61 & echo $!; exit 0"), &[(limit::PROCESSES, 50)]);
    place.spec.keep = vec!["sleep".to_owned()];
    let frame = place.run();
    assert_eq!(frame.stop.unwrap().survivors, ["sleep"]);
    none_left(&place);
    let pid: i32 = place.text(Stream::Stdout).trim().parse().unwrap();
    let stayed = identity::process(pid).unwrap().unwrap();
    assert!(signal::send(stayed, signal::Signal::KILL).unwrap());
}

#[test]
fn a_child_that_never_ran_leaves_no_group() {
    if !can_keep(&Cap::ALL) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("broken"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(root.path().join("broken"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut place = limited(Place::in_root(root, &["./broken"]), &[(limit::PROCESSES, 5), (limit::MEMORY, 32 << 20)]);
    let frame = place.run();
    assert!(frame.spawn_error.is_some(), "{frame:?}");
    assert_eq!(frame.limits.map(|l| l.unenforced.len()), Some(0));
    assert!(!groups_in_id(&place).is_empty());
    none_left(&place);
}

#[test]
fn what_the_kernel_does_not_offer_is_told_and_the_run_goes_on() {
    let limits = [(limit::MEMORY.to_owned(), 32_u64 << 20), (limit::PROCESSES.to_owned(), 5)].into();
    let root = tempfile::tempdir().unwrap();
    let place = |parent: &Path, cap| cgroup::Place {
        version: cgroup::Version::V1,
        parent: parent.to_owned(),
        home: parent.to_owned(),
        caps: vec![cap],
    };
    // A directory that is no group takes no cap; one that is not there takes no group.
    let found = cgroup::Places {
        places: vec![place(root.path(), Cap::Memory), place(Path::new("/nowhere"), Cap::Processes)],
        refused: Vec::new(),
    };
    let mut groups = Groups::at("wharf-run-x-1", &limits, found);
    groups.make();
    let report = groups.report().unwrap();
    assert_eq!((report.by.as_deref(), report.unenforced.len()), (None, 2));
    assert!(
        report.words().contains("5 processes not enforced: no control group can be made in /nowhere: "),
        "{}",
        report.words()
    );
    assert!(groups.is_empty() && std::fs::read_dir(root.path()).unwrap().next().is_none());
    // Nor does anything else go wrong on the way to the end.
    groups.enter(1);
    assert_eq!((groups.processes().unwrap(), groups.oom_kills()), (Vec::new(), None));
    groups.remove();
}

#[test]
fn memory_that_is_not_enough_to_start_in_is_no_riddle() {
    if !can_keep(&[Cap::Memory]) {
        return;
    }
    let frame = limited(Place::new(&["true"]), &[(limit::MEMORY, 4_096)]).run();
    assert_eq!(
        (frame.signal.as_deref(), frame.oom_evidence),
        (Some("SIGKILL"), Some(OomEvidence::OwnGroup)),
        "{frame:?}"
    );
}
