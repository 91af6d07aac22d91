//! When a service is ready.

use std::time::{Duration, Instant};

use wharf_model::*;

use crate::orchestrator::*;
use crate::servers::*;

#[test]
fn each_kind_of_readiness_is_waited_for() {
    if no_python() {
        return;
    }
    let times = "timeout = \"50s\", interval = \"100ms\"";
    // Each waits for a file that the test makes.
    let late = |name: &str, ready: &str| {
        let script = format!(
            "while [ ! -e $ROOT/up ]; do sleep 0.05; done; exec python3 $ROOT/server.py $ROOT/{name} $ROOT/{name}.asked"
        );
        format!(
            "[[service]]\nname = \"{name}\"\nport = \"auto\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
             ready = {{ {ready}, {times} }}\n{STOP}\n"
        )
    };
    let command =
        "[[service]]\nname = \"command\"\ncommand = \"exec sleep 600\"\ncwd = \"inside\"\nenv = { WORD = \"x y\" }\n"
            .to_owned()
            + &format!(
                "ready = {{ command = \"[ -e $ROOT/up ] && [ -e here ] && [ \\\"$WORD\\\" = 'x y' ]\", {times} }}\n{STOP}\n"
            );
    // The text comes in two halves, on the other stream and in colours.
    let line = "printf 'not yet\\nserver rea' >&2; while [ ! -e $ROOT/up ]; do sleep 0.05; done; \
                printf '\\033[32mdy to\\033[0m serve\\n' >&2; exec sleep 600";
    let line = format!(
        "[[service]]\nname = \"line\"\ncommand = [\"sh\", \"-c\", {}]\nready = {{ log_line = \"ready to serve\", {times} }}\n{STOP}\n",
        serde_json::to_string(line).unwrap()
    );
    let config = late("http", "http = \"http://127.0.0.1:{{port}}/\"")
        + &late("tcp", "tcp = \"127.0.0.1:{{port}}\"")
        + &command
        + &line;
    let site = Site::plain(&config);
    std::fs::write(site.path("server.py"), SERVER).unwrap();
    std::fs::create_dir(site.project.join("inside")).unwrap();
    std::fs::write(site.project.join("inside/here"), "").unwrap();
    let _it = site.start();
    accept(&site);
    let names = ["http", "tcp", "command", "line"];
    let asked: Vec<_> = names.iter().map(|name| ask(&site, "start", name)).collect();
    for name in names {
        let begun = site.wait("its process", || Some(site.service(name).service).filter(|s| s.process_pid.is_some()));
        assert_eq!(begun.status, ServiceStatus::Starting, "{name} shows that it is starting");
        assert!(begun.env_fingerprint.is_some());
    }
    std::fs::write(site.path("up"), "").unwrap();
    for (name, request) in names.iter().zip(asked) {
        let row = site.finished(request);
        assert_eq!(row.status, RequestStatus::Done, "{name}: {row:?}");
        assert_eq!(site.service(name).service.health, Health::Healthy);
    }
    for name in names {
        let stopped = stop(&site, name);
        assert_eq!((stopped.status, checks_left(&stopped)), (ServiceStatus::Stopped, 0));
    }
    assert!(wharf(&site, &["logs", "S-1"]).contains("about to listen"), "its own log can be read");
    site.assert_nothing_open("after all of them");
}

#[test]
fn an_endpoint_that_never_answers_well_ends_its_start_in_time() {
    if no_python() {
        return;
    }
    let ready = "ready = { http = \"http://127.0.0.1:{{port}}/\", timeout = \"12s\", interval = \"100ms\" }";
    let bad = [
        ("hang", "no complete answer"),
        ("drip", "no complete answer"),
        ("loop", "redirects more than"),
        ("503", "answered 503"),
    ];
    let named = |state: &str| format!("s{state}");
    let config: String = bad.iter().map(|(state, _)| server(&named(state), &format!("{ready}\n{STOP}"))).collect();
    let (site, _it) = accepted(&(config + &server("endless", &format!("{ready}\n{STOP}"))));
    for (state, _) in bad {
        set(&site, &named(state), state);
    }
    set(&site, "endless", "endless");
    let began = Instant::now();
    let asked: Vec<_> = bad.iter().map(|(state, _)| ask(&site, "start", &named(state))).collect();
    for ((state, words), request) in bad.iter().zip(asked) {
        let row = site.finished(request);
        assert_eq!(
            (row.status, row.error_code.as_deref()),
            (RequestStatus::Failed, Some("service_not_ready")),
            "{row:?}"
        );
        let service = site.service(&named(state)).service;
        let error = service.error.clone().unwrap();
        assert!(error.contains(words), "{state}: {error}");
        assert_eq!(site.processes_of_service(&service), Vec::<String>::new());
        let port = u16::try_from(service.port.unwrap()).unwrap();
        assert_eq!(wharf::service::port::listeners(port).unwrap(), [], "{state}: its port is free");
    }
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    // One that never ends its answer has answered.
    start(&site, "endless");
    stop(&site, "endless");
    site.assert_nothing_open("after all of them");
}

