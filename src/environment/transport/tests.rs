//! The scripts by themselves, on this machine, where programs that they need fail.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{TREE, script};

const LIST: &str = include_str!("scripts/list.sh");
const LAUNCH: &str = include_str!("scripts/launch.sh");
const READ: &str = include_str!("scripts/read.sh");
const RELEASE: &str = include_str!("scripts/release.sh");
const PLACE: &str = include_str!("scripts/place.sh");

/// Runs a script; the programs of this directory come first.
fn run(parts: &[&str], args: &[&str], first: &Path) -> Output {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", first.display());
    let mut child = Command::new("sh")
        .args(["-c", script::BOOT])
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&script::encode(parts, args)).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace(&format!("{}\n", script::BEGIN), "")
}

/// Makes a program that does nothing but fail.
fn broken(dir: &Path, name: &str, code: u8) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\nexit {code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn lease(root: &Path) -> String {
    let dir = root.join("leases/1");
    fs::create_dir_all(dir.join("runs")).unwrap();
    fs::write(dir.join(".wharf-lease"), "wharf-lease 1\nlease 1\n").unwrap();
    dir.to_str().unwrap().to_owned()
}

#[test]
fn who_cannot_look_does_not_say_that_nothing_lives() {
    let root = tempfile::tempdir().unwrap();
    let dir = lease(root.path());
    let whole = run(&[TREE, LIST], &[&dir, "run/none/1", "run-none-1", "look"], Path::new("/nowhere"));
    assert_eq!((whole.status.code(), said(&whole).as_str()), (Some(0), "end\n"));
    for (name, code) in [("awk", 1), ("grep", 126)] {
        let bin = root.path().join(name);
        fs::create_dir(&bin).unwrap();
        broken(&bin, name, code);
        let listed = run(&[TREE, LIST], &[&dir, "run/none/1", "run-none-1", "look"], &bin);
        assert_eq!((listed.status.code(), said(&listed).as_str()), (Some(15), ""), "{name}");
        if name != "awk" {
            continue;
        }
        let released = run(&[PLACE, TREE, RELEASE], &["", &dir, "remove", "1"], &bin);
        assert_eq!(released.status.code(), Some(15), "{name}: {released:?}");
        assert!(Path::new(&dir).is_dir());
    }
}

#[test]
fn a_name_with_line_ends_hides_no_process() {
    let root = tempfile::tempdir().unwrap();
    let dir = lease(root.path());
    let odd = root.path().join("a\n1 (b) S");
    fs::copy("/bin/sleep", &odd).unwrap();
    let mut child = Command::new(&odd).arg("100").env("WHARF_HOST_TAG", "run/odd/1").spawn().unwrap();
    // Its name is there a moment after its variables.
    let comm = format!("/proc/{}/comm", child.id());
    while !fs::read_to_string(&comm).unwrap().starts_with("a\n") {
        std::thread::yield_now();
    }
    let listed = run(&[TREE, LIST], &[&dir, "run/odd/1", "run-odd-1", "look"], Path::new("/nowhere"));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said(&listed);
    let mut words = said.splitn(3, ' ');
    assert_eq!(words.next(), Some(child.id().to_string().as_str()), "{listed:?}");
    assert!(words.next().is_some_and(|start| start.parse::<u64>().is_ok()), "{listed:?}");
    assert!(words.next().is_some_and(|name| name.starts_with("a 1 (b")), "{listed:?}");
}

#[test]
fn an_end_is_not_told_before_the_rest_of_the_output() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = format!("{}/runs/r", lease(root.path()));
    fs::create_dir(&run_dir).unwrap();
    for (name, text) in [("out", "rest"), ("err", ""), ("exit", "code 0\n")] {
        fs::write(Path::new(&run_dir).join(name), text).unwrap();
    }
    let read = run(&[TREE, READ], &[&run_dir, "0", "0"], Path::new("/nowhere"));
    assert_eq!(said(&read), "o 4\nrest\n.4\nx code 0\n");
    let bin = root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    broken(&bin, "wc", 1);
    let read = run(&[TREE, READ], &[&run_dir, "0", "0"], &bin);
    assert_eq!((read.status.code(), said(&read).as_str()), (Some(1), ""));
}

#[test]
fn a_run_whose_launcher_died_at_once_is_over() {
    let root = tempfile::tempdir().unwrap();
    let run_dir = format!("{}/runs/r", lease(root.path()));
    fs::create_dir(&run_dir).unwrap();
    let read = run(&[TREE, READ], &[&run_dir, "0", "0"], Path::new("/nowhere"));
    assert!(said(&read).ends_with("l the launcher on the host was ended\n"), "{read:?}");
}

#[test]
fn a_run_that_is_stopped_while_it_is_started_never_begins() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(at("stage")).unwrap();
    fs::write(at("stage/in"), "").unwrap();
    fs::create_dir(at("bin")).unwrap();
    // The stop comes when the directory of the run is made and nothing can be found yet.
    let mkfifo = "#!/bin/sh\n: >\"${1%/*}/stop\"\nPATH=/usr/bin:/bin exec mkfifo \"$@\"\n";
    fs::write(at("bin/mkfifo"), mkfifo).unwrap();
    fs::set_permissions(at("bin/mkfifo"), fs::Permissions::from_mode(0o755)).unwrap();
    let launcher = format!("{TREE}\n{LAUNCH}");
    let (stage, run_dir, cwd, begun) = (at("stage"), at("run"), at("."), at("begun"));
    let mut child = Command::new("setsid")
        .args(["--wait", "sh", "-c", &launcher, "wharf-launcher", &stage, &run_dir, &cwd, "022", "run/stopped/1"])
        .args(["whole", "/usr/bin/setsid", "touch", &begun])
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin")))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
    let exit = Path::new(&run_dir).join("exit");
    let began = std::time::Instant::now();
    while !exit.exists() {
        assert!(began.elapsed().as_secs() < 30, "no end");
        std::thread::yield_now();
    }
    assert!(fs::read_to_string(exit).unwrap().starts_with("signal 15\n"));
    assert!(!Path::new(&begun).exists());
}
