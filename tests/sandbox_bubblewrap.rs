//! bubblewrap for real: what is seen, what is not, what lives and ends.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod sandbox_common;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use sandbox_common::*;
use serde_json::json;
use wharf::environment::driver::{Acquired, Answer, Level, Outcome, Resumed, Seen};
use wharf::process::descendants;

#[test]
fn the_network_is_there_only_where_the_config_says_so() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>&1 && echo connected || echo none");
    for (network, expected) in [("none", "none"), ("host", "connected")] {
        let inside = Box::new(&world, &bubblewrap(json!({ "network": network })), &world.path("home/src"), None);
        assert_eq!(inside.out(&script).lines().last(), Some(expected), "{network}");
    }
}

#[test]
fn only_the_workspace_is_written_and_secrets_are_not_seen() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let work = world.path("home/src/work");
    std::fs::create_dir_all(&work).unwrap();
    std::fs::write(world.path("home/src/beside"), "hidden-value").unwrap();
    let inside = Box::new(&world, &bubblewrap(json!({})), &work, None);
    inside.out("echo made > made && mkdir dir && ln -s made link");
    assert_eq!(std::fs::read_to_string(work.join("made")).unwrap(), "made\n");

    let home = world.path("home").display().to_string();
    let root = world.path("").display().to_string();
    let search = format!(
        "cat {home}/.ssh/id {home}/.aws/credentials {home}/.gnupg/key {home}/.config/wharf/config.toml \
        {root}data/wharf.db {root}home/src/beside /etc/shadow; grep -rs hidden-value {root} /etc && echo found; ls {root}; ls -A {home}; true"
    );
    let seen = inside.out(&search);
    assert!(!seen.contains("hidden-value") && !seen.contains("found"), "{seen}");
    assert!(seen.contains(".gitconfig") && !seen.contains(".ssh"), "{seen}");

    for place in [
        "/x",
        "/etc/x",
        "/usr/x",
        "/usr/bin/sh",
        "/run/x",
        "/var/x",
        &format!("{home}/.gitconfig"),
        &format!("{home}/.local/bin/x"),
    ] {
        let out = inside.sh(&format!("echo x > {place}"));
        assert!(!out.status.success(), "{place} can be written");
    }
    // Through a link that leads out of the workspace nothing is reached either.
    let out = inside.sh(&format!(
        "ln -s {root}home/src/beside out && cat out || ln -sfn /proc/1/root/{root} up && cat up{root}home/src/beside"
    ));
    assert!(!out.status.success() && !text(&out.stdout).contains("hidden-value"), "{out:?}");

    // The private directories are no other's, and go on in the next command.
    inside.out("echo mine > /tmp/mine && echo mine > ~/mine && test -d /var/tmp");
    assert!(!std::path::Path::new("/tmp/mine").exists() && !world.path("home/mine").exists());
    assert_eq!(inside.out("cat /tmp/mine ~/mine; echo $TMPDIR"), "mine\nmine\n/tmp\n");
    let other = Box::new(&world, &bubblewrap(json!({})), &work, None);
    assert!(!other.sh("cat /tmp/mine").status.success());
    assert_eq!(inside.out("grep ^CapEff /proc/self/status").trim(), "CapEff:\t0000000000000000");
}

#[test]
fn the_socket_of_its_run_and_this_program_are_there_and_nothing_else_of_ours() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    // An address of a socket is short; the shim reaches its own through the directory's descriptor.
    let (one, other) = (world.path("data/runs/aa/1"), world.path("data/runs/aa/2"));
    for dir in [&one, &other] {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("out.000001.wlog"), "hidden-value").unwrap();
    }
    let listener = std::os::unix::net::UnixListener::bind(one.join("agent.sock")).unwrap();
    let socket = one.join("agent.sock").display().to_string();
    let own = [("WHARF_AGENT_SOCKET", socket.as_str()), ("WHARF_TOKEN", "t")];
    listener.set_nonblocking(true).unwrap();
    let mut child = inside.command(&[WHARF, "comment", "from inside"], &own).stderr(Stdio::piped()).spawn().unwrap();
    let taken = eventually("a message", || listener.accept().ok());
    taken.0.set_nonblocking(false).unwrap();
    let mut line = String::new();
    BufReader::new(taken.0).read_line(&mut line).unwrap();
    assert!(line.contains("from inside"), "{line}");
    // Nobody says that it was stored.
    assert!(!child.wait().unwrap().success());
    let script = format!("ls -R {}", world.path("data").display());
    let out = inside.command(&["sh", "-c", &script], &own).output().unwrap();
    let seen = text(&out.stdout);
    assert!(seen.contains("agent.sock") && !seen.contains("wlog") && !seen.contains("wharf.db"), "{seen}");
}

