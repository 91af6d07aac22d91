//! Whether a service that runs still answers.

use wharf::process::signal::{self, Signal};
use wharf_model::shim::ProcessRef;
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use crate::orchestrator::*;
use crate::servers::*;

const READY: &str = "ready = { http = \"http://127.0.0.1:{{port}}/\", timeout = \"50s\", interval = \"100ms\" }";

fn noted(site: &Site, action: &str) -> usize {
    site.activity(&ActivityQuery { action: Some(action.to_owned()), ..ActivityQuery::default() }).len()
}

#[test]
fn health_goes_bad_and_good_again_and_only_changes_are_written() {
    if no_python() {
        return;
    }
    let live = "live = { http = \"http://127.0.0.1:{{port}}/\", interval = \"100ms\", failures = 3 }";
    let (site, _it) = accepted(&server("web", &format!("{READY}\n{live}\n{STOP}")));
    let ready = start(&site, "web");
    let looks = |more: usize| {
        let before = site.lines("web.asked").len();
        site.wait_and_look("more looks", || (site.lines("web.asked").len() >= before + more).then_some(()));
    };
    looks(5);
    assert_eq!(site.service("web").service.version, ready.version, "good looks write nothing");

    set(&site, "web", "503");
    let evidence = health(&site, "web", Health::Unhealthy);
    assert!(evidence.contains("answered 503") && evidence.contains("3 looks in a row failed"), "{evidence}");
    let bad = site.service("web").service;
    assert_eq!((bad.status, bad.process_pid), (ServiceStatus::Running, ready.process_pid), "nothing ends it");
    assert!(bad.health_since.is_some());
    looks(5);
    assert_eq!(site.service("web").service.version, bad.version, "what goes on is written once");
    assert_eq!(noted(&site, "service.unhealthy"), 1);

    set(&site, "web", "200");
    let evidence = health(&site, "web", Health::Healthy);
    assert!(evidence.contains("is good again after"), "{evidence}");

    // One that stands still is told from one that answers badly.
    let child = site.service("web").service;
    let process = ProcessRef {
        pid: child.process_pid.unwrap(),
        start_ticks: u64::try_from(child.process_start_ticks.unwrap()).unwrap(),
    };
    assert!(signal::send(process, Signal::STOP).unwrap());
    let evidence = health(&site, "web", Health::Unhealthy);
    assert!(evidence.contains("no complete answer") && evidence.contains("is stopped"), "{evidence}");
    assert!(signal::send(process, Signal::CONT).unwrap());
    health(&site, "web", Health::Healthy);
    stop(&site, "web");
    site.assert_nothing_open("after it");
}

#[test]
fn a_connection_or_a_command_can_tell_as_well() {
    if no_python() {
        return;
    }
    let tcp = "live = { tcp = \"127.0.0.1:{{port}}\", interval = \"100ms\", failures = 1 }";
    let command = "live = { command = \"[ ! -e $ROOT/sick ] || { echo the disk is full >&2; exit 7; }\", interval = \"100ms\", failures = 2 }";
    // Listens until it is told to close its port, and stays.
    let closing = "import socket, os, time\ns = socket.create_server((\"127.0.0.1\", int(os.environ[\"PORT\"])))\n\
                   while not os.path.exists(\"$ROOT/closed\"): time.sleep(0.05)\ns.close()\ntime.sleep(600)\n";
    let config = format!(
        "[[service]]\nname = \"tcp\"\nport = \"auto\"\ncommand = [\"python3\", \"-c\", {}]\n\
         ready = {{ tcp = \"127.0.0.1:{{{{port}}}}\", interval = \"100ms\" }}\n{tcp}\n{STOP}\n\
         [[service]]\nname = \"command\"\ncommand = \"exec sleep 600\"\n{command}\n{STOP}\n",
        serde_json::to_string(closing).unwrap()
    );
    let (site, _it) = accepted(&config);
    start(&site, "tcp");
    start(&site, "command");
    std::fs::write(site.path("closed"), "").unwrap();
    std::fs::write(site.path("sick"), "").unwrap();
    let evidence = health(&site, "tcp", Health::Unhealthy);
    assert!(evidence.contains("cannot connect"), "{evidence}");
    let evidence = health(&site, "command", Health::Unhealthy);
    assert!(evidence.contains("ended with 7: the disk is full"), "{evidence}");
    std::fs::remove_file(site.path("sick")).unwrap();
    health(&site, "command", Health::Healthy);
    for name in ["tcp", "command"] {
        let stopped = stop(&site, name);
        assert_eq!(checks_left(&stopped), 0);
    }
}

