//! Connections that break off: the command goes on, nothing of its output is lost or said twice.

use std::process::Child;
use std::time::{Duration, Instant};

use super::host::until;
use super::proxy::Proxy;
use super::world::{World, tag};

/// Writes numbered lines on both streams for a while, says its number first, and notes each start.
const COUNTING: &str = r#"
echo $$ >> "$HOME/starts"
i=0
while [ $i -lt COUNT ]; do
    echo "out $i"
    echo "err $i" >&2
    i=$((i + 1))
    sleep 0.01
done
echo "last $$""#;

fn expected(stream: &str, count: u32) -> String {
    (0..count).map(|i| format!("{stream} {i}\n")).collect()
}

/// Checks a whole output of [`COUNTING`].
fn check(w: &World, follower: Child, count: u32) {
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let starts = std::fs::read_to_string(w.host.home.join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 1, "one start");
    let all = format!("{}last {}", expected("out", count), starts);
    assert!(String::from_utf8_lossy(&output.stdout) == all, "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stderr) == expected("err", count));
}

fn counting(count: u32) -> String {
    COUNTING.replace("COUNT", &count.to_string())
}

/// Waits until this many lines were written there.
fn wrote(w: &World, lines: usize) {
    until("output on the host", || {
        let mut most = 0;
        for run in glob(w) {
            most = most.max(std::fs::read_to_string(run.join("out")).unwrap_or_default().lines().count());
        }
        most >= lines
    });
}

fn glob(w: &World) -> Vec<std::path::PathBuf> {
    let leases = std::fs::read_dir(w.host.home.join("wharf/leases")).unwrap().flatten();
    leases
        .filter_map(|lease| std::fs::read_dir(lease.path().join("runs")).ok())
        .flat_map(|runs| runs.flatten().map(|run| run.path()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn sessions_that_are_ended_lose_nothing() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let follower = w.start(&target, &tag(), &["sh", "-c", &counting(200)]);
    for lines in [20, 80, 140] {
        wrote(&w, lines);
        w.host.cut_sessions();
    }
    check(&w, follower, 200);
    w.release(&*driver, &lease);
}

/// Cuts the way there for this long.
fn cut_for(time: Duration, count: u32) {
    let Some(w) = World::new() else { return };
    let proxy = Proxy::to(w.host.port);
    let driver = w.driver_for(&w.config(proxy.port));
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let follower = w.start(&target, &tag(), &["sh", "-c", &counting(count)]);
    wrote(&w, 30);
    proxy.cut();
    let began = Instant::now();
    // The command goes on meanwhile.
    wrote(&w, 120);
    std::thread::sleep(time.saturating_sub(began.elapsed()));
    proxy.mend();
    check(&w, follower, count);
    w.release(&*driver, &lease);
}

#[test]
fn a_way_that_is_cut_for_a_moment_loses_nothing() {
    cut_for(Duration::from_secs(3), 300);
}

#[test]
fn a_way_that_is_cut_for_a_minute_loses_nothing() {
    if std::env::var_os("WHARF_TEST_LONG").is_none() {
        // Asked for by whoever has the time; the shorter one above shows the same.
        return;
    }
    cut_for(Duration::from_mins(1), 4_000);
}

#[test]
fn a_flood_that_is_cut_again_and_again_arrives_byte_for_byte() {
    let Some(w) = World::new() else { return };
    let out = super::stream::pattern(7, 24 << 20);
    std::fs::write(w.host.home.join("out.bin"), &out).unwrap();
    let proxy = Proxy::to(w.host.port);
    let driver = w.driver_for(&w.config(proxy.port));
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    let follower = w.start(&target, &tag(), &["sh", "-c", "cat \"$HOME/out.bin\"; sleep 1"]);
    let reading = std::thread::spawn(move || follower.wait_with_output().unwrap());
    until("output", || glob(&w).iter().any(|run| run.join("out").metadata().is_ok_and(|m| m.len() > 0)));
    for _ in 0..3 {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(100));
        proxy.mend();
        std::thread::sleep(Duration::from_millis(400));
    }
    let output = reading.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == out, "{} of {}", output.stdout.len(), out.len());
    w.release(&*driver, &lease);
}

#[test]
fn a_shared_connection_that_died_is_replaced() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let list = || assert!(super::world::done(w.wait(driver.list(&lease, "run/none/1"))).is_empty());
    // At once, while it may not have noticed yet, and when it has.
    w.host.cut_sessions();
    list();
    w.host.cut_sessions();
    until("the connection is gone", || w.sockets().is_empty());
    list();
    // A socket that nobody listens on any more.
    let socket = w.sockets().remove(0);
    w.host.cut_sessions();
    until("the connection is gone", || !socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    list();
    assert_eq!(w.sockets(), [socket]);
    w.release(&*driver, &lease);
}
