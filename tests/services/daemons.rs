//! Services that go into the background.

use wharf_model::*;

use crate::servers::*;

#[test]
fn one_that_goes_into_the_background_is_refused_with_the_way_out() {
    if no_python() {
        return;
    }
    let ready = "ready = { http = \"http://127.0.0.1:{{port}}/\", timeout = \"50s\", interval = \"100ms\" }";
    // The classic double fork, and a shell that leaves its server in a session of its own.
    let fork = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n\
                exec(open(\"$ROOT/server.py\").read())\n";
    let fork = serde_json::to_string(fork).unwrap();
    let left = "setsid python3 $ROOT/server.py $ROOT/left $ROOT/left.asked & sleep 1; exit 0";
    let config = format!(
        "[[service]]\nname = \"fork\"\nport = \"auto\"\n\
         command = [\"python3\", \"-c\", {fork}, \"$ROOT/fork\", \"$ROOT/fork.asked\"]\n{ready}\n{STOP}\n\
         [[service]]\nname = \"left\"\nport = \"auto\"\ncommand = [\"sh\", \"-c\", \"{left}\"]\n{ready}\n{STOP}\n"
    );
    let (site, _it) = accepted(&config);
    for name in ["fork", "left"] {
        // Whether it was ready for a moment, or ended before.
        site.finished(ask(&site, "start", name));
        let service = site
            .wait("its end", || Some(site.service(name).service).filter(|s| !s.status.is_live() && s.generation == 1));
        assert_eq!(service.status, ServiceStatus::Failed, "{service:?}");
        let error = service.error.clone().unwrap();
        assert!(error.contains("it went into the background"), "{name}: {error}");
        assert!(error.contains("python3") && error.contains("foreground"), "{name}: {error}");
        assert_eq!(site.processes_of_service(&service), Vec::<String>::new());
        let port = u16::try_from(service.port.unwrap()).unwrap();
        assert_eq!(wharf::service::port::listeners(port).unwrap(), []);
    }
    site.assert_nothing_open("after both");
}

#[test]
fn one_that_ends_well_by_itself_is_no_daemon() {
    let (site, _it) = accepted(&format!("[[service]]\nname = \"once\"\ncommand = \"sleep 1\"\n{STOP}\n"));
    start(&site, "once");
    let ended = site.wait("its end", || Some(site.service("once").service).filter(|s| !s.status.is_live()));
    assert_eq!((ended.status, ended.error), (ServiceStatus::Stopped, None));
}

#[test]
fn one_whose_main_process_is_gone_is_not_well_while_what_it_left_has_its_grace() {
    // What it leaves does not go by being asked.
    let command = "(trap '' TERM; echo stays > $ROOT/left; while :; do sleep 1; done) & echo $$ > $ROOT/main; wait";
    let config = format!(
        "[[service]]\nname = \"stick\"\ncommand = [\"sh\", \"-c\", {}]\nstop = {{ policy = \"manual\", grace = \"6s\" }}\n",
        serde_json::to_string(command).unwrap()
    );
    let (site, _it) = accepted(&config);
    start(&site, "stick");
    let main = site.wait_and_look("both", || {
        site.lines("left").first()?;
        site.lines("main").first()?.parse::<i32>().ok()
    });
    rustix::process::kill_process(rustix::process::Pid::from_raw(main).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    let evidence = health(&site, "stick", Health::Unknown);
    assert!(evidence.contains("its main process has ended"), "{evidence}");
    let ended = site.wait("its end", || Some(site.service("stick").service).filter(|s| !s.status.is_live()));
    assert_eq!(ended.status, ServiceStatus::Failed, "{ended:?}");
    assert_eq!(site.processes_of_service(&ended), Vec::<String>::new());
}
