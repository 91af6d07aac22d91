//! F37 to F42: many at once, descriptors that are handed on, clocks, poor machines, and probes that never end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use wharf::process::signal::Signal;
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use super::child::{Also, End, Plan};
use super::ground::{Ground, Note, config, is_exhaustive, within_criterion};
use super::world::World;
use crate::orchestrator::{LIMIT, Orchestrator, Site, WHARF, agent, eventually};
use crate::pty::Console;

#[test]
pub fn f37_many_start_at_once_and_the_first_is_killed() {
    let plan = Plan::new(37).lines(4_000, 400).batch(10).pause(Duration::from_millis(1)).gate(3_500, "gate").exit(7);
    let mut ground = Ground::new("f37", 37, &config(&[("one", "", &plan)]));
    let many = if is_exhaustive() { 20 } else { 8 };
    let mut runs = Vec::new();
    let mut epochs = Vec::new();
    for round in 0..3 {
        let mut all: Vec<Orchestrator> = (0..many).map(|_| ground.site.spawn(&[])).collect();
        runs.extend(ground.begin("one", 1));
        ground.site.started(runs[round]);
        let reigning: Vec<bool> = all.iter_mut().map(Orchestrator::wait_until_reigning).collect();
        let first = reigning.iter().position(|r| *r).expect("one reigns");
        assert_eq!(reigning.iter().filter(|r| **r).count(), 1, "{reigning:?}");
        let lock = std::fs::read(ground.site.data.join("orchestrator.lock")).unwrap();
        let holder: serde_json::Value = serde_json::from_slice(&lock).unwrap();
        assert_eq!(holder["pid"], all[first].pid());
        epochs.push(holder["epoch"].as_i64().unwrap());
        ground.look("before the first one dies");
        ground.nemesis.note("SIGKILL to the one that reigns");
        all.remove(first).kill();
    }
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "each reign has a higher epoch: {epochs:?}");
    ground.open("gate");
    ground.reign();
    let world = ground.settle(&runs);
    assert!(world.runs.iter().all(|r| r.row.exit_code == Some(7) && r.children.len() == 1));
}

#[test]
pub fn f37_a_second_console_takes_over_from_a_killed_one() {
    let plan = Plan::new(38).gate(100, "gate").exit(7);
    let mut ground = Ground::new("f37-console", 38, &config(&[("one", "", &plan)]));
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut first = Console::open_at(&root, 160, 45, &[], &[]);
    first.see("No runs yet.");
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    let mut second = Console::open_at(&root, 160, 45, &[], &[]);
    second.see(&format!("pid {}", first.pid()));
    ground.look("before the first one dies");
    ground.nemesis.note("SIGKILL to the first console");
    first.signal(rustix::process::Signal::KILL);
    let began = Instant::now();
    first.wait_end();
    ground.site.wait("the adoption", || (ground.site.noted(runs[0], "run.adopted") == 1).then_some(()));
    within_criterion("the take-over", began, Duration::from_secs(1));
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.exit_code, Some(7));
    second.send("Q");
    assert_eq!(second.wait_end(), 0);
}

