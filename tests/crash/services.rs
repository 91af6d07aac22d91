//! Services are shared, found again and given back, whoever dies in between.

use std::time::Duration;

use serde_json::json;
use wharf_model::*;
use wharf_store::view::ServiceItem;

use crate::orchestrator::*;

const SHARED: &str = "stop = { policy = \"on_run_finish\", grace = \"2s\" }";

/// A project whose runs use one service and wait at a gate.
fn site(service: &str) -> Site {
    let user = agent(
        "user",
        "services = [\"web\"]",
        "echo $WHARF_SERVICE_WEB_URL >> $ROOT/urls; read go < $ROOT/gate-$WHARF_RUN_NUMBER",
    );
    let site = Site::plain(&format!("[workspace]\nconcurrency = \"allow\"\n{user}{service}"));
    for n in 1..=3 {
        site.gate(&format!("gate-R-{n}"));
    }
    site
}

fn wait_for(site: &Site, status: ServiceStatus) -> ServiceItem {
    site.wait(&format!("a service that is {status}"), || {
        let item = site.service("web");
        (item.service.status == status).then_some(item)
    })
}

#[test]
fn two_runs_share_one_process_and_the_last_one_ends_it() {
    let site = site(&listener("web", SHARED));
    let _it = site.start();
    let (a, b) = (site.begin_run("user"), site.begin_run("user"));
    site.started(a);
    site.started(b);
    let web = site.service("web");
    let users: Vec<_> = web.users.iter().map(|u| u.run_id).collect();
    assert_eq!(users, [a, b]);
    assert_eq!((web.service.status, web.service.generation), (ServiceStatus::Running, 1));
    assert_eq!(site.lines("web.starts").len(), 1, "one process");
    assert_eq!(site.run(a).services.len(), 1);

    site.open_gate("gate-R-1");
    let left = site.wait("one user", || Some(site.service("web")).filter(|s| s.users.len() == 1));
    assert_eq!(left.service.status, ServiceStatus::Running, "the other one still uses it");
    site.open_gate("gate-R-2");
    let web = wait_for(&site, ServiceStatus::Stopped).service;
    assert_eq!(site.processes_of_service(&web), Vec::<String>::new());
    site.settled(a);
    site.settled(b);
    let urls = site.lines("urls");
    assert!(urls.len() == 2 && urls[0] == urls[1] && urls[0].starts_with("http://127.0.0.1:"), "{urls:?}");

    // Found again by its key: the same row, its next generation, its port if it is free.
    let c = site.begin_run("user");
    site.started(c);
    let again = site.service("web").service;
    assert_eq!((again.id, again.generation, again.port), (web.id, 2, web.port));
    site.open_gate("gate-R-3");
    site.settled(c);
    wait_for(&site, ServiceStatus::Stopped);
    site.assert_nothing_open("after the last user");
}

#[test]
fn an_ephemeral_service_belongs_to_one_run() {
    let site = site(&listener("web", &format!("lifecycle = \"ephemeral\"\n{SHARED}")));
    let _it = site.start();
    let (a, b) = (site.begin_run("user"), site.begin_run("user"));
    site.started(a);
    site.started(b);
    let live: Vec<_> = site.services().into_iter().filter(|s| s.service.status == ServiceStatus::Running).collect();
    assert_eq!(live.len(), 2);
    assert!(live.iter().all(|s| s.users.len() == 1));
    assert_ne!(live[0].service.port, live[1].service.port);
    site.open_gate("gate-R-1");
    site.open_gate("gate-R-2");
    site.settled(a);
    site.settled(b);
    site.wait("the end of both", || {
        site.services().iter().all(|s| s.service.status == ServiceStatus::Stopped).then_some(())
    });
    site.assert_nothing_open("after both");
}

#[test]
fn a_service_outlives_the_orchestrator_and_keeps_its_users() {
    let site = site(&listener("web", SHARED));
    let it = site.start();
    let run = site.begin_run("user");
    site.started(run);
    let before = site.service("web").service;
    it.kill();
    let second = site.start();
    site.wait("the adoption", || {
        let query = wharf_store::view::ActivityQuery { action: Some("service.adopted".into()), ..Default::default() };
        (site.activity(&query).len() == 1).then_some(())
    });
    let web = site.service("web");
    assert_eq!(web.users.iter().map(|u| u.run_id).collect::<Vec<_>>(), [run]);
    assert_eq!((web.service.process_pid, web.service.port), (before.process_pid, before.port));
    assert_eq!((web.service.status, web.service.generation), (ServiceStatus::Running, 1));
    let other = site.begin_run("user");
    site.started(other);
    assert_eq!(site.service("web").users.len(), 2, "a later run uses the adopted one");
    site.open_gate("gate-R-1");
    site.open_gate("gate-R-2");
    site.settled(run);
    site.settled(other);
    wait_for(&site, ServiceStatus::Stopped);
    assert_eq!(site.lines("web.starts").len(), 1);
    site.assert_nothing_open("after the last user");
    second.stop();
}

