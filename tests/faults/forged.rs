//! The checker's own proof: worlds in which exactly one of the seven statements is false.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use wharf_model::*;
use wharf_store::log::frame::{FrameHeader, SEGMENT_HEADER, SegmentHeader};
use wharf_store::log::{Item, LogReader};

use super::checker::{Books, SHIM_LOSS_MAX, Statement};
use super::child::{Plan, Side};
use super::ground::{Ground, config};
use super::nemesis::log_of;
use super::world::{Piece, World};

/// A site whose only run has ended with 3, in which everything holds.
fn sound() -> (Ground, World) {
    let plan = Plan::new(11).lines(15_000, 40).batch(20).exit(3);
    let mut ground = Ground::new("checker", 11, &config(&[("writer", "", &plan)]));
    ground.reign();
    let runs = ground.begin("writer", 1);
    let world = ground.settle(&runs);
    let run = &world.runs[0];
    assert_eq!((run.children.len(), run.children[0].1.taken), (1, [1_500_000, 4_000]), "the child kept its totals");
    (ground, world)
}

/// Exactly this statement is violated, with these words.
fn caught(books: &Books, world: &World, statement: Statement, words: &[&str]) {
    let found = books.judge(world, true);
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(!found.is_empty(), "{statement:?} was not caught");
    assert!(found.iter().all(|v| v.statement == statement), "only {statement:?} is false: {said:#?}");
    for word in words {
        assert!(said.iter().any(|s| s.contains(word)), "{word:?} is not in {said:#?}");
    }
}

/// Bytes of the first kept piece.
fn kept(world: &mut World, side: Side) -> &mut Vec<u8> {
    match &mut world.runs[0].logs[0].streams[side as usize][0] {
        Piece::Bytes(bytes) => bytes,
        Piece::Gap { .. } => panic!("it begins with a gap"),
    }
}

/// A log as it stands, whether it is sealed or not.
fn frames_of(dir: &Path) -> Vec<(FrameHeader, Vec<u8>)> {
    let mut log = LogReader::open(dir).unwrap();
    let mut position = log.start();
    let mut frames = Vec::new();
    while let Item::Frame(frame) = log.next(&mut position).unwrap() {
        frames.push((frame.head, frame.payload.to_vec()));
    }
    frames
}

