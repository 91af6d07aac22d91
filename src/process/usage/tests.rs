use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

fn sample(at_ms: u64, cpu_ms: u64) -> Sample {
    let shim = ProcessRef { pid: 7, start_ticks: 9 };
    Sample { at_ms, shim, cpu_ms, memory_bytes: 4096, is_fair: true, processes: 2, uptime_ms: Some(at_ms) }
}

#[test]
fn rates_table() {
    let now = sample(10_000, 4_000);
    let other = Sample { shim: ProcessRef { pid: 7, start_ticks: 10 }, ..sample(9_000, 3_000) };
    let table = [
        ("without one before", None, None),
        ("one core", Some(sample(9_000, 3_000)), Some(1_000)),
        ("idle", Some(sample(9_000, 4_000)), Some(0)),
        ("two and a half", Some(sample(9_600, 3_000)), Some(2_500)),
        ("less than before", Some(sample(9_000, 5_000)), Some(0)),
        ("the same moment", Some(sample(10_000, 3_000)), None),
        ("a later one", Some(sample(11_000, 3_000)), None),
        ("another tree", Some(other), None),
    ];
    for (name, before, expected) in table {
        let usage = between(before.as_ref(), &now);
        assert_eq!(usage.cpu_permille, expected, "{name}");
        assert_eq!((usage.memory_bytes, usage.processes, usage.uptime_ms), (4096, 2, Some(10_000)), "{name}");
    }
}

#[test]
fn lines_of_the_kernel_are_read() {
    let line = b"42 (a) b) S 7 8 9 0 -1 0 1 2 3 4 250 50 100 -1 20 0 1 0 987654 1000 12 9";
    let (times, pages) = figures(line).unwrap();
    let ms = |ticks: u64| ticks * 1000 / ticks_per_second();
    assert_eq!((times.own, times.ended, pages), (ms(300), ms(100), 12));
    assert!(figures(b"42 (a) S 7 8").is_none());
    assert_eq!(
        pss(b"00400000-7ff ---p [rollup]\nRss:  9 kB\nPss:                 123 kB\nPss_Dirty: 1 kB\n"),
        Some(125_952)
    );
    assert_eq!(pss(b"Rss: 9 kB\n"), None);
}

/// A shell that stands in for a shim, with a directory that names it and its child.
struct Tree {
    dir: tempfile::TempDir,
    keeper: Child,
    child: i32,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Command::new("sh")
            .args([
                "-c",
                "sh -c 'echo $$; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; exec sleep 600' & wait",
            ])
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let child = lines.next().unwrap().unwrap().parse().unwrap();
        let tree = Self { dir, keeper, child };
        tree.write(&identity::boot_id().unwrap());
        assert_eq!(lines.next().unwrap().unwrap(), "done", "it has counted");
        tree
    }

    fn write(&self, boot_id: &str) {
        let shim = identity::process(self.keeper.id() as i32).unwrap().unwrap();
        let child = identity::child(self.child).unwrap();
        let id = serde_json::json!({
            "v": 1, "shim": shim, "boot_id": boot_id, "child": child, "version": "0", "protocol": 1,
        });
        std::fs::write(self.dir.path().join(names::ID), id.to_string()).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for pid in [self.child, self.keeper.id() as i32] {
            if let Ok(Some(process)) = identity::process(pid) {
                let _ = super::super::signal::send(process, super::super::signal::Signal::KILL);
            }
        }
        let _ = self.keeper.wait();
    }
}

#[test]
fn a_tree_is_measured_by_the_directory_of_its_keeper() {
    let tree = Tree::new();
    let seen = Processes::look().unwrap().sample(tree.dir.path()).unwrap();
    assert_eq!(seen.processes, 1);
    assert!(seen.cpu_ms > 0 && seen.memory_bytes > 0, "{seen:?}");
    assert!(seen.uptime_ms.is_some_and(|ms| ms < 600_000), "{seen:?}");
    let later = Processes::look().unwrap().sample(tree.dir.path()).unwrap();
    assert!(later.cpu_ms >= seen.cpu_ms && between(Some(&seen), &later).cpu_permille.is_none_or(|p| p < 64_000));
}

#[test]
fn what_no_keeper_of_this_boot_has_is_not_measured() {
    let mut tree = Tree::new();
    tree.write("another boot");
    assert_eq!(Processes::look().unwrap().sample(tree.dir.path()), None);
    tree.write(&identity::boot_id().unwrap());
    assert!(Processes::look().unwrap().sample(tree.dir.path()).is_some());
    tree.keeper.kill().unwrap();
    tree.keeper.wait().unwrap();
    assert_eq!(Processes::look().unwrap().sample(tree.dir.path()), None, "its keeper is gone");
    assert_eq!(Processes::look().unwrap().sample(Path::new("/nowhere")), None);
}
