//! What a command writes, byte for byte, and how it ends.

use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use super::host::until;
use super::world::{World, tag};

/// A program that writes this much of two different patterns, at once.
const FLOOD: &str = r#"
i=0
while [ $i -lt 160 ]; do
    dd if="$HOME/out.bin" bs=65536 skip=$i count=1 2>/dev/null
    dd if="$HOME/err.bin" bs=65536 skip=$i count=1 >&2 2>/dev/null
    i=$((i + 1))
done"#;

/// Bytes that hold every value and no short period.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .collect()
}

#[test]
fn ten_mebibytes_on_both_streams_arrive_byte_for_byte() {
    let Some(w) = World::new() else { return };
    let (out, err) = (pattern(1, 10 << 20), pattern(2, 10 << 20));
    std::fs::write(w.host.home.join("out.bin"), &out).unwrap();
    std::fs::write(w.host.home.join("err.bin"), &err).unwrap();
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let Output { status, stdout, stderr } = w.start(&target, &tag(), &["sh", "-c", FLOOD]).wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(stdout == out, "{} of {} bytes", stdout.len(), out.len());
    assert!(stderr == err, "{} of {} bytes", stderr.len(), err.len());
    w.release(&*driver, &lease);
}

#[test]
fn it_ends_as_the_command_did() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let table: [(&[&str], Option<i32>, Option<i32>); 8] = [
        (&["true"], Some(0), None),
        (&["sh", "-c", "exit 3"], Some(3), None),
        (&["sh", "-c", "exit 143"], Some(143), None),
        (&["sh", "-c", "kill -TERM $$"], None, Some(15)),
        (&["sh", "-c", "kill -KILL $$"], None, Some(9)),
        (&["sh", "-c", "kill -INT $$"], None, Some(2)),
        (&["sh", "-c", "kill -SEGV $$"], None, Some(11)),
        (&["no-such-program"], Some(127), None),
    ];
    let children: Vec<_> = table.iter().map(|(argv, ..)| w.start(&target, &tag(), argv)).collect();
    for ((argv, code, signal), child) in table.iter().zip(children) {
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.status.signal()), (*code, *signal), "{argv:?} {output:?}");
    }
    w.release(&*driver, &lease);
}

#[test]
fn input_and_variables_arrive_and_no_value_is_in_an_argument() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let value = "hidden-value 'q' \"d\" $x `y`\n\\second";
    let input = super::stream::pattern(3, 300_000);
    let script = "cat > \"$HOME/got\"; printf %s \"$SECRET\"; test -t 0; while [ ! -f \"$HOME/go\" ]; do sleep 0.05; done; \
                  printf '%s|%s|%s' \"$PWD\" \"$LANG\" \"${HOST_ONLY-none}\" >&2";
    let env = [("SECRET", value)];
    let child = w.start_with(&target, &tag(), &["sh", "-c", script], &env, &input);
    until("the command has read everything", || {
        std::fs::metadata(w.host.home.join("got")).is_ok_and(|m| m.len() == input.len() as u64)
    });
    for (pid, words) in w.host.processes() {
        assert!(!words.contains("hidden-value"), "{pid}: {words}");
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("hidden-value"), "{:?}", entry.path());
    }
    for file in walk(&w.host.home.join("wharf")) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let is_output = file.ends_with("out");
        assert!(is_output || !String::from_utf8_lossy(&bytes).contains("hidden-value"), "{}", file.display());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
    std::fs::write(w.host.home.join("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    assert_eq!(std::fs::read(w.host.home.join("got")).unwrap(), input);
    let home = w.host.home.display();
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{home}|C.UTF-8|none"));
    w.release(&*driver, &lease);
}

#[test]
fn input_that_comes_later_arrives_also_when_sessions_end() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let (mut child, mut stdin) = w.start_open(&target, &tag(), &["sh", "-c", "echo ready; cat; echo over"], &[]);
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut all = Vec::new();
    for seed in 0..3 {
        let part = pattern(seed, 100_000);
        stdin.write_all(&part).unwrap();
        all.extend(part);
        let mut back = vec![0; 100_000];
        said.read_exact(&mut back).unwrap();
        assert!(all.ends_with(&back));
        w.host.cut_sessions();
    }
    drop(stdin);
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "over\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    w.release(&*driver, &lease);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(walk(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn a_command_that_is_started_twice_runs_once() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let tag = tag();
    let argv = ["sh", "-c", "echo started >> \"$HOME/starts\"; sleep 0.5; echo $$"];
    let followers: Vec<_> = (0..4).map(|_| w.start(&target, &tag, &argv)).collect();
    let said: Vec<_> = followers.into_iter().map(|f| f.wait_with_output().unwrap().stdout).collect();
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
    assert!(!said[0].is_empty());
    assert_eq!(std::fs::read_to_string(w.host.home.join("starts")).unwrap(), "started\n");
    w.release(&*driver, &lease);
}
