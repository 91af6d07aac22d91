//! Places: obtained once, found again, given back, kept.

use std::time::Duration;

use uuid::Uuid;
use wharf::environment::driver::{Answer, Extended, Level, Outcome, Resumed, Seen};
use wharf_model::LeasePolicy;

use super::bench::Bench;
use super::command::{Command, sh};

pub fn validation_and_probe_say_what_they_saw(b: &Bench) {
    let before = b.places();
    let driver = b.driver();
    let validated = b.done("validate", driver.validate());
    let probed = b.done("probe", driver.probe());
    b.holds("a probe says at least one thing", !probed.is_empty(), ());
    for check in validated.iter().chain(&probed) {
        b.holds("it can be used here", check.level < Level::Error, check);
        let is_code = check.code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        b.holds("a check has a stable name and a message", is_code && !check.message.is_empty(), check);
        b.holds("what is not in order has a hint", check.level == Level::Ok || check.hint.is_some(), check);
    }
    b.holds("a probe obtains nothing that stays", b.places() == before, b.places());
}

pub fn the_same_lease_has_the_same_place(b: &Bench) {
    let scene = b.scene();
    let (ask, before) = (b.ask(&scene), b.places());
    let (first, second) = (b.place(&ask), b.place(&ask));
    let same = first.provider_lease_id == second.provider_lease_id;
    b.holds("acquire, repeated, gives the same place", same, (&first, &second));
    one_more(b, "acquire, repeated", before.as_deref());
    let other = b.ask(&scene);
    let elsewhere = b.place(&other);
    let apart = first.provider_lease_id.is_none() || first.provider_lease_id != elsewhere.provider_lease_id;
    b.holds("acquire for another lease gives another place", apart, (&first, &elsewhere));
    b.release(&b.held(&ask, second));
    b.release(&b.held(&other, elsewhere));
    b.holds("release leaves nothing", b.places() == before, b.places());
}

/// Holds that no second place was made. One whose files are not known yet may be made by what comes later.
fn one_more(b: &Bench, what: &str, before: Option<&[String]>) {
    if let (Some(before), Some(now)) = (before, b.places()) {
        b.holds(&format!("{what} makes no second place"), now.len() <= before.len() + 1, (before, &now));
    }
}

pub fn an_answer_that_was_lost_is_given_again(b: &Bench) {
    let scene = b.scene();
    let (ask, before) = (b.ask(&scene), b.places());
    // Thrown away: once in the middle, once at the end.
    b.drop_after(Duration::from_millis(30), b.driver().acquire(&ask));
    b.answer("acquire", b.driver().acquire(&ask));
    let found = b.place(&ask);
    b.holds("acquire says the same again", found.provider_lease_id == b.place(&ask).provider_lease_id, &found);
    one_more(b, "acquire whose answers were lost", before.as_deref());
    b.release(&b.held(&ask, found));
    b.holds("release leaves nothing", b.places() == before, b.places());
}

pub fn what_was_given_back_is_gone_and_may_be_given_back_again(b: &Bench) {
    let scene = b.scene();
    let before = b.places();
    for outcome in [Outcome::Released, Outcome::Failed, Outcome::Expired] {
        let ask = b.ask(&scene);
        let held = b.acquire(&ask);
        b.release_as(&held, outcome);
        b.release_as(&held, outcome);
        b.holds("release leaves nothing", b.places() == before, (outcome, b.places()));
        b.holds("resume of it", b.resume(&b.ask(&scene), &held) == Resumed::Gone, outcome);
    }
    let never = b.unanswered(&b.ask(&scene));
    b.release(&never);
}

pub fn what_nobody_was_told_of_is_removed(b: &Bench) {
    let scene = b.scene();
    let before = b.places();
    for destroys in [false, true] {
        let ask = b.ask(&scene);
        let held = b.acquire(&ask);
        let unanswered = b.unanswered(&ask);
        let what = if destroys { "destroy" } else { "release" };
        for _ in 0..2 {
            if destroys {
                b.destroy(&unanswered);
            } else {
                b.release(&unanswered);
            }
        }
        b.holds(&format!("{what} without an id removes what was made"), b.places() == before, b.places());
        let resumed = b.resume(&b.ask(&scene), &held);
        b.holds(&format!("after {what} without an id it is gone"), resumed == Resumed::Gone, resumed);
    }
}

pub fn what_was_destroyed_is_gone_and_may_be_destroyed_again(b: &Bench) {
    let scene = b.scene();
    let before = b.places();
    let ask = b.ask(&scene);
    let held = b.acquire(&ask);
    b.realise(&held, &scene.ask());
    b.destroy(&held);
    b.destroy(&held);
    b.release(&held);
    b.holds("destroy leaves nothing", b.places() == before, b.places());
    b.holds("resume of it", b.resume(&b.ask(&scene), &held) == Resumed::Gone, ());
}