#[test]
fn a_service_that_was_ready_is_not_judged_again_by_the_next_reign() {
    // It answers once, and then holds its port without answering.
    let script = "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 5) or die; \
                  my $c = $s->accept; sysread($c, my $q, 4096); print $c \"HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\"; \
                  close $c; sleep 600";
    let script = serde_json::to_string(script).unwrap();
    let busy = format!(
        "[[service]]\nname = \"web\"\ncommand = [\"perl\", \"-MIO::Socket::INET\", \"-e\", {script}]\nport = \"auto\"\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"2s\", interval = \"20ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"200ms\" }}\n\
         [[service]]\nname = \"later\"\ncommand = [\"sleep\", \"600\"]\nport = \"auto\"\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"4s\", interval = \"20ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"200ms\" }}\n"
    );
    let site = Site::plain(&busy);
    let it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let started = site.finished(site.ask_service("start", site.service("web").service.id));
    assert_eq!(started.status, RequestStatus::Done, "{started:?}");
    let before = site.service("web").service;
    it.kill();
    let _second = site.start();
    site.wait("the adoption", || {
        let query = wharf_store::view::ActivityQuery { action: Some("service.adopted".into()), ..Default::default() };
        (site.activity(&query).len() == 1).then_some(())
    });
    // One that begins to be waited for after it, and for longer: when that wait is over, so would this one be.
    let later = site.finished(site.ask_service("start", site.service("later").service.id));
    assert_eq!(later.status, RequestStatus::Failed, "{later:?}");
    let after = site.service("web").service;
    assert_eq!((after.status, after.process_pid), (ServiceStatus::Running, before.process_pid));
    assert_eq!(site.processes_of_service(&after).len(), 1);
}

#[test]
fn a_port_that_a_launcher_left_to_its_server_is_the_services_own() {
    let server = "my $s = IO::Socket::INET->new(LocalAddr => q(127.0.0.1), LocalPort => $ENV{PORT}, Listen => 5) or die; \
                  while (my $c = $s->accept) { sysread($c, my $q, 4096); print $c qq(HTTP/1.0 200 OK\\r\\n\\r\\n); close $c }";
    // The shell between ends at once.
    let script = format!("(perl -MIO::Socket::INET -e '{server}' &); exec sleep 600");
    let script = serde_json::to_string(&script).unwrap();
    let config = format!(
        "[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", {script}]\nport = \"auto\"\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"15s\", interval = \"20ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"2s\" }}\n"
    );
    let site = Site::plain(&config);
    let _it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let id = site.service("web").service.id;
    let started = site.finished(site.ask_service("start", id));
    assert_eq!(started.status, RequestStatus::Done, "{started:?}");
    assert_eq!(site.finished(site.ask_service("stop", id)).status, RequestStatus::Done);
    assert_eq!(site.processes_of_service(&site.service("web").service), Vec::<String>::new());
}

#[test]
fn templates_of_a_services_environment_are_strict_and_secrets_are_none() {
    let service = |name: &str, env: &str, script: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", {script:?}]\nport = \"auto\"\nenv = {{ {env} }}\n"
        )
    };
    let config = format!(
        "[secret.key]\nfile = \"$ROOT/key\"\n{}{}",
        service(
            "web",
            "KEY = { secret = \"key\" }, AT = \"{{port}}\"",
            "echo $KEY $AT $PORT > $ROOT/env; exec sleep 600"
        ),
        service("broken", "AT = \"{{nothing}}\"", "sleep 600"),
    );
    let site = Site::plain(&config);
    std::fs::write(site.path("key"), "{{port}}-is-secret\n").unwrap();
    let _it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let start = |name: &str| site.finished(site.ask_service("start", site.service(name).service.id));
    assert_eq!(start("web").status, RequestStatus::Done);
    let words = site.wait_and_look("its variables", || site.lines("env").first().cloned());
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!((words[0], words[1]), ("{{port}}-is-secret", words[2]));
    let broken = start("broken");
    assert_eq!((broken.status, broken.error_code.as_deref()), (RequestStatus::Failed, Some("service_start_failed")));
    assert!(broken.error.as_ref().unwrap().contains("nothing"), "{broken:?}");
}

