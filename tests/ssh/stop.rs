//! Commands that are stopped: the whole tree on the host ends, whatever the connection does.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf::environment::driver::{Driver, Held};

use super::host::until;
use super::proxy::Proxy;
use super::world::{World, done, tag};

/// A tree: a child in a session of its own, a grandchild, and one that drops its variables.
const TREE: &str = "setsid sleep 1000 & (sleep 1001 & sleep 1002) & env -i sleep 1003 & echo ready; wait";
/// The same that does not want to end.
const STUBBORN: &str = "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 0.2; done\" & echo ready; \
                        while :; do sleep 0.2; done";

fn signal(follower: &Child, signal: Signal) {
    kill_process(Pid::from_child(follower), signal).unwrap();
}

fn ready(w: &World, lease: &Held) {
    let runs = super::world::dir_of(lease).join("runs");
    until("the command is ready", || {
        std::fs::read_dir(&runs)
            .is_ok_and(|runs| runs.flatten().any(|r| std::fs::read(r.path().join("out")).is_ok_and(|o| !o.is_empty())))
    });
    assert!(!w.host.is_quiet() || w.host.processes().is_empty());
}

fn list(w: &World, driver: &dyn Driver, lease: &Held, tag: &str) -> Vec<String> {
    done(w.wait(driver.list(lease, tag))).into_iter().map(|p| p.command).collect()
}

#[test]
fn a_stop_ends_the_tree_and_the_follower_as_the_command_ended() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let tag = tag();
    let follower = w.start(&target, &tag, &["sh", "-c", TREE]);
    ready(&w, &lease);
    let there = list(&w, &*driver, &lease, &tag);
    assert_eq!(there.iter().filter(|c| *c == "sleep").count(), 4, "{there:?}");
    signal(&follower, Signal::TERM);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
    assert_eq!(output.stdout, b"ready\n");
    assert!(list(&w, &*driver, &lease, &tag).is_empty());
    until("the host is quiet", || w.host.is_quiet());
    w.release(&*driver, &lease);
}

#[test]
fn a_command_may_end_in_its_own_way_when_it_is_asked() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let follower = w.start(&target, &tag(), &["sh", "-c", script]);
    ready(&w, &lease);
    signal(&follower, Signal::INT);
    let output = follower.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(7), b"ready\nbye\n".to_vec()));
    w.release(&*driver, &lease);
}

#[test]
fn what_ignores_being_asked_is_killed_after_the_grace() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let mut target = w.target(&*driver, &lease);
    target.block["grace_ms"] = 700.into();
    let tag = tag();
    let follower = w.start(&target, &tag, &["sh", "-c", STUBBORN]);
    ready(&w, &lease);
    signal(&follower, Signal::TERM);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    until("the host is quiet", || w.host.is_quiet());
    w.release(&*driver, &lease);
}

#[test]
fn a_stop_while_the_way_is_cut_is_delivered_when_it_is_back() {
    let Some(w) = World::new() else { return };
    let proxy = Proxy::to(w.host.port);
    let driver = w.driver_for(&w.config(proxy.port));
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let tag = tag();
    let mut follower = w.start(&target, &tag, &["sh", "-c", TREE]);
    ready(&w, &lease);
    proxy.cut();
    signal(&follower, Signal::TERM);
    std::thread::sleep(Duration::from_secs(2));
    assert!(follower.try_wait().unwrap().is_none(), "a cut is no end");
    assert!(w.host.processes().iter().any(|(_, words)| words.contains("sleep 1000")));
    proxy.mend();
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
    until("the host is quiet", || w.host.is_quiet());
    w.release(&*driver, &lease);
}

#[test]
fn a_tree_whose_follower_was_killed_is_found_and_ended() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let (tag, other) = (tag(), tag());
    let mut follower = w.start(&target, &tag, &["sh", "-c", STUBBORN]);
    ready(&w, &lease);
    let mut neighbour = w.start(&target, &other, &["sleep", "1000"]);
    until("the neighbour runs", || !list(&w, &*driver, &lease, &other).is_empty());
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(list(&w, &*driver, &lease, &tag).iter().any(|c| c == "sh"));
    let left = done(w.wait(driver.stop(&lease, &tag, Duration::from_millis(300))));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(list(&w, &*driver, &lease, &other), ["sleep"], "another's is left alone");
    // Giving the place back ends what is left in it.
    w.release(&*driver, &lease);
    until("the host is quiet", || w.host.is_quiet());
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
}

#[test]
fn what_a_command_leaves_behind_is_ended_with_it() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let follower = w.start(&target, &tag(), &["sh", "-c", "sleep 1000 & setsid sleep 1001 & echo done; exit 4"]);
    let output = follower.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(4), b"done\n".to_vec()));
    until("the host is quiet", || w.host.is_quiet());
    w.release(&*driver, &lease);
}

#[test]
fn a_launcher_that_was_killed_is_no_end_as_long_as_the_command_lives() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let script = "echo ready; while [ ! -f \"$HOME/go\" ]; do sleep 0.1; done; echo more";
    let mut follower = w.start(&target, &tag(), &["sh", "-c", script]);
    ready(&w, &lease);
    for file in ["launcher", "holder"] {
        for run in std::fs::read_dir(super::world::dir_of(&lease).join("runs")).unwrap().flatten() {
            let text = std::fs::read_to_string(run.path().join(file)).unwrap();
            let pid = text.split(' ').next().unwrap().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }
    std::thread::sleep(Duration::from_secs(3));
    assert!(follower.try_wait().unwrap().is_none());
    std::fs::write(w.host.home.join("go"), "").unwrap();
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(output.stdout, b"ready\nmore\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("its end was not seen"), "{said}");
    w.release(&*driver, &lease);
}
