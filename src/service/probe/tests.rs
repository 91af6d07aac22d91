use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::process::descendants;

#[test]
fn checks_are_validated() {
    let http = |url: &str| Probe::Http(url.to_owned()).validate();
    http("http://127.0.0.1:80/health?x=1").unwrap();
    http("http://localhost").unwrap();
    for bad in [
        "",
        "127.0.0.1:80",
        "/health",
        "https://127.0.0.1/",
        "file:///etc",
        "http://",
        "http://u:p@h/",
        "http://h:0/",
        "http://h:99999/",
    ] {
        assert!(http(bad).is_err(), "{bad}");
    }
    let tcp = |address: &str| Probe::Tcp(address.to_owned()).validate();
    tcp("[::1]:80").unwrap();
    for bad in ["", "host", ":80", "host:", "host:0", "host:x", "host:70000"] {
        assert!(tcp(bad).is_err(), "{bad}");
    }
}

fn command(script: &str, cwd: &Path) -> (Probe, String) {
    let tag = format!("check-{}", uuid::Uuid::now_v7());
    let env = BTreeMap::from([
        ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ("WORD".to_owned(), "hunter2-hunter2".to_owned()),
    ]);
    let probe = CommandProbe {
        argv: vec![script.to_owned()],
        shell: true,
        cwd: cwd.to_owned(),
        env,
        redact: vec!["hunter2-hunter2".to_owned()],
        tag: tag.clone(),
        shown: "ask".to_owned(),
    };
    (Probe::Command(Arc::new(probe)), tag)
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_command_runs_where_the_service_does_and_with_its_variables() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("here"), "").unwrap();
    let (good, _) = command("[ -e here ] && [ \"$WORD\" = hunter2-hunter2 ] && [ -z \"$HOME\" ]", dir.path());
    assert_eq!(good.attempt(LONG).await, Ok(()));
}

#[tokio::test]
async fn a_command_that_says_no_is_told_with_its_words_and_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let (bad, _) = command("echo; echo using $WORD >&2; printf 'no \\033[1mserver\\n'; exit 4", dir.path());
    let error = bad.attempt(LONG).await.unwrap_err().words;
    assert_eq!(error, "the check `ask` ended with 4: using *************** / no ?[1mserver");
    let (missing, _) = command("x", Path::new("/no/such"));
    assert!(missing.attempt(LONG).await.unwrap_err().words.contains("cannot be run"));
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_its_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (hung, tag) = command("setsid sleep 600 & sleep 600", dir.path());
    let error = hung.attempt(Duration::from_millis(300)).await.unwrap_err().words;
    assert!(error.contains("no complete answer within 300 ms and was ended"), "{error}");
    assert_eq!(descendants::by_tag(&tag).unwrap().found, []);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_from_a_bad_answer() {
    for code in [libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOMEM, libc::EADDRNOTAVAIL] {
        assert!(is_ours(&io::Error::from_raw_os_error(code)), "{code}");
    }
    for code in [libc::ECONNREFUSED, libc::ENOENT, libc::EACCES, libc::ECONNRESET] {
        assert!(!is_ours(&io::Error::from_raw_os_error(code)), "{code}");
    }
    assert!(beside(|| panic!("a check that panics")).await.unwrap_err().is_ours);
    let (missing, _) = command("x", Path::new("/no/such"));
    assert!(!missing.attempt(LONG).await.unwrap_err().is_ours);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(!Probe::Tcp(closed.to_string()).attempt(LONG).await.unwrap_err().is_ours);
    assert!(!Probe::Http(format!("http://{closed}/")).attempt(LONG).await.unwrap_err().is_ours);
}