#[test]
fn a_service_that_nobody_needs_any_more_waits_for_its_idle_time() {
    let site = site(&listener("web", "stop = { policy = \"idle_timeout\", idle = \"1s\", grace = \"2s\" }"));
    let _it = site.start();
    let run = site.begin_run("user");
    site.started(run);
    site.open_gate("gate-R-1");
    let ended = site.settled(run).finished_at.unwrap();
    assert_eq!(site.service("web").service.status, ServiceStatus::Running);
    let web = wait_for(&site, ServiceStatus::Stopped).service;
    let waited = web.stopped_at.unwrap().0 - ended.0;
    assert!((900..4_000).contains(&waited), "{waited} ms");
    assert_eq!(web.stop_reason.as_deref(), Some("idle"));
}

#[test]
fn a_service_that_fails_gives_back_every_other_one() {
    let broken = "[[service]]\nname = \"broken\"\ncommand = [\"sh\", \"-c\", \"echo no database here >&2; exit 3\"]\n\
                  port = \"auto\"\nready = { http = \"http://127.0.0.1:{{port}}/\", timeout = \"20s\" }\n";
    let user = agent("user", "services = [\"web\", \"broken\"]", "echo $$ >> $ROOT/starts");
    let site = Site::plain(&format!("{user}{}{broken}", listener("web", SHARED)));
    let _it = site.start();
    let began = std::time::Instant::now();
    let row = site.settled(site.begin_run("user"));
    assert!(began.elapsed() < Duration::from_secs(5), "its end ends the wait at once");
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Failed, Some("service_start_failed")));
    let error = row.error.unwrap();
    assert!(error.contains("broken") && error.contains("exit 3") && error.contains("no database here"), "{error}");
    wait_for(&site, ServiceStatus::Stopped);
    assert!(site.services().iter().all(|s| s.users.is_empty()));
    assert_eq!(site.lines("starts").len(), 0);
    site.assert_nothing_open("after the failure");
}

#[test]
fn an_operator_starts_restarts_and_stops_a_service() {
    let site = Site::plain(&listener("web", "stop = { policy = \"manual\", grace = \"2s\" }"));
    let _it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let id = site.service("web").service.id;
    let done = |verb: &str| {
        let row = site.finished(site.ask_service(verb, id));
        assert_eq!(row.status, RequestStatus::Done, "{verb}: {row:?}");
        site.service("web").service
    };
    let started = done("start");
    assert_eq!((started.status, started.generation), (ServiceStatus::Running, 1));
    let first = site.processes_of_service(&started);
    assert_eq!(first.len(), 1, "{first:?}");
    let restarted = done("restart");
    assert_eq!((restarted.status, restarted.generation), (ServiceStatus::Running, 2));
    assert_eq!(site.processes_of_service(&started), Vec::<String>::new(), "the first process is gone");
    assert_eq!(site.processes_of_service(&restarted).len(), 1);
    let stopped = done("stop");
    assert_eq!((stopped.status, stopped.process_pid), (ServiceStatus::Stopped, None));
    assert_eq!(site.processes_of_service(&restarted), Vec::<String>::new());
    let refused = site.finished(site.ask_service("stop", id));
    assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("illegal_state")));
    assert_eq!(site.lines("web.starts").len(), 2);
}

/// A server that is asked for and watched, by hand.
fn by_hand(more: &str) -> (Site, ServiceId, Orchestrator) {
    let site = Site::plain(&listener("web", &format!("stop = {{ policy = \"manual\", grace = \"2s\" }}\n{more}")));
    let it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let id = site.service("web").service.id;
    (site, id, it)
}

#[test]
fn a_service_whose_shim_is_killed_is_lost_with_all_of_it_and_can_be_started_again() {
    let (site, id, _it) = by_hand("");
    assert_eq!(site.finished(site.ask_service("start", id)).status, RequestStatus::Done);
    let before = site.service("web").service;
    let (dir, _) = site.shims().into_iter().find(|(_, spec)| spec.id == id.text()).unwrap();
    let shim: wharf_model::shim::IdFile = serde_json::from_slice(&std::fs::read(dir.join("id.json")).unwrap()).unwrap();
    wharf::process::signal::send(shim.shim, wharf::process::signal::Signal::KILL).unwrap();
    let lost = site.wait("its end", || Some(site.service("web").service).filter(|s| !s.status.is_live()));
    assert_eq!((lost.status, lost.error_code.as_deref()), (ServiceStatus::Failed, Some("process_lost")), "{lost:?}");
    assert_eq!(site.processes_of_service(&before), Vec::<String>::new());
    assert_eq!(site.finished(site.ask_service("start", id)).status, RequestStatus::Done);
    let again = site.service("web").service;
    assert_eq!((again.generation, again.port), (2, before.port), "its port is free");
    assert_eq!(site.finished(site.ask_service("stop", id)).status, RequestStatus::Done);
    site.assert_nothing_open("after it");
}

