//! What the port board is made of: who claims which port, and who listens there. The joining is a rule of the
//! model ([`wharf_model::rules::port_board`]).

use std::collections::BTreeMap;
use std::path::Path;

use wharf_model::UnixMillis;
use wharf_model::rules::port_board::{Claim, Heard, Listening, Look, PortState, board, worth_a_look};
use wharf_store::view::ServicePort;
use wharf_store::{Reader, StoreError};

use super::port::{self, Owned};
use crate::dispatch::perform::shim_dir;
use crate::process::usage::Processes;
use crate::user;

/// Ports looked at, at most.
const PORTS_MAX: usize = 200;

/// The claims that rows make.
pub fn claims(ports: &[ServicePort]) -> Vec<Claim> {
    let number = |port: Option<i64>| port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0);
    ports
        .iter()
        .map(|s| Claim {
            number: s.number,
            name: s.name.clone(),
            status: s.status,
            port: number(s.port),
            fixed: number(s.fixed),
            pid: s.process_pid,
            last_used_at: s.last_used_at,
            started: s.generation > 0,
        })
        .collect()
}

/// Looks who listens on the ports that are claimed. Reads the tables of sockets, and the processes once when
/// anybody listens: tens of milliseconds on a busy machine, so it is done beside a screen.
pub fn look(data: &Path, ports: &[ServicePort], now: UnixMillis) -> BTreeMap<u16, Look> {
    let wanted = worth_a_look(&claims(ports), PORTS_MAX);
    let all = |heard: Heard| wanted.iter().map(|p| (*p, Look { at: now, heard: heard.clone() })).collect();
    let owners = match port::owners_of_each(&wanted) {
        Ok(owners) => owners,
        Err(error) => return all(Heard::Unreadable(error.to_string())),
    };
    if owners.is_empty() {
        return all(Heard::Nobody);
    }
    let processes = match Processes::look() {
        Ok(processes) => processes,
        Err(error) => return all(Heard::Unreadable(error.to_string())),
    };
    let mut kept: BTreeMap<i32, i64> = BTreeMap::new();
    for service in ports.iter().filter(|s| s.status.is_live()) {
        if let Some(dir) = shim_dir("service", &service.id.text(), service.generation) {
            kept.extend(processes.kept_by(&data.join(dir)).into_iter().map(|pid| (pid, service.number)));
        }
    }
    let heard = |port: &u16| match owners.get(port) {
        None => Heard::Nobody,
        Some(owned) => Heard::By(owned.iter().map(|o| listening(o, &kept, &processes, now)).collect()),
    };
    wanted.iter().map(|port| (*port, Look { at: now, heard: heard(port) })).collect()
}

/// Who of others listens on a port that a service has or wants, as the machine is now: the port, and who.
///
/// # Errors
/// The store cannot be read.
pub fn stranger_of(
    data: &Path,
    reader: &Reader,
    number: i64,
    now: UnixMillis,
) -> Result<Option<(u16, String)>, StoreError> {
    let mut ports = reader.service_ports()?;
    let own: Vec<u16> =
        claims(&ports).iter().filter(|c| c.number == number).flat_map(|c| [c.port, c.fixed]).flatten().collect();
    let about = |p: Option<i64>| p.and_then(|p| u16::try_from(p).ok()).is_some_and(|p| own.contains(&p));
    ports.retain(|s| about(s.port) || about(s.fixed));
    let rows = board(&claims(&ports), &look(data, &ports, now), now);
    let mut strangers = rows.into_iter().filter(|r| r.state == PortState::Stranger && r.numbers.contains(&number));
    Ok(strangers.find_map(|r| Some((r.port, r.listener?))))
}

/// A listener, by the process of ours that holds it, else by the first that does.
fn listening(owned: &Owned, kept: &BTreeMap<i32, i64>, processes: &Processes, now: UnixMillis) -> Listening {
    let ours = owned.processes.iter().find(|p| kept.contains_key(&p.pid));
    let process = ours.or_else(|| owned.processes.first());
    let uid = process.map_or(owned.listener.uid, |p| p.uid);
    let age = process.and_then(|p| p.start_ticks).map(|ticks| processes.age_ms(ticks));
    Listening {
        pid: process.map(|p| p.pid),
        command: process.map(|p| p.command.clone()).unwrap_or_default(),
        user: user::named(uid),
        same_user: uid == user::uid(),
        since: age.map(|ms| now.plus(-i64::try_from(ms).unwrap_or(i64::MAX))),
        of: ours.and_then(|p| kept.get(&p.pid).copied()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use wharf_model::{ServiceId, ServiceStatus};

    use super::*;

    fn service(number: i64, port: u16) -> ServicePort {
        ServicePort {
            id: ServiceId(uuid::Uuid::from_u128(u128::from(port))),
            number,
            name: "web".into(),
            project: None,
            workspace_number: None,
            status: ServiceStatus::Stopped,
            generation: 1,
            port: None,
            fixed: Some(i64::from(port)),
            process_pid: None,
            last_used_at: UnixMillis(0),
        }
    }

    #[test]
    fn a_stranger_on_a_port_is_named_and_a_free_one_is_free() {
        let data = tempfile::tempdir().unwrap();
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let (held_port, free_port) = (held.local_addr().unwrap().port(), free.local_addr().unwrap().port());
        drop(free);
        let ports = [service(1, held_port), service(2, free_port)];
        let now = UnixMillis(1_800_000_000_000);
        let looks = look(data.path(), &ports, now);
        let rows = board(&claims(&ports), &looks, now);
        let held_row = rows.iter().find(|r| r.port == held_port).unwrap();
        assert_eq!(held_row.state, PortState::Stranger, "{held_row:?}");
        let me = format!("pid {}", std::process::id());
        assert!(held_row.listener.as_ref().is_some_and(|l| l.starts_with(&me)), "{held_row:?}");
        assert!(held_row.evidence.starts_with(&format!("user {}", user::named(user::uid()))), "{held_row:?}");
        let free_row = rows.iter().find(|r| r.port == free_port).unwrap();
        assert_eq!(free_row.state, PortState::Free, "{free_row:?}");
    }
}
