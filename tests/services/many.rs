//! Many starts and stops, and many who want the same.

use std::collections::BTreeSet;

use wharf_model::*;

use crate::orchestrator::*;
use crate::servers::*;

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn two_hundred_starts_and_stops_leave_nothing_but_their_logs() {
    const LANES: usize = 8;
    const ROUNDS: usize = 25;
    let name = |lane: usize| format!("s{lane}");
    let config: String = (0..LANES)
        .map(|lane| {
            format!(
                "[[service]]\nname = \"{}\"\nport = \"auto\"\ncommand = \"echo up; exec sleep 600\"\n\
                 ready = {{ log_line = \"up\", interval = \"100ms\", timeout = \"50s\" }}\n{STOP}\n",
                name(lane)
            )
        })
        .collect();
    let (site, it) = accepted(&config);
    let round = |site: &Site| {
        let asked: Vec<_> = (0..LANES).map(|lane| ask(site, "start", &name(lane))).collect();
        for request in asked {
            assert_eq!(site.finished(request).status, RequestStatus::Done);
        }
        let ports: BTreeSet<_> = (0..LANES).map(|lane| site.service(&name(lane)).service.port).collect();
        assert_eq!(ports.len(), LANES, "no port is given twice");
        let asked: Vec<_> = (0..LANES).map(|lane| ask(site, "stop", &name(lane))).collect();
        for request in asked {
            assert_eq!(site.finished(request).status, RequestStatus::Done);
        }
        ports
    };
    round(&site);
    let before = descriptors(it.pid());
    let mut ports = BTreeSet::new();
    for _ in 1..ROUNDS {
        ports = round(&site);
    }
    let services = site.services();
    assert_eq!(services.len(), LANES, "one row each");
    for service in services.iter().map(|s| &s.service) {
        assert_eq!((service.status, service.generation as usize), (ServiceStatus::Stopped, ROUNDS));
        for generation in 1..=service.generation {
            let tag = format!("service/{}/{generation}", service.id);
            assert_eq!(site.tagged(&tag), Vec::<String>::new());
        }
    }
    for port in ports {
        assert_eq!(wharf::service::port::listeners(u16::try_from(port.unwrap()).unwrap()).unwrap(), []);
    }
    site.wait("the end of work on logs", || site.open_rows().actions.is_empty().then_some(()));
    assert_eq!(std::fs::read_dir(site.data.join("live")).unwrap().count(), 0, "no link is left");
    let mut kept = 0;
    for (dir, names) in directories(&site) {
        let logs = names.iter().filter(|n| n.starts_with("out.")).count();
        assert!(logs == 1 && names.len() == 2, "{dir}: {names:?}: a log, and the lock that tells it was used");
        kept += 1;
    }
    assert_eq!(kept, LANES * ROUNDS);
    let after = eventually("as few descriptors as before", || {
        let now = descriptors(it.pid());
        (now <= before + 4).then_some(now)
    });
    assert!(after <= before + 4, "{before} descriptors became {after}");
    site.assert_nothing_open("after all of them");
}

/// The directory of each start, and what is in it.
fn directories(site: &Site) -> Vec<(String, Vec<String>)> {
    let inside = |dir: &std::path::Path| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
    };
    let mut found = Vec::new();
    for dir in inside(&site.data.join("services")).iter().flat_map(|d| inside(d)).flat_map(|d| inside(&d)) {
        let names = inside(&dir).iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        found.push((dir.display().to_string(), names));
    }
    found
}

#[test]
fn runs_that_want_one_shared_service_at_the_same_moment_get_one() {
    const RUNS: usize = 8;
    let user = agent(
        "user",
        "concurrent_runs = 20\nservices = [\"web\"]",
        "echo $WHARF_SERVICE_WEB_URL >> $ROOT/urls; read go < $ROOT/gate-$WHARF_RUN_NUMBER",
    );
    let web = listener("web", "stop = { policy = \"on_run_finish\", grace = \"2s\" }");
    let site = Site::plain(&format!("[workspace]\nconcurrency = \"allow\"\n{user}{web}"));
    // A gate each: several that read from one may take a line apart.
    let gates: Vec<String> = (1..=RUNS).map(|n| format!("gate-R-{n}")).collect();
    for gate in &gates {
        site.gate(gate);
    }
    // All of them wait when it begins, and are taken together.
    let asked: Vec<_> = (0..RUNS).map(|_| site.ask_run("user", serde_json::json!({}))).collect();
    let _it = site.start();
    let runs: Vec<RunId> = asked.into_iter().map(|request| site.run_of(request)).collect();
    for run in &runs {
        site.started(*run);
    }
    assert_eq!(site.service("web").users.len(), RUNS);
    assert_eq!(site.lines("web.starts").len(), 1, "one process");
    for gate in &gates {
        site.open_gate(gate);
    }
    for run in &runs {
        site.settled(*run);
    }
    site.wait("its end", || (site.service("web").service.status == ServiceStatus::Stopped).then_some(()));
    let urls: BTreeSet<_> = site.lines("urls").into_iter().collect();
    assert_eq!((site.lines("urls").len(), urls.len()), (RUNS, 1));
    assert_eq!(site.lines("web.starts").len(), 1);
    site.assert_nothing_open("after the last user");
}