#[test]
fn one_that_is_unhealthy_and_lives_is_adopted_and_shown() {
    if no_python() {
        return;
    }
    // Without `live` its address is looked at all the same, now and then, and at once by a new reign.
    let config = |signal: &str| {
        let stop = format!("stop = {{ policy = \"manual\", grace = \"2s\", signal = \"{signal}\" }}");
        server("web", &format!("{READY}\nenv = {{ WORD = \"x\" }}\n{stop}"))
    };
    let (site, it) = accepted(&config("SIGTERM"));
    let before = start(&site, "web");
    set(&site, "web", "hang");
    site.configure(&config("SIGINT"));
    accept(&site);
    it.kill();
    let _second = site.start();
    let evidence = site.wait("what the new reign sees", || {
        let service = site.service("web").service;
        (service.health == Health::Unhealthy).then(|| service.health_evidence.unwrap())
    });
    assert!(evidence.contains("no complete answer"), "{evidence}");
    assert!(evidence.contains("its stop signal changed in wharf.toml since it was started"), "{evidence}");
    let after = site.service("web").service;
    assert_eq!((after.status, after.generation), (ServiceStatus::Running, 1));
    assert_eq!((after.process_pid, after.port), (before.process_pid, before.port));
    assert_eq!(after.env_fingerprint, before.env_fingerprint);
    assert_eq!(noted(&site, "service.adopted"), 1);
    // It is still under control.
    let stopped = stop(&site, "web");
    assert_eq!(stopped.status, ServiceStatus::Stopped);
    site.assert_nothing_open("after it");
}

#[test]
fn an_adopted_one_whose_environment_has_changed_lives_on_until_it_is_replaced() {
    if no_python() {
        return;
    }
    let config = |word: &str| server("web", &format!("{READY}\nenv = {{ WORD = \"{word}\" }}\n{STOP}"));
    let (site, it) = accepted(&config("old"));
    let before = start(&site, "web");
    it.kill();
    site.configure(&config("new"));
    let _second = site.start();
    accept(&site);
    site.wait("its adoption", || (noted(&site, "service.adopted") == 1).then_some(()));
    // It was started with another environment, which is another form: what lives is left alone, and is not started again
    // in a form that is not in force.
    let row = |id: ServiceId| site.services().into_iter().map(|i| i.service).find(|s| s.id == id).unwrap();
    let refused = site.finished(site.ask_service("restart", before.id));
    assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("illegal_state")));
    assert!(refused.error.as_ref().unwrap().contains("in another form"), "{:?}", refused.error);
    let old = row(before.id);
    assert_eq!((old.status, old.process_pid), (ServiceStatus::Running, before.process_pid));
    assert_eq!(old.env_fingerprint, before.env_fingerprint);
    let new = site.services().into_iter().map(|i| i.service).find(|s| s.name == "web" && s.id != before.id).unwrap();
    let started = site.finished(site.ask_service("start", new.id));
    assert_eq!(started.status, RequestStatus::Done, "{:?}", started.error);
    let new = row(new.id);
    assert!(new.env_fingerprint.is_some() && new.env_fingerprint != before.env_fingerprint);
    for id in [before.id, new.id] {
        let stopped = site.finished(site.ask_service("stop", id));
        assert_eq!(stopped.status, RequestStatus::Done, "{:?}", stopped.error);
    }
    site.assert_nothing_open("after it");
}
