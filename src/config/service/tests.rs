use wharf_model::config::{CommandLine, LiveCheck, ProjectConfig, ReadyCheck, ServiceConfig};

use crate::config::{PROJECT_FILE, parse_project};

/// A service with these lines, or what is wrong with it: line, message, what was expected.
fn service(lines: &str) -> Result<ServiceConfig, Vec<(usize, String, String)>> {
    let text = format!("[[service]]\nname = \"web\"\ncommand = \"x\"\nport = \"auto\"\n{lines}\n");
    match parse_project(&text, PROJECT_FILE, "shop") {
        Ok((config, _)) => Ok(whole(config)),
        Err(errors) => Err(errors.problems().iter().map(|p| (p.line, p.message.clone(), p.expected.clone())).collect()),
    }
}

fn whole(config: ProjectConfig) -> ServiceConfig {
    config.services.into_iter().next().unwrap()
}

#[test]
fn every_kind_of_readiness_is_read() {
    let argv = |words: &[&str]| CommandLine::Argv(words.iter().map(|w| (*w).to_owned()).collect());
    let table = [
        ("\"none\"", ReadyCheck::None),
        ("{ http = \"http://127.0.0.1:{{port}}/up\" }", ReadyCheck::Http("http://127.0.0.1:{{port}}/up".into())),
        ("{ tcp = \"127.0.0.1:{{port}}\" }", ReadyCheck::Tcp("127.0.0.1:{{port}}".into())),
        ("{ tcp = \"db:5432\" }", ReadyCheck::Tcp("db:5432".into())),
        ("{ command = \"redis-cli ping\" }", ReadyCheck::Command(CommandLine::Shell("redis-cli ping".into()))),
        ("{ command = [\"ask\", \"{{port}}\"] }", ReadyCheck::Command(argv(&["ask", "{{port}}"]))),
        ("{ log_line = \"ready in\" }", ReadyCheck::LogLine("ready in".into())),
    ];
    for (written, check) in table {
        let config = service(&format!("ready = {written}")).unwrap();
        assert_eq!((config.ready.check, config.ready.timeout_ms, config.ready.interval_ms), (check, 30_000, 500));
    }
    let config = service("ready = { log_line = \"up\", timeout = \"2m\", interval = \"1s\" }").unwrap();
    assert_eq!((config.ready.timeout_ms, config.ready.interval_ms), (120_000, 1_000));
}

#[test]
fn every_kind_of_liveness_is_read() {
    let live = |written: &str| service(&format!("live = {written}")).unwrap().live.unwrap();
    let plain = live("{ http = \"http://127.0.0.1:{{port}}/\" }");
    assert_eq!((plain.interval_ms, plain.failures, plain.timeout_ms), (10_000, 3, 2_000));
    assert_eq!(plain.check, LiveCheck::Http("http://127.0.0.1:{{port}}/".into()));
    let full = live("{ command = \"ask\", interval = \"3s\", failures = 1, timeout = \"1m\" }");
    assert_eq!((full.interval_ms, full.failures, full.timeout_ms), (3_000, 1, 60_000));
    assert_eq!(full.check, LiveCheck::Command(CommandLine::Shell("ask".into())));
    assert_eq!(live("{ tcp = \"127.0.0.1:{{port}}\" }").check, LiveCheck::Tcp("127.0.0.1:{{port}}".into()));
    assert_eq!(service("").unwrap().live, None);
}

