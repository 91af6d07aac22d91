//! Servers that behave as a file beside them says.

use std::io::Write as _;
use std::process::Command;

use serde_json::json;
use wharf::process::descendants;
use wharf_model::*;

use crate::orchestrator::*;

/// Answers on `$PORT` as the file named by its first argument says at that moment: a status, or `hang`, `drip`,
/// `endless`, `loop`. Notes each request in the file named by its second argument.
pub const SERVER: &str = r#"
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[2], "a") as asked:
            asked.write("asked\n")
        try:
            state = open(sys.argv[1]).read().strip()
        except OSError:
            state = "200"
        if state == "hang":
            time.sleep(600)
        elif state == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while True:
                self.wfile.write(b"x")
                time.sleep(1)
        elif state == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        elif state == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(int(state))
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *words):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *words):
        pass

print("about to listen", flush=True)
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Whether this machine has what the servers need; says so where it has not.
pub fn no_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no python3 here");
    }
    !found
}

/// A service that runs the server; its state is in `$ROOT/<name>`, its requests in `$ROOT/<name>.asked`.
pub fn server(name: &str, more: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nport = \"auto\"\n\
         command = [\"python3\", \"$ROOT/server.py\", \"$ROOT/{name}\", \"$ROOT/{name}.asked\"]\n{more}\n"
    )
}

/// How a service of these tests is stopped.
pub const STOP: &str = "stop = { policy = \"manual\", grace = \"2s\" }";

/// A project with the server's program beside it and its services accepted, under an orchestrator.
pub fn accepted(config: &str) -> (Site, Orchestrator) {
    let site = Site::plain(config);
    std::fs::write(site.path("server.py"), SERVER).unwrap();
    let it = site.start();
    accept(&site);
    (site, it)
}

pub fn accept(site: &Site) {
    let row = site.finished(site.send("config.accept", None, json!({ "path": site.project })));
    assert_eq!(row.status, RequestStatus::Done, "{row:?}");
}

/// Sets how a server behaves; whoever reads sees the old or the new.
pub fn set(site: &Site, name: &str, state: &str) {
    let fresh = site.path(&format!("{name}.new"));
    std::fs::write(&fresh, state).unwrap();
    std::fs::rename(fresh, site.path(name)).unwrap();
}

pub fn ask(site: &Site, verb: &str, name: &str) -> RequestId {
    site.ask_service(verb, site.service(name).service.id)
}

/// Asks and waits for the end of the request.
pub fn done(site: &Site, verb: &str, name: &str) -> RequestRow {
    site.finished(ask(site, verb, name))
}

pub fn start(site: &Site, name: &str) -> ServiceRow {
    let row = done(site, "start", name);
    assert_eq!(row.status, RequestStatus::Done, "{name}: {row:?}");
    site.service(name).service
}

pub fn stop(site: &Site, name: &str) -> ServiceRow {
    let row = done(site, "stop", name);
    assert_eq!(row.status, RequestStatus::Done, "{name}: {row:?}");
    let service = site.service(name).service;
    assert_eq!(site.processes_of_service(&service), Vec::<String>::new());
    service
}

/// What a service that could not be started says, with its code.
pub fn refused(site: &Site, name: &str) -> (String, String) {
    let row = done(site, "start", name);
    assert_eq!(row.status, RequestStatus::Failed, "{name}: {row:?}");
    let service = site.service(name).service;
    assert_eq!(service.status, ServiceStatus::Failed, "{service:?}");
    assert_eq!(site.processes_of_service(&service), Vec::<String>::new());
    (service.error_code.unwrap(), service.error.unwrap())
}

/// Waits until a service is in this state of health, and gives the evidence.
pub fn health(site: &Site, name: &str, health: Health) -> String {
    site.wait(&format!("a service that is {health}"), || {
        let service = site.service(name).service;
        (service.health == health && service.health_evidence.is_some()).then(|| service.health_evidence.unwrap())
    })
}

/// What the checks of a service have left behind.
pub fn checks_left(service: &ServiceRow) -> usize {
    descendants::by_tag(&format!("check/{}/{}", service.id, service.generation)).unwrap().found.len()
}

/// What a command of the program prints, run by an operator in the project.
pub fn wharf(site: &Site, args: &[&str]) -> String {
    let output = Command::new(WHARF)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", site.path("home"))
        .env("XDG_CONFIG_HOME", site.path("config"))
        .env("WHARF_DATA_DIR", &site.data)
        .current_dir(&site.project)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