pub fn what_was_kept_is_found_by_another_lease(b: &Bench) {
    if !b.can().resume {
        return;
    }
    let scene = b.scene();
    let before = b.places();
    let first = b.ask_for(&scene, LeasePolicy::ReuseByExecutionWorkspace);
    let held = b.acquire(&first);
    let realised = b.realise(&held, &scene.ask());
    let private = b.made.private.clone().unwrap_or_else(|| "build/kept".into());
    let write = sh("mkdir -p build && echo of the first > \"$1\"").arg(&private);
    b.holds("a command there", write.run(b, &held, Some(&realised)).code == Some(0), ());
    b.release_as(&held, Outcome::Kept);
    b.release_as(&held, Outcome::Kept);
    let second = b.ask_for(&scene, LeasePolicy::ReuseByExecutionWorkspace);
    let mut taken = None;
    for _ in 0..2 {
        match b.resume(&second, &held) {
            Resumed::Held(place) => taken = Some(b.held(&second, place)),
            Resumed::Gone => b.holds("resume finds what was kept", false, &held),
        }
    }
    let taken = taken.unwrap();
    b.holds("what is taken over has an id", taken.provider_lease_id.is_some(), &taken);
    let realised = b.realise(&taken, &scene.ask());
    let read = Command::new(&["cat", &private]).run(b, &taken, Some(&realised));
    b.holds("the files of the first are there", read.out == b"of the first\n", &read);
    b.destroy(&taken);
    b.holds("destroy leaves nothing", b.places() == before, b.places());
    b.holds("resume of what was destroyed", b.resume(&b.ask(&scene), &taken) == Resumed::Gone, ());
}

pub fn what_never_was_is_gone(b: &Bench) {
    let scene = b.scene();
    let ask = b.ask(&scene);
    let mut never = b.acquire(&ask);
    let real = never.provider_lease_id.clone();
    // As one of its ids looks like, with the part that is the lease's replaced.
    let (mine, other) = (ask.lease.text(), Uuid::now_v7());
    never.provider_lease_id = real.clone().map(|id| {
        let id = id.replace(&mine, &other.to_string());
        id.replace(&mine.replace('-', ""), &other.simple().to_string())
    });
    if never.provider_lease_id == real {
        never.provider_lease_id = Some(format!("never-{}", other.simple()));
    }
    let resumed = b.resume(&b.ask(&scene), &never);
    b.holds("resume of what never was", resumed == Resumed::Gone, (&never, &resumed));
    never.provider_lease_id = real;
    b.release(&never);
}

pub fn more_time_is_given_or_the_latest_end_is_told(b: &Bench) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let (now, until) = (wharf::clock::now(), wharf::clock::now().plus(20 * 60_000));
    let driver = b.driver();
    match (b.answer("extend", driver.extend(&held, until)), driver.capabilities().extend) {
        (Answer::Done(Extended::Until(end)), true) => b.holds("more time is given", end > now, end),
        (Answer::Done(Extended::Refused { latest }), _) => b.holds("the latest end is told", latest > now, latest),
        (Answer::Refused { hint, .. }, false) => b.holds("why not is told", !hint.is_empty(), hint),
        (answer, can) => b.holds("extend says what it can", false, (answer, can)),
    }
    b.release(&held);
}

pub fn many_are_observed_in_one_call(b: &Bench) {
    let scene = b.scene();
    let all: Vec<_> = (0..3).map(|_| b.acquire(&b.ask(&scene))).collect();
    let mut ids: Vec<String> = all.iter().filter_map(|held| held.provider_lease_id.clone()).collect();
    let never = format!("never-{}", Uuid::now_v7().simple());
    ids.push(never.clone());
    let seen = b.observe(&ids);
    for id in ids.iter().filter(|id| **id != never) {
        b.holds("what is held is seen", matches!(seen.get(id), Some(Seen::Held(_))), (id, &seen));
    }
    b.holds("an unknown one is not held", matches!(seen.get(&never), None | Some(Seen::Gone)), &seen);
    b.holds("nothing else is told", seen.keys().all(|id| ids.contains(id)), &seen);
    b.holds("observing nothing", b.observe(&[]).is_empty(), ());
    b.release(&all[0]);
    let after = b.observe(&ids);
    if let Some(id) = &all[0].provider_lease_id {
        b.holds("what was given back is not held", matches!(after.get(id), None | Some(Seen::Gone)), &after);
    }
    all[1..].iter().for_each(|held| b.release(held));
}

pub fn capabilities_are_what_happens(b: &Bench) {
    let can = b.can();
    b.holds("they stay the same", can == b.can(), can);
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let driver = b.driver();
    let realised = b.realise(&held, &scene.ask());
    let target = b.answer("target", driver.target(&held, Some(&realised)));
    b.holds("execute", matches!(target, Answer::Done(_)) == can.execute, &target);
    if let Answer::Done(target) = target {
        b.holds("tty", target.tty.is_some() == can.tty, target.tty);
    }
    b.holds("list", matches!(b.answer("list", driver.list(&held, "run/none/1")), Answer::Done(_)) == can.list, can);
    b.holds("resume needs an id", !can.resume || held.provider_lease_id.is_some(), &held);
    if can.shared_files {
        let seen = Command::new(&["cat", "new"]);
        std::fs::write(scene.worktree.join("new"), "written here\n").unwrap();
        b.holds("shared files", seen.run(b, &held, Some(&realised)).out == b"written here\n", can);
    }
    b.release(&held);
}

pub fn a_call_that_is_dropped_leaves_nothing_here(b: &Bench) {
    let scene = b.scene();
    let held = b.acquire(&b.ask(&scene));
    let before = b.leftovers();
    let realise = scene.ask();
    for ms in [1, 15, 60, 200] {
        let (ask, while_) = (b.ask(&scene), Duration::from_millis(ms));
        b.drop_after(while_, b.driver().probe());
        b.drop_after(while_, b.driver().acquire(&ask));
        b.drop_after(while_, b.driver().realise(&held, &realise));
        b.drop_after(while_, b.driver().list(&held, "run/none/1"));
        b.release(&b.unanswered(&ask));
    }
    b.realise(&held, &realise);
    b.release(&held);
    let mut left = Vec::new();
    for _ in 0..250 {
        left = b.leftovers().since(&before);
        if left.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    b.holds("calls that were dropped leave nothing running here", false, left);
}