#[test]
pub fn f38_nothing_is_handed_on_that_would_hold_the_lock() {
    // Processes in every position that outlive the orchestrator, and hold whatever they were given.
    let plan = Plan::new(39).end(End::Never).also(Also::Setsid).also(Also::Holder);
    let listener = crate::orchestrator::listener("web", "stop = { policy = \"manual\", grace = \"2s\" }");
    let text = config(&[("one", "services = [\"web\"]", &plan)]) + &listener;
    let mut ground = Ground::new("f38", 39, &text);
    ground.reign();
    let runs = ground.begin("one", 1);
    let row = ground.site.started(runs[0]);
    ground.wrote(runs[0], 20_000);
    let service = ground.site.service("web").service;
    let tags = [format!("run/{}/{}", row.id, row.attempt), format!("service/{}/{}", service.id, service.generation)];
    let data = ground.site.data.canonicalize().unwrap();
    let mut looked = 0;
    for tag in &tags {
        for process in wharf::process::descendants::by_tag(tag).unwrap().found {
            for fd in std::fs::read_dir(format!("/proc/{}/fd", process.id.pid)).unwrap().flatten() {
                let to = std::fs::read_link(fd.path()).unwrap_or_default();
                assert!(!to.starts_with(&data), "{} of {tag} holds {}", process.comm, to.display());
                looked += 1;
            }
        }
    }
    assert!(looked > 10, "descriptors were looked at");
    // The shims hold their own directories alone.
    for (dir, _) in ground.site.shims() {
        let dir = dir.canonicalize().unwrap();
        let shim = super::nemesis::shim_of(&dir).unwrap();
        for fd in std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).unwrap().flatten() {
            let to = std::fs::read_link(fd.path()).unwrap_or_default();
            assert!(!to.starts_with(&data) || to.starts_with(&dir), "a shim holds {}", to.display());
        }
    }
    ground.kill_orchestrator();
    let began = Instant::now();
    ground.reign();
    within_criterion("the next reign", began, Duration::from_secs(1));
    ground.site.cancel(runs[0], 200);
    ground.site.settled(runs[0]);
    let id = service.id;
    ground.site.finished(ground.site.ask_service("stop", id));
    ground.at_rest();
}

#[test]
pub fn f39_many_contenders_for_three_places() {
    let contenders = if is_exhaustive() { 200 } else { 18 };
    // Here the places are the slots of an agent; those of an environment are in `slots.rs`.
    let plan = Plan::new(40).lines(300, 30).pause(Duration::from_micros(300));
    let more = "concurrent_runs = 3\ngrace = \"100ms\"";
    let mut ground = Ground::new("f39", 40, &config(&[("one", more, &plan)]));
    ground.reign();
    let runs = ground.begin("one", contenders);
    let holders = |world: &World| world.leases.iter().filter(|l| l.status == LeaseStatus::Active).count();
    let mut deaths = 0;
    let mut fences: Vec<i64> = Vec::new();
    ground.site.wait_at_most(10 * LIMIT, "a first holder", || {
        let row = ground.site.run(runs[0]).run;
        row.process_pid
    });
    let end = Instant::now() + 10 * LIMIT;
    loop {
        assert!(Instant::now() < end, "some contender never had its turn");
        let world = ground.look("among the contenders");
        assert!(holders(&world) <= 3, "{} hold one of three places", holders(&world));
        if world.runs.iter().all(|r| r.row.status.is_terminal()) {
            fences.extend(world.leases.iter().filter_map(|l| l.fence));
            break;
        }
        ground.nemesis.pause(Duration::from_millis(60));
        // A holder or the orchestrator dies, by the seed; not so often that nobody comes through.
        let live: Vec<RunId> =
            world.runs.iter().filter(|r| r.row.status == RunStatus::Running).map(|r| r.row.id).collect();
        if deaths < 6 && !live.is_empty() {
            deaths += 1;
            if ground.nemesis.below(3) == 0 {
                ground.kill_orchestrator();
                ground.reign();
            } else {
                let whom = live[ground.nemesis.below(live.len() as u64) as usize];
                // It may have ended in between.
                let made = super::world::Made::all(&ground.site.data).into_iter().find(|m| m.id == whom.text());
                if let Some(shim) = made.and_then(|m| super::nemesis::shim_of(&m.dir)) {
                    ground.nemesis.kill("the shim of a holder", shim);
                }
            }
        }
    }
    let world = ground.settle(&runs);
    assert!(world.leases.iter().all(|l| l.status.is_terminal()), "no place is lost");
    assert_eq!(world.runs.len(), contenders);
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), world.leases.iter().filter(|l| l.fence.is_some()).count(), "each grant has its own fence");
    assert!(deaths > 0 && world.runs.iter().any(|r| r.row.status == RunStatus::Succeeded));
    // Whoever asked first had its turn first.
    let mut grants: Vec<(i64, i64)> = world
        .leases
        .iter()
        .filter_map(|l| Some((world.runs.iter().find(|r| Some(r.row.id) == l.run_id)?.row.number, l.fence?)))
        .collect();
    grants.sort_unstable();
    let late = grants.windows(2).filter(|pair| pair[0].1 > pair[1].1 + 3).count();
    assert_eq!(late, 0, "nobody is overtaken by more than the places there are: {grants:?}");
}