#[test]
fn a_check_that_hangs_is_ended_with_its_tree() {
    let config = format!(
        "[[service]]\nname = \"web\"\ncommand = \"exec sleep 600\"\n\
         ready = {{ command = \"echo no server here >&2; setsid sleep 601 & sleep 601\", timeout = \"5s\" }}\n{STOP}\n"
    );
    let (site, _it) = accepted(&config);
    let (code, error) = refused(&site, "web");
    assert_eq!(code, "service_not_ready");
    assert!(error.contains("was ended: no server here"), "{error}");
    assert_eq!(checks_left(&site.service("web").service), 0);
    site.assert_nothing_open("after it");
}

#[test]
fn a_check_that_cannot_be_made_ends_the_start_at_once() {
    // An address that is none once its port is known, of readiness and of health; a program that is not there, with and
    // without a shell. Their time would be hours.
    let service = |name: &str, checks: &str| {
        format!("[[service]]\nname = \"{name}\"\nport = \"auto\"\ncommand = \"exec sleep 600\"\n{checks}\n{STOP}\n")
    };
    let ready = |check: &str| format!("ready = {{ {check}, timeout = \"2h\", interval = \"100ms\" }}");
    let cases = [
        ("url", ready("http = \"http://127.0.0.1:{{port}}{{port}}/\""), "readiness url"),
        ("address", ready("tcp = \"127.0.0.1:{{port}}{{port}}\""), "is not of the form host:port"),
        ("health", "ready = \"none\"\nlive = { tcp = \"127.0.0.1:{{port}}{{port}}\" }".to_owned(), "host:port"),
        ("program", ready("command = [\"wharf-no-such-check\", \"-q\"]"), "cannot be run"),
        ("shell", ready("command = \"wharf-no-such-check -q\""), "ended with 127"),
    ];
    let config: String = cases.iter().map(|(name, checks, _)| service(name, checks)).collect();
    let (site, _it) = accepted(&config);
    for (name, _, words) in cases {
        let (code, error) = refused(&site, name);
        assert_eq!(code, "service_start_failed", "{name}: {error}");
        assert!(error.contains(words), "{name}: {error}");
        let row = site.service(name).service;
        assert_eq!((row.status, row.deadline_at), (ServiceStatus::Failed, None), "{name}");
        assert_eq!(site.processes_of_service(&row), Vec::<String>::new(), "{name}");
        assert_eq!(checks_left(&row), 0, "{name}");
    }
    site.assert_nothing_open("after all of them");
}

#[test]
fn a_death_while_it_is_waited_for_is_noticed_at_once() {
    let ready = |ready: &str| format!("ready = {{ {ready}, timeout = \"10m\", interval = \"5m\" }}");
    let service = |name: &str, check: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nport = \"auto\"\ncommand = \"sleep 0.5; echo it broke >&2; exit 3\"\n{}\n{STOP}\n",
            ready(check)
        )
    };
    let config = service("tcp", "tcp = \"127.0.0.1:{{port}}\"")
        + &service("command", "command = \"exit 1\"")
        + &service("line", "log_line = \"never\"");
    let (site, _it) = accepted(&config);
    for name in ["tcp", "command", "line"] {
        let (code, error) = refused(&site, name);
        assert_eq!(code, "service_start_failed", "{name}");
        assert!(error.contains("exit 3") && error.contains("it broke"), "{name}: {error}");
    }
    site.assert_nothing_open("after all of them");
}