#[test]
fn a_workspace_that_holds_what_is_hidden_is_refused() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    for large in ["home", ""] {
        let answer = wait(inside.driver.realise(&inside.held, &realise_ask(&world.path(large), None)));
        assert!(matches!(&answer, Answer::Refused { hint, .. } if hint.contains("smaller directory")), "{answer:?}");
    }
}

#[test]
fn mounts_of_the_config_are_seen_as_it_says() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    for dir in ["home/src/work", "cache", "books"] {
        std::fs::create_dir_all(world.path(dir)).unwrap();
    }
    std::fs::write(world.path("books/one"), "read me").unwrap();
    let mounts = json!([
        { "source": world.path("cache"), "target": "/cache", "writable": true },
        { "source": world.path("books"), "target": world.path("home/src/work/books") },
    ]);
    let config = bubblewrap(json!({ "mounts": mounts, "env": { "MODE": "box", "LANG": "en" } }));
    let inside = Box::new(&world, &config, &world.path("home/src/work"), None);
    assert_eq!(inside.out("echo x > /cache/x && cat books/one; echo \" $MODE\""), "read me box\n");
    assert!(world.path("cache/x").exists());
    assert!(!inside.sh("echo x > books/x").status.success());
    let out = inside.command(&["sh", "-c", "echo $MODE"], &[("MODE", "agent")]).output().unwrap();
    assert_eq!(text(&out.stdout), "agent\n");

    // Someone inside put a link where the next command would mount something.
    std::fs::remove_dir(world.path("home/src/work/books")).unwrap();
    std::os::unix::fs::symlink(world.path("home/.ssh"), world.path("home/src/work/books")).unwrap();
    let answer = wait(inside.driver.target(&inside.held, inside.realised.as_ref()));
    assert!(matches!(&answer, Answer::Refused { hint, .. } if hint.contains("is a link")), "{answer:?}");

    for source in ["/", "~/.ssh", "~"] {
        let config = bubblewrap(json!({ "mounts": [{ "source": source, "target": "/x" }] }));
        let answer = wait(world.driver(&config).acquire(&world.ask()));
        assert!(matches!(answer, Answer::Refused { .. }), "{source}: {answer:?}");
        assert!(!errors(&done(wait(world.driver(&config).probe()))).is_empty(), "{source}");
    }
}

#[test]
fn ends_and_signals_are_those_of_the_command() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    assert_eq!(inside.sh("exit 7").status.code(), Some(7));
    assert_eq!(inside.sh("kill -9 $$").status.code(), Some(137));
    assert_eq!(inside.command(&["no-such-program"], &[]).output().unwrap().status.code(), Some(127));
    let out = inside.command(&["sh", "-c", "printf 'a\\0b'; printf c >&2; cat"], &[]).output().unwrap();
    assert_eq!((out.stdout.as_slice(), out.stderr.as_slice()), (&b"a\0b"[..], &b"c"[..]));

    // Asked to end, as a shim asks the group: the command has its time, and what it says then is not lost.
    let script = "trap 'sleep 0.3; echo tidied; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = inside.command(&["sh", "-c", script], &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "tidied");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn nothing_lives_on_when_whoever_started_it_ends() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    let tag = format!("run/{}/1", uuid::Uuid::now_v7());
    let script = "setsid sh -c 'sleep 300 & echo up; sleep 300' & wait";
    let wrapped = inside.command(&["sh", "-c", script], &[("WHARF_TAG", &tag)]);
    // A parent between, which is killed: as a shim may be.
    let mut parent = std::process::Command::new("sh");
    parent.args(["-c", "\"$@\" & wait", "sh"]).arg(wrapped.get_program()).args(wrapped.get_args()).env_clear();
    for (name, value) in wrapped.get_envs() {
        parent.env(name, value.unwrap());
    }
    let mut parent = parent.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    assert!(descendants::by_tag(&tag).unwrap().found.len() >= 4);
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    eventually("the end of the sandbox", || descendants::by_tag(&tag).unwrap().found.is_empty().then_some(()));
}

#[test]
fn processes_are_found_and_stopped_by_their_tag() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    let tag = format!("run/{}/1", uuid::Uuid::now_v7());
    // Forked twice, a session of its own, deaf to the request.
    let script = "(setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' &) ; trap '' TERM; while :; do sleep 1; done";
    let mut child =
        inside.command(&["sh", "-c", script], &[("WHARF_TAG", &tag)]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let listed = done(wait(inside.driver.list(&inside.held, &tag)));
    assert!(listed.iter().filter(|p| p.command == "sh").count() >= 2, "{listed:?}");
    assert!(done(wait(inside.driver.list(&inside.held, "run/other/1"))).is_empty());
    // Whoever waits for the child reaps it, as a shim does.
    let reaper = std::thread::spawn(move || child.wait().unwrap());
    let left = done(wait(inside.driver.stop(&inside.held, &tag, Duration::from_millis(100))));
    assert_eq!(left, []);
    reaper.join().unwrap();
    assert_eq!(done(wait(inside.driver.list(&inside.held, &tag))), []);
}