#[test]
pub fn f41_few_descriptors() {
    let plan = Plan::new(41).lines(200, 20).pause(Duration::from_micros(500)).exit(5);
    let mut ground = Ground::new("f41", 41, &config(&[("one", "concurrent_runs = 50", &plan)]));
    let mut it = ground.site.spawn_as(&["sh", "-c", "ulimit -n 64; exec \"$0\" serve", WHARF], &[]);
    assert!(it.wait_until_reigning(), "{}", it.said());
    let asked: Vec<RequestId> = (0..40).map(|_| ground.site.ask_run("one", json!({}))).collect();
    for request in asked {
        let run = ground.site.run_of(request);
        let row = ground.site.wait_at_most(5 * LIMIT, "an end", || {
            let row = ground.site.run(run).run;
            assert!(!it.has_ended(), "{}", it.said());
            row.status.is_terminal().then_some(row)
        });
        // Degraded, or refused with the reason; never lost and never a wrong success.
        match (row.status, row.exit_code) {
            (RunStatus::Failed, Some(5)) => {}
            (RunStatus::Failed, None) => {
                let error = row.error.unwrap_or_default();
                assert!(error.contains("open files"), "{:?} {error}", row.error_code);
            }
            other => panic!("{other:?}: {:?}", row.error),
        }
    }
    assert!(!it.has_ended(), "{}", it.said());
    ground.site.wait_at_most(5 * LIMIT, "rest", || ground.site.open_rows().actions.is_empty().then_some(()));
    ground.at_rest();
}

#[test]
pub fn f41_no_watches_of_files() {
    // In a user namespace of its own the number of inotify instances can be brought to none.
    let wrapped =
        ["unshare", "-U", "-r", "sh", "-c", "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"", "sh"];
    let probe = Command::new(wrapped[0]).args(&wrapped[1..]).arg("true").stderr(Stdio::null()).status();
    let plan = Plan::new(42).exit(5);
    let mut ground = Ground::new("f41-inotify", 42, &config(&[("one", "", &plan)]));
    if !probe.is_ok_and(|status| status.success()) {
        ground.skipped("no user namespace can be made in which inotify is used up");
        return;
    }
    let argv: Vec<&str> = wrapped.iter().copied().chain([WHARF, "serve"]).collect();
    let mut it = ground.site.spawn_as(&argv, &[]);
    assert!(it.wait_until_reigning(), "{}", it.said());
    let runs = ground.begin("one", 1);
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.exit_code, Some(5), "{:?}", world.runs[0].row.error);
}

#[test]
pub fn f41_no_view_of_processes() {
    // A mount namespace in which /proc is empty: what cannot be seen is not taken for gone.
    let wrapped = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    let probe = Command::new(wrapped[0]).args(&wrapped[1..]).arg("true").stderr(Stdio::null()).status();
    let plan = Plan::new(43).gate(100, "gate").exit(5);
    let mut ground = Ground::new("f41-proc", 43, &config(&[("one", "", &plan)]));
    if !probe.is_ok_and(|status| status.success()) {
        ground.skipped("no mount namespace can be made in which /proc is hidden");
        return;
    }
    ground.reign();
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.kill_orchestrator();
    let argv: Vec<&str> = wrapped.iter().copied().chain([WHARF, "serve"]).collect();
    let mut it = ground.site.spawn_as(&argv, &[]);
    // It may refuse to reign, with words, or reign and leave the run as it is.
    if it.wait_until_reigning() {
        // Written once it has looked at everything that was open.
        let query = ActivityQuery { action: Some("orchestrator.elected".into()), ..ActivityQuery::default() };
        ground.site.wait("its look at the run", || (!ground.site.activity(&query).is_empty()).then_some(()));
        assert_eq!(ground.site.run(runs[0]).run.status, RunStatus::Running, "unknown is not dead");
    } else {
        let said = it.said();
        assert!(said.contains("/proc"), "it says why: {said}");
    }
    drop(it);
    assert!(!ground.site.processes_of(&ground.site.run(runs[0]).run).is_empty(), "nobody was signalled");
    ground.reign();
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.exit_code, Some(5));
}

