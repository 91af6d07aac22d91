//! A store in trouble, as the operator sees it on the console.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/pty.rs"]
mod pty;

use std::time::{Duration, Instant};

use disk::{Small, fill, give_back, spoil};
use pty::{Console, Place, config};
use serde_json::json;
use wharf_model::{ActorType, RequestOrigin, UnixMillis};
use wharf_store::{NewRequest, RequestSender, Writer};

fn ask(sender: &mut RequestSender, project: &str, bytes: usize) -> bool {
    let now = wharf_model::UnixMillis(chrono::Utc::now().timestamp_millis());
    let request = NewRequest {
        kind: "issue.create".into(),
        target_type: Some("project".into()),
        target_id: Some(project.to_owned()),
        args: json!({ "title": "more", "description": "x".repeat(bytes) }),
        expect: None,
        actor_type: ActorType::Operator,
        actor_id: "ada".into(),
        origin: RequestOrigin::Cli,
        idempotency_key: None,
        now,
        expires_at: UnixMillis(now.0 + 60_000),
    };
    sender.send(&request).is_ok()
}

#[test]
fn a_full_disk_is_shown_while_it_lasts() {
    let place = Place::new(Some(&config(&[("one", "true")])));
    let Some(_small) = Small::at(&place.data()) else { return };
    let mut console = Console::open(&place, 120, 40);
    console.see("No runs yet.");
    console.see("SHOP");
    let mut second = Console::open(&place, 120, 40);
    second.see("SHOP");
    let reader = wharf_store::Reader::open(&place.data()).unwrap();
    let project = reader.projects(None).unwrap()[0].id.text();
    let mut sender = RequestSender::open(&place.data()).unwrap();
    let filler = place.data().join("filler");
    fill(&filler);
    let until = Instant::now() + Duration::from_secs(30);
    let shown = |console: &Console| console.screen().contains("Disk full");
    // What is asked takes room as well; what is left is then too little for the answer. Where even the least is
    // refused, every question may be answered already and nothing waits for room: a page at a time is given back, so
    // that the next question just fits and its answer does not.
    let (mut bytes, mut asked, mut refused) = (60_000, 0, 0);
    while !shown(&console) {
        assert!(
            Instant::now() < until,
            "never shown, {asked} asked, {refused} refused:\n{}\n{}",
            console.screen(),
            second.screen()
        );
        asked += 1;
        if !ask(&mut sender, &project, bytes) {
            refused += 1;
            if bytes == 10 {
                give_back(&filler, 4096);
            }
            bytes = (bytes / 2).max(10);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // A console that only reads is told as well, though no row can tell it.
    second.see("Disk full: nothing can be written");
    std::fs::remove_file(&filler).unwrap();
    console.gone("Disk full");
    second.gone("Disk full");
    second.send("q");
    assert_eq!(second.wait_end(), 0);
    // It goes on by itself: what waited is answered.
    assert!(ask(&mut sender, &project, 10));
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
fn damage_that_was_found_is_shown_and_keeps_nobody_from_working() {
    let place = Place::new(Some(&config(&[("one", "true")])));
    let mut console = Console::open(&place, 120, 40);
    console.see("No runs yet.");
    console.see("SHOP");
    console.signal(rustix::process::Signal::KILL);
    console.wait_end();
    // Everything is copied back into the database, and a new round of the journal covers nothing of it; the reign has
    // not ended in order.
    let mut writer = Writer::open(&place.data()).unwrap();
    writer.begin_reign().unwrap();
    writer.try_write().unwrap();
    drop(writer);
    spoil(&place.data());
    let mut console = Console::open(&place, 120, 40);
    console.see("The store is damaged");
    console.see("No runs yet.");
    console.send("q");
    assert_eq!(console.wait_end(), 0);
    // It stays until somebody mends it.
    let mut console = Console::open(&place, 120, 40);
    console.see("The store is damaged");
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}