#[test]
fn a_place_is_kept_found_again_and_removed() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let driver = world.driver(&bubblewrap(json!({})));
    let ask = world.ask();
    let mut inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    let id = inside.held.provider_lease_id.clone().unwrap();
    inside.out("echo kept > ~/kept; mkdir -p /tmp/deep/er; chmod 500 /tmp/deep");
    let dir = world.path("data/environments").join(world.environment.to_string());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);

    done(wait(driver.release(&inside.held, Outcome::Kept)));
    let Resumed::Held(place) = done(wait(driver.resume(&ask, &id, &inside.held.facts))) else { panic!("gone") };
    assert_eq!(place.provider_lease_id.as_deref(), Some(id.as_str()));
    inside.held = held(&ask, place);
    inside.realise(&world.path("home/src"), None);
    assert_eq!(inside.out("cat ~/kept"), "kept\n");
    let never = format!("bubblewrap:{}", uuid::Uuid::now_v7());
    let seen = done(wait(driver.observe(&[id.clone(), never.clone()])));
    assert_eq!((&seen[&id], &seen[&never]), (&Seen::Held(None), &Seen::Gone));

    for _ in 0..2 {
        done(wait(driver.release(&inside.held, Outcome::Released)));
    }
    assert!(!dir.exists(), "nothing is left of the environment");
    assert_eq!(done(wait(driver.resume(&ask, &id, &inside.held.facts))), Resumed::Gone);
    assert_eq!(done(wait(driver.observe(std::slice::from_ref(&id))))[&id], Seen::Gone);
    let answer = wait(driver.target(&inside.held, inside.realised.as_ref()));
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");

    // An answer that never arrived: acquired twice it is one place, and goes without its id.
    let ask = world.ask();
    for _ in 0..2 {
        let Acquired::Held(place) = done(wait(driver.acquire(&ask))) else { panic!("queued") };
        inside.held = held(&ask, place);
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    inside.held.provider_lease_id = None;
    inside.held.facts = serde_json::Value::Null;
    done(wait(driver.destroy(&inside.held)));
    assert!(!dir.exists());
}

#[test]
fn caps_hold_for_all_that_runs_in_one() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let config = bubblewrap(json!({ "limits": { "processes": 20, "memory": "96MiB", "cpus": 0.5 } }));
    let checks = done(wait(world.driver(&config).probe()));
    if checks.iter().any(|c| c.code == "limits" && c.level != Level::Ok) {
        return skipped(&format!("control groups keep not all caps here: {checks:?}"));
    }
    let inside = Box::new(&world, &config, &world.path("home/src"), None);
    let groups = inside.held.facts["groups"].as_array().unwrap().clone();
    assert!(!groups.is_empty());
    let out = inside.sh("for i in $(seq 40); do sleep 5 & done; echo all");
    assert!(text(&out.stderr).to_lowercase().contains("fork"), "{out:?}");
    let out = inside.sh("dd if=/dev/zero of=/dev/null bs=300M count=1");
    assert!(!out.status.success(), "{out:?}");
    let quota = groups.iter().find_map(|dir| {
        let dir = std::path::Path::new(dir.as_str().unwrap());
        let first = std::fs::read_to_string(dir.join("cpu.cfs_quota_us"));
        first.or_else(|_| std::fs::read_to_string(dir.join("cpu.max"))).ok()
    });
    assert!(quota.unwrap().starts_with("50000"));

    // What still runs when it is given back ends, and its groups go.
    let mut child = inside
        .command(&["sh", "-c", "trap '' TERM; echo up; sleep 300; sleep 300"], &[])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let reaper = std::thread::spawn(move || child.wait().unwrap());
    done(wait(inside.driver.release(&inside.held, Outcome::Released)));
    reaper.join().unwrap();
    for dir in groups {
        assert!(!std::path::Path::new(dir.as_str().unwrap()).exists(), "{dir} is left");
    }
}

