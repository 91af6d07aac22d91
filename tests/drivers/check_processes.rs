//! Processes: seen there, stopped for real.

use std::time::{Duration, Instant};

use wharf::environment::driver::{Held, Realised};

use super::bench::Bench;
use super::command::{Command, Running, sh};

const SOON: Duration = Duration::from_secs(10);

fn ready(b: &Bench) -> Option<(Held, Realised)> {
    if !b.can().list {
        return None;
    }
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let realised = b.realise(&held, &scene.ask());
    Some((held, realised))
}

/// Ignores SIGTERM, as does its grandchild that left group, session and parent.
fn hides() -> Command {
    sh("trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' < /dev/null > /dev/null 2>&1 &) ; \
        echo ready; while :; do sleep 1; done")
}

fn begins(b: &Bench, held: &Held, realised: &Realised, command: &Command) -> Running {
    let mut running = command.start(b, held, Some(realised));
    running.says(b, "ready");
    running
}

pub fn a_tree_that_hides_is_listed_and_stopped(b: &Bench) {
    let Some((held, realised)) = ready(b) else { return };
    let command = hides();
    let running = begins(b, &held, &realised, &command);
    let mut listed = Vec::new();
    b.eventually("list to show the command and its grandchild", SOON, || {
        listed = b.list(&held, command.tag());
        listed.iter().filter(|p| p.command.contains("sh")).count() >= 2
    });
    b.holds("numbers are told", listed.iter().all(|p| p.pid > 0), &listed);
    b.holds("list of another tag is empty", b.list(&held, "run/another/1").is_empty(), ());
    let longer = format!("{}1", command.tag());
    b.holds("list of a longer tag is empty", b.list(&held, &longer).is_empty(), longer);
    b.holds("stop of another tag leaves it", b.stop(&held, "run/another/1", Duration::ZERO).is_empty(), ());
    b.holds("it is still there", !b.list(&held, command.tag()).is_empty(), ());
    let began = Instant::now();
    let left = b.stop(&held, command.tag(), Duration::from_millis(300));
    b.holds("stop leaves nothing", left.is_empty(), &left);
    b.holds("stop takes its grace and little more", began.elapsed() < Duration::from_secs(15), began.elapsed());
    b.holds("list afterwards", b.list(&held, command.tag()).is_empty(), b.list(&held, command.tag()));
    let ran = running.end(b);
    b.holds("what waited here does not say that it went well", ran.code != Some(0), &ran);
    b.holds("stop, repeated", b.stop(&held, command.tag(), Duration::ZERO).is_empty(), ());
    b.release(&held);
}

pub fn ending_what_waits_here_ends_what_runs_there(b: &Bench) {
    let Some((held, realised)) = ready(b) else { return };
    let command = sh("sleep 300 & echo ready; wait");
    let running = begins(b, &held, &realised, &command);
    // As a shim asks: everybody whom it can see, and nobody else.
    running.ask_to_end();
    b.eventually("its tree to end", SOON, || b.list(&held, command.tag()).is_empty());
    // How it ended is its own matter: it may have been told after what it waited for.
    running.end(b);
    b.release(&held);
}

pub fn what_lost_its_keeper_can_still_be_stopped(b: &Bench) {
    let Some((held, realised)) = ready(b) else { return };
    let command = hides();
    let mut running = begins(b, &held, &realised, &command);
    running.kill();
    let left = b.stop(&held, command.tag(), Duration::from_millis(300));
    b.holds("stop leaves nothing", left.is_empty(), &left);
    b.holds("list afterwards", b.list(&held, command.tag()).is_empty(), ());
    b.release(&held);
}
