//! What is wrong is said where it belongs, in words, with its code; nothing is left behind, and the
//! orchestrator goes on.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_model::*;

use crate::orchestrator::*;

/// A run that fails: how, and what is said.
struct Case {
    name: &'static str,
    config: String,
    /// What is put in place before; also decides between a repository and a plain directory.
    site: fn(&str) -> Site,
    code: &'static str,
    words: &'static [&'static str],
}

fn plain_agent(config: &str) -> String {
    format!("[[agent]]\nname = \"one\"\nadapter = \"process\"\n[agent.config]\nstdin = \"none\"\n{config}\n")
}

fn cases() -> Vec<Case> {
    let works = agent("one", "", "true");
    vec![
        Case {
            name: "no such command",
            config: plain_agent("command = \"no-such-command-here\""),
            site: Site::plain,
            code: "command_not_found",
            words: &["no-such-command-here"],
        },
        Case {
            name: "a text file",
            config: plain_agent("command = \"./notes.txt\""),
            site: |config| {
                let site = Site::plain(config);
                let file = site.project.join("notes.txt");
                fs::write(&file, "just words\n").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
                site
            },
            code: "command_not_executable",
            words: &["notes.txt"],
        },
        Case {
            name: "a file without the permission",
            config: plain_agent("command = \"./tool\""),
            site: |config| {
                let site = Site::plain(config);
                fs::write(site.project.join("tool"), "#!/bin/sh\n").unwrap();
                site
            },
            code: "command_not_executable",
            words: &["tool"],
        },
        Case {
            name: "a directory as the command",
            config: plain_agent("command = \"./tools\""),
            site: |config| {
                let site = Site::plain(config);
                fs::create_dir(site.project.join("tools")).unwrap();
                site
            },
            code: "exec_failed",
            words: &["tools is a directory"],
        },
        Case {
            name: "an interpreter that is not there",
            config: plain_agent("command = \"./tool\""),
            site: |config| {
                let site = Site::plain(config);
                let file = site.project.join("tool");
                fs::write(&file, "#!/no/such/interpreter\n").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
                site
            },
            code: "exec_failed",
            words: &["the interpreter /no/such/interpreter", "is missing"],
        },
        Case {
            name: "a directory that is not there",
            config: plain_agent("command = \"true\"\ncwd = \"not/here\""),
            site: Site::plain,
            code: "cwd_missing",
            words: &["not/here"],
        },
        Case {
            name: "a provision command that fails",
            config: format!("[workspace]\nprovision = \"echo the database is missing >&2; exit 4\"\n{works}"),
            site: Site::git,
            code: "workspace_realization_failed",
            words: &["exit 4", "the database is missing"],
        },
        Case {
            name: "a provision command that hangs",
            config: format!("[workspace]\nprovision = \"sleep 60\"\ntimeout = \"300ms\"\n{works}"),
            site: Site::git,
            code: "workspace_realization_failed",
            words: &["took longer than 300ms"],
        },
        Case {
            name: "a branch that is checked out elsewhere",
            config: format!("[workspace]\nbranch = \"busy\"\n{works}"),
            site: |config| {
                let site = Site::git(config);
                let other = site.path("other");
                site.run_git(&["worktree", "add", "-q", "-b", "busy", other.to_str().unwrap()]);
                site
            },
            code: "workspace_realization_failed",
            words: &["busy", "other"],
        },
        Case {
            name: "a path that is taken",
            config: format!("[workspace]\nbranch = \"taken\"\n{works}"),
            site: |config| {
                let site = Site::git(config);
                let place = site.project.join(".wharf/worktrees/taken");
                fs::create_dir_all(&place).unwrap();
                fs::write(place.join("precious"), "keep me").unwrap();
                site
            },
            code: "workspace_realization_failed",
            words: &["taken"],
        },
        Case {
            name: "worktrees of a repository without a commit",
            config: format!("[workspace]\nmode = \"isolated_workspace\"\nstrategy = \"git_worktree\"\n{works}"),
            site: |config| {
                let site = Site::plain(config);
                site.run_git(&["init", "-q", "-b", "main"]);
                site
            },
            code: "workspace_realization_failed",
            words: &["commit"],
        },
        Case {
            name: "worktrees without a repository",
            config: format!("[workspace]\nmode = \"isolated_workspace\"\nstrategy = \"git_worktree\"\n{works}"),
            site: Site::plain,
            code: "workspace_realization_failed",
            words: &["git"],
        },
        Case {
            name: "a service that is switched off",
            config: agent("one", "services = [\"web\"]", "true") + &listener("web", "disabled = \"until the move\""),
            site: Site::plain,
            code: "service_start_failed",
            words: &["web", "until the move"],
        },
        Case {
            name: "a secret that is not there",
            config: agent("one", "env = { KEY = { secret = \"shop-key\" } }", "true")
                + "[secret.shop-key]\nenv = \"NO_SUCH_VARIABLE\"\n",
            site: Site::plain,
            code: "adapter_failed",
            words: &["shop-key", "NO_SUCH_VARIABLE"],
        },
    ]
}

