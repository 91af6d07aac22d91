//! Whose a port is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use wharf_model::*;

use crate::servers::*;

#[test]
fn a_stranger_on_the_port_is_named_and_left_alone() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let config = format!("[[service]]\nname = \"web\"\nport = {port}\ncommand = \"exec sleep 600\"\n{STOP}\n");
    let (site, _it) = accepted(&config);
    let (code, error) = refused(&site, "web");
    assert_eq!(code, "port_in_use");
    let me = format!("process {} (", std::process::id());
    assert!(error.contains(&me) && error.contains("of user ") && error.contains("running for "), "{error}");
    drop(stranger);
    start(&site, "web");
    stop(&site, "web");
    site.assert_nothing_open("after it");
}

#[test]
fn of_two_services_that_want_one_port_the_second_says_who_has_it() {
    if no_python() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ready = "ready = { tcp = \"127.0.0.1:{{port}}\", timeout = \"50s\", interval = \"100ms\" }";
    let fixed = |name: &str| server(name, &format!("{ready}\n{STOP}")).replace("\"auto\"", &port.to_string());
    // One that has the port and does not listen on it.
    let silent = format!("[[service]]\nname = \"silent\"\nport = {port}\ncommand = \"exec sleep 600\"\n{STOP}\n");
    let (site, _it) = accepted(&(fixed("first") + &fixed("second") + &silent));
    start(&site, "first");
    let (code, error) = refused(&site, "second");
    assert_eq!(code, "port_in_use");
    assert!(error.contains("which belongs to wharf's service first"), "{error}");
    stop(&site, "first");
    start(&site, "silent");
    let (code, error) = refused(&site, "second");
    assert_eq!(code, "port_in_use");
    assert!(error.contains("service silent (S-3) of wharf"), "{error}");
    stop(&site, "silent");
    start(&site, "second");
    stop(&site, "second");
}

#[test]
fn a_port_that_a_stranger_was_faster_to_take_is_not_the_services() {
    // It says its port, and lets the test take it.
    let script = "echo $PORT > $ROOT/port.new; mv $ROOT/port.new $ROOT/port; exec sleep 600";
    let config = format!(
        "[[service]]\nname = \"web\"\nport = \"auto\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"50s\", interval = \"100ms\" }}\n{STOP}\n"
    );
    let (site, _it) = accepted(&config);
    let asked = ask(&site, "start", "web");
    let port: u16 = site.wait_and_look("its port", || site.lines("port").first().and_then(|line| line.parse().ok()));
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in stranger.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let row = site.finished(asked);
    assert_eq!((row.status, row.error_code.as_deref()), (RequestStatus::Failed, Some("port_in_use")), "{row:?}");
    let service = site.service("web").service;
    let error = service.error.clone().unwrap();
    assert!(error.contains(&format!("process {} (", std::process::id())), "{error}");
    assert_eq!(site.processes_of_service(&service), Vec::<String>::new());
}

#[test]
fn an_automatic_port_is_kept_over_restarts_where_it_is_free() {
    if no_python() {
        return;
    }
    let ready = "ready = { tcp = \"127.0.0.1:{{port}}\", timeout = \"50s\", interval = \"100ms\" }";
    let (site, _it) = accepted(&server("web", &format!("{ready}\n{STOP}")));
    let first = start(&site, "web").port;
    stop(&site, "web");
    assert_eq!(start(&site, "web").port, first, "the same key has its last port");
    stop(&site, "web");
    let Ok(_stranger) = TcpListener::bind(("127.0.0.1", u16::try_from(first.unwrap()).unwrap())) else { return };
    assert_ne!(start(&site, "web").port, first, "another one where somebody has it");
    stop(&site, "web");
}