#[test]
pub fn f41_terminals_that_can_do_little() {
    let plan = Plan::new(44);
    let mut ground = Ground::new("f41-terminal", 44, &config(&[("one", "", &plan)]));
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut small = Console::open_at(&root, 20, 5, &[], &[]);
    small.wait("one sentence", |s| !s.trim().is_empty());
    small.resize(80, 24);
    small.see("No runs yet.");
    small.send("q");
    assert_eq!(small.wait_end(), 0);
    small.assert_restored();
    // No terminal at all, and one of which nothing is known: it works, or says why not.
    for (term, tty) in [("dumb", true), ("xterm-256color", false)] {
        if tty {
            let mut dumb = Console::open_at(&root, 80, 24, &[("TERM", term)], &[]);
            dumb.wait("a screen or a reason", |s| s.contains("No runs yet.") || s.contains("TERM"));
            if dumb.screen().contains("No runs yet.") {
                dumb.send("q");
                assert_eq!(dumb.wait_end(), 0);
            } else {
                assert_ne!(dumb.wait_end(), 0);
            }
            continue;
        }
        let mut command = Command::new(WHARF);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &root);
        command.env("WHARF_DATA_DIR", root.join("data")).env("TERM", term).current_dir(root.join("shop"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = eventually("an answer without a terminal", || child.try_wait().unwrap());
        let (mut said, mut shown) = (String::new(), String::new());
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
        assert!(!status.success() && said.contains("terminal"), "{status}: {said}");
        assert!(!shown.contains('\u{1b}'), "no orders go where no terminal is: {shown:?}");
    }
    ground.reign();
    ground.at_rest();
}

/// A service that answers on its port as this perl says; `$c` is the connection.
fn service(name: &str, answer: &str, port: &str) -> String {
    let script = format!(
        "$SIG{{PIPE}} = 'IGNORE'; $| = 1; my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{{PORT}}, \
         Listen => 50, ReuseAddr => 1) or die; while (my $c = $s->accept) {{ $c->autoflush(1); {answer} close $c }}"
    );
    let script = serde_json::to_string(&script).unwrap();
    format!(
        "[[service]]\nname = \"{name}\"\ncommand = [\"perl\", \"-MIO::Socket::INET\", \"-e\", {script}]\nport = {port}\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"1200ms\", interval = \"50ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"300ms\" }}\n"
    )
}

#[test]
pub fn f42_probes_of_what_answers_badly() {
    let ok = "sysread($c, my $q, 4096); print $c \"HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\";";
    let targets = [
        ("hangs", "sleep 600;"),
        ("drips", "for (split //, \"HTTP/1.0 200 OK\\r\\n\") { print $c $_; sleep 1 }"),
        ("endless", "print $c \"HTTP/1.0 500 No\\r\\n\\r\\n\"; while (1) { print $c 'x' x 65536 or last }"),
        (
            "headers",
            "print $c \"HTTP/1.0 200 OK\\r\\n\"; while (1) { print $c 'X-A: ' . ('y' x 6000) . \"\\r\\n\" or last }",
        ),
        (
            "loops",
            "sysread($c, my $q, 4096); print $c \"HTTP/1.0 302 Found\\r\\nLocation: /\\r\\nContent-Length: 0\\r\\n\\r\\n\";",
        ),
        ("refuses", "exec 'sleep', '600';"),
        ("good", ok),
    ];
    let services: String = targets.iter().map(|(name, answer)| service(name, answer, "\"auto\"")).collect();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    // A stranger answers well on the port that a service of ours never listens on.
    std::thread::spawn(move || {
        for connection in taken.incoming() {
            let Ok(mut connection) = connection else { return };
            let _whatever_it_asks = connection.read(&mut [0u8; 1024]);
            let _gone = connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let stranger = format!(
        "[[service]]\nname = \"stranger\"\ncommand = [\"sleep\", \"600\"]\nport = {port}\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"1s\", interval = \"50ms\" }}\nstop = {{ grace = \"300ms\" }}\n"
    );
    let mut ground = Ground::new("f42", 42, &(agent("one", "", "true") + &services + &stranger));
    ground.reign();
    let site = &ground.site;
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let began = Instant::now();
    let names: Vec<&str> = targets.iter().map(|t| t.0).chain(["stranger"]).collect();
    let asked: Vec<RequestId> =
        names.iter().map(|name| site.ask_service("start", site.service(name).service.id)).collect();
    for (name, request) in names.iter().zip(asked) {
        let answer = site.finished(request);
        let row = site.service(name).service;
        let code = row.error_code.as_deref().unwrap_or_default();
        if *name == "good" {
            assert_eq!(
                (answer.status, row.status),
                (RequestStatus::Done, ServiceStatus::Running),
                "{name}: {:?}",
                row.error
            );
        } else {
            assert_eq!(
                (answer.status, row.status),
                (RequestStatus::Failed, ServiceStatus::Failed),
                "{name} was taken for ready"
            );
            let expected: &[&str] =
                if *name == "stranger" { &["port_in_use"] } else { &["service_not_ready", "service_start_failed"] };
            assert!(expected.contains(&code), "{name}: {code} {:?}", row.error);
            assert_eq!(site.processes_of_service(&row), Vec::<String>::new(), "{name}");
        }
    }
    within_criterion("all probes", began, Duration::from_secs(4));
    let good = site.service("good").service;
    site.finished(site.ask_service("stop", good.id));
    ground.at_rest();
}

#[test]
pub fn f42_a_probe_does_not_take_a_port_that_was_handed_over() {
    // What listens was started by the service, in a session of its own: it belongs to its tree.
    let ok = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => $ENV{PORT}, Listen => 5) \
              or die; while (my $c = $s->accept) { sysread($c, my $q, 4096); \
              print $c \"HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\"; close $c }";
    let script = serde_json::to_string(&format!("setsid perl -e '{ok}' & exec sleep 600")).unwrap();
    let service = format!(
        "[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", {script}]\nport = \"auto\"\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"15s\", interval = \"50ms\" }}\n\
         stop = {{ policy = \"manual\", grace = \"300ms\" }}\n"
    );
    let mut ground = Ground::new("f42-handed", 42, &(agent("one", "", "true") + &service));
    ground.reign();
    let site = &ground.site;
    site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    let id = site.service("web").service.id;
    let answer = site.finished(site.ask_service("start", id));
    assert_eq!(answer.status, RequestStatus::Done, "{answer:?}");
    site.finished(site.ask_service("stop", id));
    ground.at_rest();
}

#[test]
pub fn f38_a_stopped_copy_of_the_lock_frees_with_its_owner() {
    // One that is stopped and then killed frees the lock at once, although runs of it live.
    let _note = Note::begin("f38-stopped");
    let plan = Plan::new(45).gate(50, "gate").exit(2);
    let site = Site::plain(&config(&[("one", "", &plan)]));
    let mut ground = Ground::on("f38-site", 45, site);
    ground.reign();
    let runs = ground.begin("one", 1);
    ground.site.started(runs[0]);
    ground.orchestrator.as_ref().unwrap().signal(Signal::STOP);
    ground.kill_orchestrator();
    ground.reign();
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.exit_code, Some(2));
}
