//! What a driver says while nothing gets through.

use wharf::environment::driver::{Acquired, Answer, Level, Outcome};

use super::bench::Bench;
use super::command::Command;

pub fn without_a_way_there_nothing_is_known_and_nothing_is_gone(b: &Bench) {
    let Some(reach) = &b.made.reach else { return };
    let scene = b.scene();
    let ask = b.ask(&scene);
    let held = b.acquire(&ask);
    let realised = b.realise(&held, &scene.ask());
    let id = held.provider_lease_id.clone().unwrap_or_default();
    let before = b.places();
    reach.cut();
    let driver = b.driver();
    match b.answer("probe", driver.probe()) {
        Answer::Unknown { evidence } => b.holds("probe has evidence", !evidence.is_empty(), evidence),
        Answer::Done(checks) => b.holds("probe says it", checks.iter().any(|c| c.level == Level::Error), checks),
        Answer::Refused { code, hint } => b.holds("probe refuses nothing that may get better", false, (code, hint)),
    }
    unknown(b, "list", b.answer("list", driver.list(&held, "run/none/1")));
    unknown(b, "stop", b.answer("stop", driver.stop(&held, "run/none/1", std::time::Duration::ZERO)));
    unknown(b, "resume", b.answer("resume", driver.resume(&b.ask(&scene), &id, &held.facts)));
    unknown(b, "release", b.answer("release", driver.release(&held, Outcome::Released)));
    unknown(b, "destroy", b.answer("destroy", driver.destroy(&held)));
    let other = b.ask(&scene);
    unknown(b, "acquire", b.answer("acquire", driver.acquire(&other)));
    match b.answer("observe", driver.observe(std::slice::from_ref(&id))) {
        Answer::Unknown { .. } => {}
        Answer::Done(seen) => b.holds("observe says nothing of it", !seen.contains_key(&id), seen),
        Answer::Refused { code, hint } => b.holds("observe refuses nothing that may get better", false, (code, hint)),
    }
    reach.mend();
    b.holds("nothing went away meanwhile", b.places() == before || before.is_none(), b.places());
    match b.done("acquire", b.driver().acquire(&ask)) {
        Acquired::Held(place) => b.holds("it is the same place", place.provider_lease_id == Some(id), &place),
        Acquired::Queued(queue) => b.holds("it is still held", false, queue),
    }
    let read = Command::new(&["cat", "tracked"]).run(b, &held, Some(&realised));
    b.holds("its files are there", read.out == b"as changed\n", &read);
    b.release(&b.unanswered(&other));
    b.release(&held);
}

fn unknown<T: std::fmt::Debug>(b: &Bench, what: &str, answer: Answer<T>) {
    match answer {
        Answer::Unknown { evidence } => b.holds(&format!("{what} has evidence"), !evidence.is_empty(), ()),
        other => b.holds(&format!("{what} without a way there is unknown"), false, other),
    }
}