#[test]
fn mistakes_of_checks_are_told_at_their_line() {
    let table = [
        ("ready = {}", "ready names no check", "\"command\" or \"log_line\""),
        ("ready = { http = \"http://a/\", tcp = \"a:1\" }", "ready names more than one check", "expected one of"),
        ("ready = { http = \"https://127.0.0.1/\" }", "is not an address", "use tcp or a command"),
        ("ready = { tcp = \"{{port}}\" }", "is not a host and a port", "127.0.0.1:{{port}}"),
        ("ready = { tcp = \"db:0\" }", "is not a host and a port", "127.0.0.1:{{port}}"),
        ("ready = { command = [] }", "is not a command", "$SHELL -c"),
        ("ready = { command = \"ask {{prot}}\" }", "prot", "{{port}}"),
        ("ready = { log_line = \"\" }", "is not a part of a line", "without line ends"),
        ("ready = { log_line = \"a\\nb\" }", "is not a part of a line", "without line ends"),
        ("ready = { tcp = \"a:1\", timeout = \"0s\" }", "timeout", "above 0"),
        ("ready = { tpc = \"a:1\" }", "has no key \"tpc\"", "did you mean tcp?"),
        ("live = {}", "live names no check", "\"tcp\" or \"command\""),
        ("live = \"http://a/\"", "is not a check", "{ http ="),
        ("live = { log_line = \"up\" }", "has no key \"log_line\"", "known are"),
        ("live = { tcp = \"a:1\", failures = 0 }", "failures", "1 to 1000"),
        ("ready = { http = \"http://\" }", "http names no host", "http://127.0.0.1:{{port}}/"),
        ("ready = { http = \"http://127.0.0.1:99999/\" }", "http has no port from 1", "http://127.0.0.1:{{port}}/"),
        ("live = { http = \"http://:80/\" }", "http names no host", "http://127.0.0.1:{{port}}/"),
        ("live = { http = \"http://a b/\" }", "http holds a blank", "http://127.0.0.1:{{port}}/"),
        ("ready = { tcp = \"::1:80\" }", "is not a host and a port", "127.0.0.1:{{port}}"),
        ("url = \"hello\"", "url does not begin with http:// or https://", "http://127.0.0.1:{{port}}/"),
        ("url = \"http://localhost:{{port}}x/\"", "url has no port from 1", "http://127.0.0.1:{{port}}/"),
        ("env = { PORT = \"45333\" }", "PORT is the variable that tells", "remove it"),
        ("stop = { grace = \"900000h\" }", "is not a duration", "at most \"36500d\""),
        ("ready = { tcp = \"a:1\", timeout = \"900000h\" }", "is not a duration above 0", "at most \"36500d\""),
        ("live = { tcp = \"a:1\", timeout = \"2m\" }", "is not a time for one look", "at most 1m"),
    ];
    let mut missed = Vec::new();
    for (written, message, expected) in table {
        let wrong = service(written).unwrap_err();
        let told = wrong.iter().any(|(line, m, e)| *line == 5 && m.contains(message) && e.contains(expected));
        if !told {
            missed.push((written, wrong));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_port_is_told_by_a_variable_that_means_nothing_else() {
    for env in ["WHARF_TAG", "PATH", "HOME", "LC_ALL", "TERM", "SSH_AUTH_SOCK"] {
        let text = format!("[[service]]\nname = \"web\"\ncommand = \"x\"\nport = {{ auto = true, env = \"{env}\" }}\n");
        let errors = parse_project(&text, PROJECT_FILE, "shop").unwrap_err();
        let told = errors.problems().iter().any(|p| p.line == 4 && p.message.starts_with(&format!("{env} means")));
        assert!(told, "{env}: {:?}", errors.problems());
    }
    for written in ["https://a.example/{{port}}", "http://127.0.0.1:{{ port }}/", "http://[::1]:{{port}}/"] {
        assert_eq!(service(&format!("url = \"{written}\"")).unwrap().url.as_deref(), Some(written));
    }
    assert!(service("ready = { tcp = \"[::1]:{{port}}\" }").is_ok());
}

#[test]
fn what_is_of_a_run_ends_with_it() {
    use wharf_model::config::StopPolicy;
    let policy = |lines: &str| service(lines).unwrap().stop.policy;
    assert_eq!(policy(""), StopPolicy::Manual);
    for of_run in ["reuse = \"run\"", "lifecycle = \"ephemeral\""] {
        assert_eq!(policy(of_run), StopPolicy::OnRunFinish);
        assert_eq!(policy(&format!("{of_run}\nstop = {{ grace = \"1s\" }}")), StopPolicy::OnRunFinish);
        for (line, what) in [
            ("stop = { policy = \"manual\" }", "policy = \"manual\" has no effect with"),
            ("desired = \"running\"", "desired = \"running\" has no effect with"),
        ] {
            let wrong = service(&format!("{of_run}\n{line}")).unwrap_err();
            let told =
                wrong.iter().any(|(at, message, _)| *at == 6 && message.contains(what) && message.contains(of_run));
            assert!(told, "{of_run} {line}: {wrong:?}");
        }
        assert!(service(&format!("{of_run}\ndesired = \"manual\"")).is_ok());
    }
}

#[test]
fn two_services_cannot_take_the_same() {
    let two = |first: &str, second: &str| {
        let of = |name: &str| {
            let (name, more) = name.split_once(' ').unwrap_or((name, ""));
            format!("[[service]]\nname = \"{name}\"\ncommand = \"x\"\n{}\n", more.replace(';', "\n"))
        };
        match parse_project(&(of(first) + &of(second)), PROJECT_FILE, "shop") {
            Ok(_) => Vec::new(),
            Err(errors) => errors.problems().iter().map(|p| (p.line, p.message.clone())).collect::<Vec<_>>(),
        }
    };
    assert!(two("a port = 4100", "b port = 4100").is_empty(), "one may stand for the other");
    let wrong = two("my-svc", "my_svc");
    assert!(wrong.len() == 1 && wrong[0].0 == 6 && wrong[0].1.contains("WHARF_SERVICE_MY_SVC_URL"), "{wrong:?}");
}
