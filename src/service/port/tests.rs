use std::net::{SocketAddr, TcpStream};

use super::*;

const ME: &str = "service test";

fn me() -> i32 {
    std::process::id() as i32
}

#[test]
fn table_is_parsed() {
    let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
         0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 555 1 0 100 0 0 10 0\n\
         1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 556 1 0\n\
         2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7 1\n\
         broken line\n\
         3: XYZ:1 0:0 0A 0 0 0 0 0 0\n";
    let all: Vec<_> = parse_table(text).collect();
    let v4 = Listener { address: Ipv4Addr::LOCALHOST.into(), port: 8080, uid: 1000, inode: 555 };
    let v6 = Listener { address: Ipv6Addr::LOCALHOST.into(), port: 80, uid: 0, inode: 7 };
    assert_eq!(all, [v4, v6]);
}

#[test]
fn a_reservation_keeps_others_out_until_released() {
    let held = reserve_auto(None, ME).unwrap();
    let port = held.port();
    let error = reserve_exact(port, ME).unwrap_err();
    assert_eq!(error.code(), "port_in_use");
    let message = error.to_string();
    assert!(message.contains(&format!("port {port}")) && message.contains(&me().to_string()), "{message}");
    assert_ne!(reserve_auto(Some(port), ME).unwrap().port(), port, "a taken port is not insisted on");
    drop(held);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn the_last_port_is_preferred() {
    // Another test may take it in between; one of several tries gets through.
    let kept = (0..20).any(|_| {
        let port = reserve_auto(None, ME).unwrap().port();
        reserve_auto(Some(port), ME).unwrap().port() == port
    });
    assert!(kept);
}

#[test]
fn a_listener_on_ipv6_only_counts_as_in_use() {
    let Ok(other) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let port = other.local_addr().unwrap().port();
    assert!(matches!(reserve_exact(port, ME), Err(PortError::InUse { .. })));
}

#[test]
fn owners_are_found_with_their_identity() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let owners = owners_of(port).unwrap();
    assert_eq!(owners.len(), 1);
    let process = owners[0].processes.iter().find(|p| p.pid == me()).unwrap();
    assert!(process.start_ticks.is_some() && process.command.contains("wharf"), "{process:?}");
    assert_eq!(process.uid, owners[0].listener.uid);
}

#[test]
fn ownership_table() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Process ids beyond the kernel's limit stand for processes that have ended.
    let gone = i32::MAX;
    assert!(matches!(ownership(port, &BTreeSet::from([me(), gone])), Ownership::Ours(p) if p.contains(&me())));
    let others = ownership(port, &BTreeSet::from([gone]));
    assert!(matches!(&others, Ownership::Others(o) if o[0].processes.iter().any(|p| p.pid == me())), "{others:?}");
    drop(listener);
    let free = reserve_auto(None, ME).unwrap().port();
    assert!(matches!(ownership(free, &BTreeSet::from([gone])), Ownership::Nobody | Ownership::Others(_)));
}

#[test]
fn a_port_that_was_promised_is_given_to_no_other_service_of_ours() {
    let first = reserve_auto(None, "service web (S-1)").unwrap();
    let port = first.port();
    let claim = first.give_up();
    // Nobody listens, and it is taken all the same.
    let error = reserve_exact(port, "service api (S-2)").unwrap_err();
    assert_eq!(error.code(), "port_in_use");
    assert!(error.to_string().contains("service web (S-1) of wharf"), "{error}");
    assert_ne!(reserve_auto(Some(port), "service api (S-2)").unwrap().port(), port);
    drop(claim);
    // Another program may have been faster; it is no service of ours then.
    if let Err(error) = reserve_exact(port, "service api (S-2)") {
        assert!(!error.to_string().contains("(S-1)"), "{error}");
    }
}

#[test]
fn owners_are_told_with_user_time_and_what_they_belong_to() {
    let me = process(me());
    assert!(me.age_ms.is_some() && me.belongs_to.is_none(), "{me:?}");
    let owner = Process {
        pid: 7,
        uid: 1000,
        command: "python3 -m http.server".into(),
        start_ticks: Some(1),
        user: Some("ann".into()),
        age_ms: Some(7_530_000),
        belongs_to: Some("service web".into()),
    };
    let words = "process 7 (python3 -m http.server) of user 1000 (ann), running for 2 h 5 min, which belongs to wharf's service web";
    assert_eq!(owner.to_string(), words);
    assert_eq!(user_name(0).as_deref(), Some("root"));
    assert_eq!(user_name(u32::MAX), None);
}