#[test]
fn a_machine_without_it_says_so() {
    let mut world = World::new();
    let operator = std::sync::Arc::make_mut(&mut world.site.operator);
    operator.insert("PATH".into(), "/nonexistent".into());
    let driver = world.driver(&bubblewrap(json!({})));
    let checks = done(wait(driver.probe()));
    assert!(errors(&checks).iter().any(|c| c.code == "program" && c.hint.is_some()), "{checks:?}");
    let answer = wait(driver.acquire(&world.ask()));
    assert!(matches!(&answer, Answer::Refused { code, .. } if code == "lease_acquire_failed"), "{answer:?}");

    // A program that answers, but makes no namespaces.
    let bin = world.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let fake = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'bubblewrap 9' && exit 0\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n";
    std::fs::write(bin.join("bwrap"), fake).unwrap();
    std::fs::set_permissions(bin.join("bwrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::sync::Arc::make_mut(&mut world.site.operator).insert("PATH".into(), bin.display().to_string());
    let checks = done(wait(world.driver(&bubblewrap(json!({}))).probe()));
    let wrong = errors(&checks);
    assert!(wrong.iter().any(|c| c.code == "namespaces" && c.message.contains("No permissions")), "{checks:?}");
}

/// Types into its own terminal, by the number as it is and with bits above it that the kernel drops; then into
/// something else, where only a filter says EPERM.
const TYPING: &str = r#"
import ctypes, errno, os, pty
libc = ctypes.CDLL(None, use_errno=True)
number = 16 if os.uname().machine == "x86_64" else 29
def typed(fd, request):
    done = libc.syscall(ctypes.c_long(number), ctypes.c_long(fd), ctypes.c_ulong(request), ctypes.c_char_p(b"x"))
    return "typed" if done == 0 else errno.errorcode[ctypes.get_errno()]
pid, master = pty.fork()
if pid == 0:
    null = os.open("/dev/null", os.O_RDWR)
    print(*[typed(fd, request) for fd in (0, null) for request in (0x5412, 0x541C, 0x100005412)], typed(null, 0x5401), flush=True)
    os._exit(0)
out = b""
try:
    while True:
        out += os.read(master, 1000)
except OSError:
    pass
os.waitpid(pid, 0)
print(out.decode().strip())
"#;

#[test]
fn nothing_inside_types_into_a_terminal() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    if !inside.sh("python3 -c 'import ctypes'").status.success() {
        skipped("there is no python3");
        return;
    }
    let out = inside.command(&["python3", "-c", TYPING], &[]).output().unwrap();
    // Every other request arrives where it should.
    assert_eq!(text(&out.stdout).trim(), "EPERM EPERM EPERM EPERM EPERM EPERM ENOTTY", "{}", text(&out.stderr));
}

#[test]
fn sockets_without_a_file_are_not_reached_though_the_network_is_shared() {
    use std::os::linux::net::SocketAddrExt;
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let config = bubblewrap(json!({ "network": "host" }));
    let checks = done(wait(world.driver(&config).probe()));
    let check = checks.iter().find(|check| check.code == "abstract_sockets").unwrap();
    let kept = wharf::process::landlock::version().is_some_and(|version| version >= 6);
    assert_eq!(check.level == Level::Ok, kept, "{check:?}");
    let inside = Box::new(&world, &config, &world.path("home/src"), None);
    if !kept || !inside.sh("python3 -c 'import socket'").status.success() {
        skipped("there is no python3, or the kernel cannot keep such sockets apart");
        return;
    }
    let name = format!("wharf-{}", uuid::Uuid::now_v7());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let connect = format!("python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{name}\")' 2>&1");
    let out = text(&inside.sh(&connect).stdout);
    assert!(out.contains("PermissionError"), "{out}");
    // Those that are made inside are.
    let own = "import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"\\0own\"); s.listen(); socket.socket(socket.AF_UNIX).connect(\"\\0own\")";
    let script = format!("python3 -c '{own}'").replace("own", &format!("{name}-own"));
    inside.out(&script);
}

#[test]
fn a_home_and_a_data_directory_may_be_named_by_links() {
    let mut world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    // Seen from inside, where it not hidden.
    let data = world.path("home/.local/lib/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("wharf.db"), "hidden-value").unwrap();
    std::fs::write(world.path("home/.local/lib/seen"), "").unwrap();
    for (link, to) in [("data-link", data.clone()), ("home-link", world.path("home"))] {
        std::os::unix::fs::symlink(to, world.path(link)).unwrap();
    }
    world.site.data = world.path("data-link");
    let home = world.path("home-link").display().to_string();
    std::sync::Arc::make_mut(&mut world.site.operator).insert("HOME".into(), home);
    let inside = Box::new(&world, &bubblewrap(json!({})), &world.path("home/src"), None);
    let told = inside.out(&format!(
        "echo $HOME; echo x > ~/mine && cat ~/.local/lib/seen && git config user.name; ls -A {} {}",
        world.path("data-link").display(),
        data.display()
    ));
    assert!(told.starts_with(&format!("{}\nAnn\n", world.path("home").display())), "{told}");
    assert!(!told.contains("wharf.db"), "{told}");
}
