//! The real console in a pseudo-terminal, as an emulator shows it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use wharf_model::{ActorType, RequestOrigin, ServiceStatus};
use wharf_store::view::ServiceQuery;
use wharf_store::{NewRequest, Reader, RequestSender};

use crate::limits;
use crate::measure::{self, Series, Target};
use crate::place::{LIMIT, this};
use crate::pty::{Console, Place, config};

/// T1: from the start of the program to the first whole frame, an empty store.
pub fn first_frame() {
    let place = Place::new(Some(&config(&[("one", "true")])));
    let mut first = Vec::new();
    for at in 0..8 {
        let began = Instant::now();
        let mut console = Console::open(&place, 160, 45);
        console.see("0 running");
        let took = began.elapsed().as_secs_f64() * 1e3;
        console.see("No runs yet.");
        console.send("q");
        console.wait_end();
        // The first one makes the store.
        if at > 0 {
            first.push(took);
        }
    }
    let spawn = limits::per_second(|| limits::spawn(Path::new("/bin/true"), &[]));
    let what = format!("start to counters on the screen, empty store (posix_spawn of true: {:.1} ms)", 1e3 / spawn);
    measure::times("T1", &what, "ms", Some(Target::Most(20.0)), &Series::new(first));
}

/// T2, P16: twenty services, nothing changing.
pub fn idle() {
    const SERVICES: usize = 20;
    const SECONDS: u64 = 10;
    let mut text = config(&[("one", "true")]);
    for n in 0..SERVICES {
        text.push_str(&format!("[[service]]\nname = \"s{n}\"\ncommand = \"exec sleep 300\"\n"));
    }
    let place = Place::new(Some(&text));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    for n in 0..SERVICES {
        send(&place, "service.start", serde_json::json!({"service": format!("s{n}")}));
    }
    let reader = Reader::open(&place.data()).unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        let services = reader.services(&ServiceQuery::default(), None, 100).unwrap().rows;
        let up = services.iter().filter(|s| s.service.status == ServiceStatus::Running).count();
        if up == SERVICES {
            break;
        }
        assert!(Instant::now() < end, "{up} services of {SERVICES} run");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Questions after the last change come to rest.
    std::thread::sleep(Duration::from_secs(7));
    let (cpu, sleeps) = (cpu_ms(console.pid()), sleeps(console.pid()));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let per_second = 1.0 / SECONDS as f64;
    let cpu = (cpu_ms(console.pid()) - cpu) * per_second / 10.0;
    // Threads that ended meanwhile are not counted: a pool gives back what it does not need.
    let more = |(thread, n): (String, f64)| n - sleeps.get(&thread).copied().unwrap_or(0.0);
    let sleeps = self::sleeps(console.pid()).into_iter().map(more).sum::<f64>() * per_second;
    measure::one("T2", "idle console, 20 services: memory (PSS)", "MiB", Target::Most(25.0), pss_mib(console.pid()));
    measure::one("T2", "(P16) its processor time, resolution 0.1", "%", Target::Most(0.3), cpu);
    measure::one("T2", "(P16) its wake-ups", "/s", Target::Most(5.0), sleeps);
    console.send("q");
    // Leaving asks what becomes of the services; the place ends them.
    let _ = console.child.kill();
}