/// Puts these frames in the place of a log, checksums right.
fn forge_log(dir: &Path, frames: &[(FrameHeader, Vec<u8>)]) {
    let owner = LogReader::open(dir).unwrap().owner().unwrap();
    let header = SegmentHeader {
        header_len: SEGMENT_HEADER as u16,
        flags: 0,
        uuid: owner.uuid,
        attempt: owner.attempt,
        number: 1,
        first_seq: 1,
        through: 0,
        wall_ms: 0,
    };
    let mut bytes = header.encode().to_vec();
    for (head, payload) in frames {
        let head = FrameHeader { len: payload.len() as u32, ..*head };
        bytes.extend_from_slice(&head.encode(payload));
        bytes.extend_from_slice(payload);
    }
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("out.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::write(log_of(dir), bytes).unwrap();
}

#[test]
fn n1_a_byte_that_differs_is_found_with_its_place() {
    let (ground, _) = sound();
    let dir = ground.dir(ground.site.all_runs()[0].id);
    let mut frames = frames_of(&dir);
    let holds = |f: &&mut (FrameHeader, Vec<u8>)| {
        f.0.stream == 1 && (f.0.offset..f.0.offset + u64::from(f.0.len)).contains(&5_000)
    };
    let (head, payload) = frames.iter_mut().find(holds).unwrap();
    payload[(5_000 - head.offset) as usize] ^= 1;
    forge_log(&dir, &frames);
    let world = World::read(&ground.site);
    caught(&ground.books, &world, Statement::N1Bytes, &["R-1 stdout at offset 5000"]);
}

#[test]
fn n1_reads_a_secret_as_asterisks_and_nothing_else() {
    let plan = Plan::new(12).lines(300, 30).tell("KEY");
    let secret = "correct-horse-battery";
    let more = "env = { KEY = { secret = \"key\" } }";
    let text = config(&[("teller", more, &plan)]) + "[secret.key]\nenv = \"WHARF_TEST_KEY\"\n";
    let mut ground = Ground::new("checker-secret", 12, &text);
    fs::write(ground.site.path("secret"), secret).unwrap();
    let mut it = ground.site.spawn(&[("WHARF_TEST_KEY", secret)]);
    assert!(it.wait_until_reigning(), "{}", it.said());
    let runs = ground.begin("teller", 1);
    let mut world = ground.settle(&runs);
    assert_eq!(world.runs[0].children[0].1.taken, [30_000, 3_000]);
    let stars = "*".repeat(secret.len());
    assert_eq!(String::from_utf8_lossy(kept(&mut world, Side::Out)).matches(&stars).count(), 100);
    // Were it kept as it is, or taken away from where none was, that would be seen.
    let begin = "out 0000000000 ".len();
    let mut told = world.clone();
    kept(&mut told, Side::Out)[begin..begin + secret.len()].copy_from_slice(secret.as_bytes());
    caught(&ground.books, &told, Statement::N1Bytes, &["R-1 stdout at offset 15"]);
    let mut more = world;
    kept(&mut more, Side::Out)[100 + begin] = b'*';
    caught(&ground.books, &more, Statement::N1Bytes, &["R-1 stdout at offset 115"]);
}

#[test]
fn n1_missing_refused_and_invented_bytes_are_found() {
    let (ground, world) = sound();
    let mut short = world.clone();
    let cut = kept(&mut short, Side::Err).len() - 7;
    kept(&mut short, Side::Err).truncate(cut);
    caught(&ground.books, &short, Statement::N1Bytes, &["R-1 stderr at offset 3993"]);
    let mut refused = world.clone();
    refused.runs[0].children[0].1.refused[0] = 12;
    caught(&ground.books, &refused, Statement::N1Bytes, &["R-1 stdout", "refused 12 bytes"]);
    let mut more = world;
    let again = kept(&mut more, Side::Err).clone();
    kept(&mut more, Side::Err).extend_from_slice(&again);
    caught(&ground.books, &more, Statement::N1Bytes, &["R-1 stderr at offset 4000"]);
}

/// The same world with a run that was lost: no record of its end.
fn lost(mut world: World) -> World {
    let run = &mut world.runs[0];
    run.logs[0].exit = None;
    run.row.status = RunStatus::Lost;
    (run.row.exit_code, run.row.stdout_bytes, run.row.stderr_bytes) = (None, None, None);
    let end = run.events.iter_mut().find(|e| e.message.starts_with("run failed:")).unwrap();
    end.message = end.message.replace("run failed:", "run lost:");
    world
}

#[test]
fn n2_a_gap_without_a_mark_and_too_large_a_loss_are_found() {
    let (ground, world) = sound();
    let books = Books::default();
    let lost = lost(world);
    assert_eq!(books.judge(&lost, true).len(), 0, "a loss that says so is none of the seven");
    let mut holed = lost.clone();
    kept(&mut holed, Side::Out).drain(100_000..100_100);
    caught(&books, &holed, Statement::N2Gaps, &["R-1 stdout at offset 1000", "no gap says so"]);
    let mut marked = lost.clone();
    let rest = kept(&mut marked, Side::Out).split_off(100_000)[100..].to_vec();
    marked.runs[0].logs[0].streams[0].extend([Piece::Gap { bytes: 100, reason: "test".into() }, Piece::Bytes(rest)]);
    assert_eq!(books.judge(&marked, true).len(), 0, "a gap that is marked is none");
    let mut little = lost.clone();
    kept(&mut little, Side::Out).truncate(1_500_000 - SHIM_LOSS_MAX as usize);
    assert_eq!(books.judge(&little, true).len(), 0, "what a pipe holds may be lost");
    kept(&mut little, Side::Out).pop();
    caught(&books, &little, Statement::N2Gaps, &["R-1 stdout", "1310721 bytes are missing"]);
    drop(ground);
}

#[test]
fn n3_a_number_that_is_missing_and_an_offset_that_jumps_are_found() {
    let (ground, _) = sound();
    let dir = ground.dir(ground.site.all_runs()[0].id);
    let whole = frames_of(&dir);
    let mut holed = whole.clone();
    holed.iter_mut().skip(3).for_each(|(head, _)| head.seq += 1);
    forge_log(&dir, &holed);
    caught(&ground.books, &World::read(&ground.site), Statement::N3Order, &["R-1"]);
    let mut moved = whole;
    moved.iter_mut().skip(3).find(|(head, _)| head.stream == 1).unwrap().0.offset += 5;
    forge_log(&dir, &moved);
    caught(&ground.books, &World::read(&ground.site), Statement::N3Order, &["R-1 stdout", "begins at"]);
}

#[test]
fn n4_what_was_known_and_is_gone_is_found() {
    let (ground, world) = sound();
    let mut forgotten = world.clone();
    let request = forgotten.requests.pop().unwrap();
    caught(&ground.books, &forgotten, Statement::N4Ledger, &[&format!("Q-{}", request.number), "not in the ledger"]);
    let mut undone = world.clone();
    undone.requests[0].status = RequestStatus::Pending;
    caught(&ground.books, &undone, Statement::N4Ledger, &["it was done and is pending"]);
    let mut cut = world.clone();
    cut.activity.remove(1);
    caught(&ground.books, &cut, Statement::N4Ledger, &["audit trail", "place 1"]);
    let mut rewritten = world.clone();
    rewritten.runs[0].events[1].message = "something else".into();
    caught(&ground.books, &rewritten, Statement::N4Ledger, &["R-1", "events"]);
    let mut unintended = world.clone();
    unintended.runs[0].steps.iter_mut().find(|s| s.step == Step::Execute).unwrap().status = StepStatus::Pending;
    caught(&ground.books, &unintended, Statement::N4Ledger, &["R-1", "no row had intended"]);
    let mut reused = world;
    let mut again = reused.leases[0].clone();
    again.id = "ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap();
    again.fence = Some(99);
    reused.leases.push(again);
    caught(&ground.books, &reused, Statement::N4Ledger, &["lease 1"]);
}

#[test]
fn n5_a_guessed_end_and_a_second_end_are_found() {
    let (_ground, world) = sound();
    // Nothing was noted before: only the end itself is judged.
    let books = Books::default();
    let mut guessed = world.clone();
    guessed.runs[0].row.status = RunStatus::Succeeded;
    caught(&books, &guessed, Statement::N5Ends, &["R-1", "it is succeeded, and its record says failed"]);
    let mut code = world.clone();
    code.runs[0].row.exit_code = Some(4);
    caught(&books, &code, Statement::N5Ends, &["R-1", "Some(4)"]);
    let mut twice = world.clone();
    let mut again = twice.runs[0].events.iter().find(|e| e.message.starts_with("run failed:")).unwrap().clone();
    again.seq = twice.runs[0].events.len() as i64 + 1;
    twice.runs[0].events.push(again);
    caught(&books, &twice, Statement::N5Ends, &["R-1", "2 records"]);
    let mut open = world.clone();
    let run = &mut open.runs[0];
    run.row.status = RunStatus::Running;
    run.events.retain(|e| !e.message.starts_with("run failed:"));
    for (at, event) in run.events.iter_mut().enumerate() {
        event.seq = at as i64 + 1;
    }
    caught(&books, &open, Statement::N5Ends, &["R-1", "running although nothing is under way"]);
    let mut unproven = lost(world);
    unproven.runs[0].row.status = RunStatus::Succeeded;
    let end = unproven.runs[0].events.iter_mut().find(|e| e.message.starts_with("run lost:")).unwrap();
    end.message = end.message.replace("run lost:", "run succeeded:");
    caught(&books, &unproven, Statement::N5Ends, &["R-1", "no record says so"]);
}

#[test]
fn n6_a_second_start_a_second_holder_and_an_old_epoch_are_found() {
    let (ground, world) = sound();
    let mut twice = world.clone();
    let mut again = twice.runs[0].children[0];
    again.1.pid += 1;
    twice.runs[0].children.push(again);
    caught(&ground.books, &twice, Statement::N6Once, &["R-1", "attempt 1 was started 2 times"]);
    let mut stale = world.clone();
    stale.runs[0].logs[0].epochs = vec![2, 4, 3];
    caught(&ground.books, &stale, Statement::N6Once, &["R-1", "epoch 3 after those of 4"]);
    let mut shared = world;
    let mut second = shared.leases[0].clone();
    (second.number, second.id) = (2, "ffffffff-ffff-7fff-bfff-ffffffffffff".parse().unwrap());
    shared.leases.push(second);
    caught(&ground.books, &shared, Statement::N6Once, &["L-2", "granted twice"]);
}

#[test]
fn n7_a_process_that_lives_on_is_found() {
    let (ground, world) = sound();
    let tag = format!("run/{}/1", world.runs[0].row.id);
    let mut command = Command::new("sleep");
    command.arg("600").env("WHARF_TAG", tag).stdin(Stdio::null());
    let mut stray = command.spawn().unwrap();
    let pid = stray.id().to_string();
    let world = World::read(&ground.site);
    stray.kill().unwrap();
    stray.wait().unwrap();
    caught(&ground.books, &world, Statement::N7Strays, &["R-1", &pid, "sleep"]);
    assert_eq!(ground.books.judge(&World::read(&ground.site), true).len(), 0);
}