#[test]
fn a_service_that_is_killed_says_so() {
    let (site, id, _it) = by_hand("");
    assert_eq!(site.finished(site.ask_service("start", id)).status, RequestStatus::Done);
    let row = site.service("web").service;
    let process = wharf::process::identity::process(row.process_pid.unwrap()).unwrap().unwrap();
    wharf::process::signal::send(process, wharf::process::signal::Signal::KILL).unwrap();
    let ended = site.wait("its end", || Some(site.service("web").service).filter(|s| !s.status.is_live()));
    assert_eq!((ended.status, ended.signal.as_deref()), (ServiceStatus::Failed, Some("SIGKILL")));
    assert!(ended.error.as_ref().unwrap().contains("killed by SIGKILL"), "{ended:?}");
    assert_eq!(site.processes_of_service(&row), Vec::<String>::new());
}

#[test]
fn one_that_is_waited_for_when_the_orchestrator_dies_is_waited_for_by_the_next() {
    let script = "echo begin; while [ ! -e $ROOT/up ]; do sleep 0.05; done; echo it is up; exec sleep 600";
    let config = format!(
        "[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
         ready = {{ log_line = \"it is up\", timeout = \"50s\", interval = \"100ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"2s\" }}\n"
    );
    let site = Site::plain(&config);
    let it = site.start();
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let id = site.service("web").service.id;
    let asked = site.ask_service("start", id);
    let begun = site.wait("its process", || Some(site.service("web").service).filter(|s| s.process_pid.is_some()));
    it.kill();
    // It becomes ready while nobody looks.
    std::fs::write(site.path("up"), "").unwrap();
    let _second = site.start();
    assert_eq!(site.finished(asked).status, RequestStatus::Done);
    let ready = site.service("web").service;
    assert_eq!((ready.status, ready.generation), (ServiceStatus::Running, 1));
    assert_eq!(ready.process_pid, begun.process_pid);
    assert_eq!(site.finished(site.ask_service("stop", id)).status, RequestStatus::Done);
    assert_eq!(site.processes_of_service(&ready), Vec::<String>::new());
    site.assert_nothing_open("after it");
}

#[test]
fn a_repair_before_a_start_survives_a_death_in_its_midst() {
    for point in ["service.prestart_planned", "service.prestart_done"] {
        let site = Site::plain(
            "[[service]]\nname = \"web\"\ncommand = \"exec sleep 600\"\nstop = { policy = \"manual\", grace = \"2s\" }\n",
        );
        let write = |path: &str, text: &str| {
            let path = site.project.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("pnpm-workspace.yaml", "packages: [web, db]\n");
        write("web/package.json", "{ \"name\": \"web\", \"dependencies\": { \"db\": \"workspace:*\" } }");
        write("db/package.json", "{ \"name\": \"db\" }");
        let link = site.project.join("web/node_modules/db");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(site.path("home"), &link).unwrap();
        let mut doomed = site.spawn(&[("WHARF_KILL_POINT", point)]);
        assert!(doomed.wait_until_reigning());
        site.finished(site.send("config.accept", None, json!({ "path": site.project })));
        let id = site.service("web").service.id;
        let asked = site.ask_service("start", id);
        doomed.wait_for_end();
        let _second = site.start();
        assert_eq!(site.finished(asked).status, RequestStatus::Done, "{point}");
        assert_eq!(std::fs::read_link(&link).unwrap(), std::path::Path::new("../../db"), "{point}");
        let query = wharf_store::view::OperationQuery::default();
        let all = site.ask(|r| r.operations(&query, None, 10)).rows;
        assert_eq!(all.len(), 1, "{point}: one repair, one row");
        assert_eq!(all[0].operation.status, OperationStatus::Succeeded, "{point}");
        assert_eq!(site.service("web").service.generation, 1);
        assert_eq!(site.finished(site.ask_service("stop", id)).status, RequestStatus::Done);
        site.assert_nothing_open(point);
    }
}
