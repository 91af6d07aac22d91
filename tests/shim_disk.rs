//! A full disk is waited out. Needs root for a small file system of its own; skips aloud without.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use shim_common::{LIMIT, Place, eventually};
use wharf_model::shim::*;
use wharf_store::log::Stream;

/// A small file system, gone when dropped.
struct SmallDisk {
    at: PathBuf,
    _root: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(kib: u32) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let size = format!("size={kib}k,mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        match done {
            Ok(done) if done.status.success() => Some(Self { at, _root: root }),
            other => {
                // Past what the test harness keeps to itself.
                let _ =
                    writeln!(std::io::stderr(), "SKIPPED shim_disk: no small file system can be mounted: {other:?}");
                None
            }
        }
    }

    /// Takes all room but `leave_kib`.
    fn fill(&self, leave_kib: u64) -> PathBuf {
        let ballast = self.at.join("ballast");
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        std::fs::write(&ballast, vec![1u8; (free - leave_kib * 1024) as usize]).unwrap();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn on(disk: &Path, script: &str) -> Place {
    let mut place = Place::sh(script);
    place.dir = disk.join("runs/aa/a1");
    place
}

fn wait_until_full(client: &mut wharf::process::client::ControlClient) {
    eventually("a full disk", || match client.ask(&Control::Status).unwrap() {
        ControlReply::Status { disk, .. } => (disk == "full").then_some(()),
        other => panic!("{other:?}"),
    });
}

/// Prints two million numbered bytes and ends by itself.
const FLOOD: &str =
    "i=0; while [ $i -lt 20000 ]; do echo line-$i-............................; i=$((i+1)); done; echo err >&2; exit 3";

fn flood() -> String {
    (0..20_000)
        .flat_map(|i| ["line-".to_owned(), i.to_string(), "-............................\n".to_owned()])
        .collect()
}

#[test]
fn nothing_is_lost_when_room_comes_back() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let mut place = on(&disk.at, FLOOD);
    place.write();
    let ballast = disk.fill(300);
    place.spawn();
    let mut client = place.watch();
    wait_until_full(&mut client);
    assert_eq!(client.next_push(LIMIT).unwrap(), Some(ControlReply::DiskFull));
    std::fs::remove_file(&ballast).unwrap();
    let frame = place.finish();
    assert_eq!((frame.code, frame.by), (Some(3), EndedBy::Itself));
    assert!(place.text(Stream::Stdout) == flood());
    assert_eq!(place.text(Stream::Stderr), "err\n");
    assert!(place.frames(Stream::Stdout).iter().all(|f| f.1 == 0), "no gap");
    assert!(!place.records("disk_full").is_empty());
    assert_eq!(place.records("disk_full").len(), place.records("disk_ok").len());
}

#[test]
fn a_stop_works_while_the_disk_is_full_and_nothing_is_lost_after() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let mut place = on(&disk.at, "trap '' TERM; while :; do echo 0123456789abcdef; done");
    place.write();
    let ballast = disk.fill(300);
    place.spawn();
    let mut client = place.watch();
    wait_until_full(&mut client);
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 100 }).unwrap();
    eventually("the end of the child", || place.tagged().is_empty().then_some(()));
    std::fs::remove_file(&ballast).unwrap();
    let frame = place.finish();
    assert_eq!((frame.signal.as_deref(), frame.by), (Some("SIGKILL"), EndedBy::Stop));
    let text = place.text(Stream::Stdout);
    assert!(text.lines().all(|l| "0123456789abcdef".starts_with(l)), "whole lines, but for the last");
    assert!(text.len() > 300_000, "what stood in the pipe came too: {}", text.len());
    assert_eq!(place.records("stop_requested").len(), 1);
}

#[test]
fn with_drop_the_child_runs_on_and_the_gap_is_declared() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let mut place = on(
        &disk.at,
        &format!(
            "{}; touch flooded; while [ ! -e go ]; do sleep 0.01; done; echo after",
            FLOOD.replace("; exit 3", "")
        ),
    );
    place.spec.log.on_full = OnFull::Drop;
    place.write();
    let ballast = disk.fill(300);
    place.spawn();
    let mut client = place.watch();
    eventually("the end of the flood", || place.root.path().join("flooded").exists().then_some(()));
    wait_until_full(&mut client);
    std::fs::remove_file(&ballast).unwrap();
    eventually("room again", || match client.ask(&Control::Status).unwrap() {
        ControlReply::Status { disk, .. } => (disk == "ok").then_some(()),
        other => panic!("{other:?}"),
    });
    std::fs::write(place.root.path().join("go"), "").unwrap();
    let frame = place.finish();
    assert_eq!(frame.code, Some(0));
    let kept = place.text(Stream::Stdout);
    assert!(kept.ends_with("after\n"));
    let gaps: u64 = place
        .frames(Stream::Stdout)
        .iter()
        .filter(|f| f.1 & wharf_store::log::FLAG_GAP != 0)
        .map(|f| serde_json::from_slice::<serde_json::Value>(&f.2).unwrap()["bytes"].as_u64().unwrap())
        .sum();
    assert!(gaps > 0);
    assert_eq!(kept.len() as u64 + gaps, flood().len() as u64 + 6, "every byte is kept or counted");
}

#[test]
fn the_reserve_makes_room_for_the_exit_frame() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let mut place = on(&disk.at, "echo up; while [ ! -e go ]; do sleep 0.01; done; cat go; exit 4");
    place.start();
    drop(place.watch());
    place.wait_for_text("up");
    let _ballast = disk.fill(0);
    // The child's last words fill the last page of the log to its end: nothing more fits.
    let used = std::fs::metadata(place.dir.join("out.000001.wlog")).unwrap().len();
    let words = "x".repeat(4096 - used as usize - 40);
    let fresh = place.root.path().join("fresh");
    std::fs::write(&fresh, &words).unwrap();
    std::fs::rename(fresh, place.root.path().join("go")).unwrap();
    let frame = place.finish();
    assert_eq!(frame.code, Some(4));
    assert_eq!(place.text(Stream::Stdout), format!("up\n{words}"));
    assert!(!place.dir.join("reserve").exists(), "given back");
    assert_eq!(place.records("child_exited").len(), 1);
}