/// P17: from a child's write to the pane.
pub fn line_to_screen() {
    let place = Place::new(None);
    let fifo = place.path.join("lines");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let script = format!("exec cat {}", fifo.display());
    std::fs::write(place.project().join("wharf.toml"), config(&[("printer", &script)])).unwrap();
    let console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    start_by_keys(&console);
    let mut lines = std::fs::File::options().write(true).open(&fifo).unwrap();
    writeln!(lines, "ready-to-print").unwrap();
    console.see("ready-to-print");
    let mut took = Vec::new();
    for n in 0..100 {
        std::thread::sleep(Duration::from_millis(23));
        let words = format!("mark-{n}-end");
        let began = Instant::now();
        writeln!(lines, "{words}").unwrap();
        console.see(&words);
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    drop(lines);
    let series = Series::new(took);
    measure::times("P17", "line written by a child to line on the screen", "ms", None, &series);
    measure::one("P17", "its p99 (one frame + 5 ms)", "ms", Target::Most(21.7), series.at(0.99));
}

/// T7, T6, P14: keys while eight children flood.
pub fn under_floods() {
    const EACH: u64 = 400 << 20;
    let flood = format!("exec {} child flood {EACH} 110", this().display());
    let names: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
    let agents: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), flood.as_str())).collect();
    let text = config(&agents) + "[workspace]\nmode = \"shared_workspace\"\nconcurrency = \"allow\"\n";
    let place = Place::new(Some(&text));
    let console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    std::thread::sleep(Duration::from_millis(500));
    let before = private_mib(console.pid());
    for name in &names {
        send(&place, "run.start", serde_json::json!({"agent": name}));
    }
    console.see("8 running");
    let (mut took, mut most) = (Vec::new(), before);
    let (began, cpu) = (Instant::now(), cpu_ms(console.pid()));
    // As long as all eight go on.
    while took.len() < 400 && console.screen().contains("8 running") {
        let at = Instant::now();
        // Every second key opens the help and every other one closes it: no other screen has this title.
        if took.len() % 2 == 0 {
            console.send("?");
            console.wait("the help", |s| s.contains("Esc close") || s.contains("close"));
        } else {
            console.send("\x1b");
            console.wait("the end of the help", |s| !s.contains("close"));
        }
        took.push(at.elapsed().as_secs_f64() * 1e3);
        most = most.max(private_mib(console.pid()));
        std::thread::sleep(Duration::from_millis(7));
    }
    let cpu = (cpu_ms(console.pid()) - cpu) / began.elapsed().as_secs_f64() / 10.0;
    if took.len() < 20 {
        println!("T7    void: the floods ended after {} keys", took.len());
        return;
    }
    let series = Series::new(took);
    measure::times("T7", "(P14) key to screen under 8 floods, the pane shown", "ms", Some(Target::Most(8.0)), &series);
    measure::one("T7", "(P14) its p99", "ms", Target::Most(33.0), series.at(0.99));
    measure::one("T6", "growth of the console's private memory meanwhile", "MiB", Target::Most(16.0), most - before);
    println!("      console and orchestrator together took {cpu:.1} % of a core, one flooding pane shown");
}

/// Starts the only agent with the dialog.
fn start_by_keys(console: &Console) {
    console.send("n");
    console.see("slots used");
    console.send("go");
    console.see("--prompt …");
    console.send("\r");
}

fn send(place: &Place, kind: &str, mut args: serde_json::Value) {
    args["path"] = place.project().to_str().unwrap().into();
    let now = wharf::clock::now();
    let request = NewRequest {
        kind: kind.into(),
        target_type: None,
        target_id: None,
        args,
        expect: None,
        actor_type: ActorType::Operator,
        actor_id: "bench".into(),
        origin: RequestOrigin::Cli,
        idempotency_key: None,
        now,
        expires_at: now.plus(60_000),
    };
    RequestSender::open(&place.data()).unwrap().send(&request).unwrap();
}

/// Processor time so far, in milliseconds.
fn cpu_ms(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Ticks of a hundredth of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10.0
}

/// How often each of its threads has gone to sleep.
fn sleeps(pid: i32) -> BTreeMap<String, f64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let one = |task: std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<f64>().ok());
        Some((task.file_name().into_string().ok()?, count?))
    };
    tasks.filter_map(one).collect()
}

fn pss_mib(pid: i32) -> f64 {
    rollup(pid, "Pss:")
}

fn private_mib(pid: i32) -> f64 {
    rollup(pid, "Private_Dirty:")
}

fn rollup(pid: i32, field: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
