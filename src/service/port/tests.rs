use std::net::{SocketAddr, TcpStream};

use super::*;

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
    let held = reserve_auto(None).unwrap();
    let port = held.port();
    let error = reserve_exact(port).unwrap_err();
    assert_eq!(error.code(), "port_in_use");
    let message = error.to_string();
    assert!(message.contains(&format!("port {port}")) && message.contains(&me().to_string()), "{message}");
    assert_ne!(reserve_auto(Some(port)).unwrap().port(), port, "a taken port is not insisted on");
    drop(held);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn the_last_port_is_preferred() {
    // Another test may take it in between; one of several tries gets through.
    let kept = (0..20).any(|_| {
        let port = reserve_auto(None).unwrap().port();
        reserve_auto(Some(port)).unwrap().port() == port
    });
    assert!(kept);
}

#[test]
fn a_listener_on_ipv6_only_counts_as_in_use() {
    let Ok(other) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let port = other.local_addr().unwrap().port();
    assert!(matches!(reserve_exact(port), Err(PortError::InUse { .. })));
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
    let free = reserve_auto(None).unwrap().port();
    assert!(matches!(ownership(free, &BTreeSet::from([gone])), Ownership::Nobody | Ownership::Others(_)));
}
