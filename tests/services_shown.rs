//! Services as an operator sees them: the screen of the real console, `wharf ports`, `wharf service why`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/pty.rs"]
mod pty;

use std::net::TcpListener;
use std::process::Command;

use pty::{Console, PRINTER, Place, config, read};
use serde_json::Value;

fn services(port: u16) -> String {
    format!(
        r#"{}
[[service]]
name = "talker"
command = ["sh", "-c", "echo 'I talk'; exec sleep 600"]
stop = {{ grace = "1s" }}

[[service]]
name = "taken"
command = ["sleep", "600"]
port = {port}

[[service]]
name = "loop"
command = ["sh", "-c", "echo 'REDIS_URL is not set' >&2; exit 3"]
restart = {{ policy = "on_failure", backoff = "10ms", max = 2, within = "1m" }}
"#,
        config(&[("printer", PRINTER)])
    )
}

fn wharf(place: &Place, args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_wharf"))
        .args(args)
        .current_dir(place.project())
        .env("WHARF_DATA_DIR", place.data())
        .env("XDG_CONFIG_HOME", place.path.join("config"))
        .env_remove("WHARF_TAG")
        .output()
        .unwrap()
}

fn json(place: &Place, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    let output = wharf(place, &args);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The whole of it in one session: a service that talks, one whose port a stranger has, one that gives up.
#[test]
fn the_screen_says_who_listens_what_it_takes_and_why_one_is_not_well() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let place = Place::new(Some(&services(port)));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.send("3");
    console.see("No services yet.");
    // The last one is started, and ends at once: whichever is seen first is the answer.
    for (name, codes) in [("talker", &[0][..]), ("taken", &[8]), ("loop", &[0, 8])] {
        let code = wharf(&place, &["service", "start", name]).status.code().unwrap();
        assert!(codes.contains(&code), "{name}: {code}");
    }
    console.see("● running");
    console.see("✗ failed");
    // Who has the port: this test.
    let held = format!("pid {}", std::process::id());
    console.see("▲ stranger");
    console.see(&held);
    // What the tree of the talker takes, in figures.
    console.wait("memory of the service", |screen| {
        screen.lines().any(|l| l.contains("talker") && (l.contains(" MB ") || l.contains(" KB ")))
    });
    // The one that gave up is told of beside, with what it misses by its own words.
    console.see("crash loop: restart budget 2 within 60s (wharf.toml line");
    console.see("REDIS_URL is not among them");

    let ports = json(&place, &["ports", "kind:stranger"]);
    let row = &ports["ports"][0];
    assert_eq!((&row["port"], &row["process_pid"]), (&port.into(), &std::process::id().into()), "{ports}");
    assert_eq!(row["services"], Value::from(vec!["S-2"]));
    let listed = wharf(&place, &["services"]);
    let remark = format!("port {port} wanted by S-2 is held by {held}");
    let told = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(told.contains(&remark) && told.contains("(not ours)"), "{told}");
    let why = json(&place, &["service", "why", "loop"]);
    assert_eq!((&why["case"], &why["schema"]), (&"parked".into(), &"wharf.service_why/1".into()), "{why}");
    let why = json(&place, &["service", "why", "taken"]);
    assert_eq!(why["case"], "port_taken", "{why}");
    assert!(why["evidence"].to_string().contains(&held), "{why}");

    // A port that is free again is seen as such.
    drop(stranger);
    console.gone("▲ stranger");
    console.see("○ free");

    // The talker's log, its facts, and its end by a key.
    console.send("/talker\r");
    console.see("1–1 of 1");
    console.see("▏I talk");
    console.send("td");
    console.see("[Facts]");
    console.see("1 process");
    console.send("x");
    console.see("Stopping S-1 does this");
    read();
    console.send("y");
    console.see("⊘ stopped");
    console.send("\u{1b}");
    read();
    console.quit();
    console.assert_restored();
}