/// One bad run, and then a good one of the same orchestrator and of the next.
fn try_case(case: &Case) {
    let site = (case.site)(&case.config);
    let it = site.start();
    let request = site.ask_run("one", json!({}));
    let answer = site.answered(request);
    let (code, error) = match answer.status {
        RequestStatus::Refused => (answer.error_code, answer.error),
        _ => {
            let row = site.settled(site.run_of(request));
            assert_eq!(row.status, RunStatus::Failed, "{row:?}");
            let lease = site.run(row.id).lease;
            assert!(lease.is_none_or(|l| l.lease.status.is_terminal()), "no lease is left");
            (row.error_code, row.error)
        }
    };
    let error = error.unwrap_or_default();
    assert_eq!(code.as_deref(), Some(case.code), "{error}");
    for word in case.words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    site.wait("the last of it", || site.open_rows().actions.is_empty().then_some(()));
    site.assert_nothing_open(case.name);
    for (_, spec) in site.shims() {
        assert_eq!(site.tagged(&spec.tag), Vec::<String>::new());
    }
    let precious = site.project.join(".wharf/worktrees/taken/precious");
    assert!(case.name != "a path that is taken" || precious.exists(), "what stood there still stands");

    // The same orchestrator goes on, and a new one starts, with what was repaired.
    let good = agent("good", "", "echo fine");
    site.configure(&format!("[workspace]\nmode = \"shared_workspace\"\n{good}"));
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    assert_eq!(site.settled(site.begin_run("good")).status, RunStatus::Succeeded);
    it.stop();
    let _next = site.start();
    assert_eq!(site.settled(site.begin_run("good")).status, RunStatus::Succeeded);
}

#[test]
fn a_run_that_cannot_be_says_why_and_leaves_nothing() {
    let cases = cases();
    let queue = std::sync::Mutex::new(cases.iter());
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { return };
                    if let Err(panic) = std::panic::catch_unwind(|| try_case(case)) {
                        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failures.lock().unwrap().push(format!("{}: {words}", case.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Starts the only service by hand and gives its row, failed.
fn failed_service(site: &Site) -> ServiceRow {
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let request = site.finished(site.ask_service("start", site.service("web").service.id));
    assert_eq!(request.status, RequestStatus::Failed, "{request:?}");
    let row = site.service("web").service;
    assert_eq!((row.status, row.process_pid), (ServiceStatus::Failed, None));
    assert_eq!((request.error_code, request.error), (row.error_code.clone(), row.error.clone()));
    assert_eq!(site.processes_of_service(&row), Vec::<String>::new());
    site.wait("the last of it", || site.open_rows().actions.is_empty().then_some(()));
    row
}

fn service(command: &str, port: &str, ready: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    format!(
        "[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", {command}]\nport = {port}\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", {ready} }}\nstop = {{ grace = \"200ms\" }}\n"
    )
}

#[test]
fn a_port_that_somebody_else_holds_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let site = Site::plain(&service("sleep 60", &port.to_string(), "timeout = \"10s\""));
    let _it = site.start();
    let row = failed_service(&site);
    assert_eq!(row.error_code.as_deref(), Some("port_in_use"));
    let error = row.error.unwrap();
    assert!(error.contains(&port.to_string()) && error.contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn a_service_that_never_answers_is_stopped_after_its_time() {
    let site = Site::plain(&service(
        "echo warming up >&2; trap '' TERM; sleep 60",
        "\"auto\"",
        "timeout = \"400ms\", interval = \"50ms\"",
    ));
    let _it = site.start();
    let began = Instant::now();
    let row = failed_service(&site);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(row.error_code.as_deref(), Some("service_not_ready"));
    let error = row.error.unwrap();
    assert!(error.contains("in time") && error.contains("warming up"), "{error}");
}

#[test]
fn a_service_that_ends_at_once_ends_the_wait_at_once() {
    let site = Site::plain(&service("echo cannot open the database >&2; exit 3", "\"auto\"", "timeout = \"30s\""));
    let _it = site.start();
    let began = Instant::now();
    let row = failed_service(&site);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((row.error_code.as_deref(), row.exit_code), (Some("service_start_failed"), Some(3)));
    let error = row.error.unwrap();
    assert!(error.contains("exit 3") && error.contains("cannot open the database"), "{error}");
}

#[test]
fn a_run_in_a_bare_repository_is_refused_with_words() {
    let site = Site::git(&agent("one", "", "true"));
    let bare = site.path("bare.git");
    site.run_git(&["clone", "-q", "--bare", site.project.to_str().unwrap(), bare.to_str().unwrap()]);
    fs::copy(site.project.join("wharf.toml"), bare.join("wharf.toml")).unwrap();
    let _it = site.start();
    let request = site.send("run.start", None, json!({ "agent": "one", "path": bare }));
    let row = site.finished(request);
    assert_eq!((row.status, row.error_code.as_deref()), (RequestStatus::Refused, Some("cwd_missing")));
    let error = row.error.unwrap();
    assert!(error.contains("is a bare repository"), "{error}");
    assert!(site.all_runs().is_empty());
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
}

#[test]
fn requests_that_make_no_sense_are_refused_one_by_one() {
    let site = Site::plain(&agent("one", "", "true"));
    let _it = site.start();
    let nowhere = Path::new("/no/such/place");
    let id = uuid::Uuid::now_v7().to_string();
    let cases = [
        ("run.start", None, json!({ "agent": "two", "path": site.project }), "agent_not_found"),
        ("run.start", None, json!({ "agent": "one", "path": nowhere }), "cwd_missing"),
        ("run.start", None, json!({}), "agent_not_found"),
        ("run.cancel", Some(("run", id.clone())), json!({}), "id_unknown"),
        ("run.cancel", Some(("run", "R-1".to_owned())), json!({}), "id_malformed"),
        ("service.start", Some(("service", id.clone())), json!({}), "id_unknown"),
        ("lease.release", Some(("lease", id)), json!({}), "id_unknown"),
        ("moon.land", None, json!({}), "illegal_state"),
    ];
    for (kind, target, args, code) in cases {
        let row = site.finished(site.send(kind, target, args.clone()));
        assert_eq!(
            (row.status, row.error_code.as_deref()),
            (RequestStatus::Refused, Some(code)),
            "{kind} {args}: {:?}",
            row.error
        );
        assert!(row.error.is_some_and(|e| e.len() > 10), "it says why");
    }
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
}
