use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ME: &str = "ops";

fn claim(number: i64, status: ServiceStatus, port: Option<u16>, fixed: Option<u16>) -> Claim {
    Claim {
        number,
        name: "web".into(),
        status,
        port,
        fixed,
        pid: status.is_live().then_some(4102),
        last_used_at: NOW.plus(-3 * 3_600_000),
        started: port.is_some(),
    }
}

fn ours(of: i64) -> Listening {
    Listening {
        pid: Some(4102),
        command: "node server.js".into(),
        user: ME.into(),
        same_user: true,
        since: None,
        of: Some(of),
    }
}

fn postgres() -> Listening {
    Listening {
        pid: Some(812),
        command: "/usr/lib/postgresql/15/bin/postgres -D /var/lib".into(),
        user: "postgres".into(),
        same_user: false,
        since: Some(NOW.plus(-9 * 86_400_000)),
        of: None,
    }
}

fn one(claims: &[Claim], port: u16, heard: Option<Heard>) -> PortRow {
    let looks = heard.map(|heard| (port, Look { at: NOW.plus(-3_000), heard })).into_iter().collect();
    board(claims, &looks, NOW).into_iter().find(|r| r.port == port).unwrap()
}

#[test]
fn one_that_failed_for_want_of_a_port_stands_beside_who_has_it() {
    let holder = claim(3, ServiceStatus::Running, Some(45_001), Some(45_001));
    for (status, told) in
        [(ServiceStatus::Failed, true), (ServiceStatus::Backoff, true), (ServiceStatus::Stopped, false)]
    {
        let parked = claim(6, status, None, Some(45_001));
        let row = one(&[holder.clone(), parked], 45_001, Some(Heard::By(vec![ours(3)])));
        assert_eq!((row.state, row.service.as_str()), (PortState::Ours, "S-3 web"), "{status}");
        assert_eq!(row.evidence.contains("wanted by S-6 web as well"), told, "{status}: {}", row.evidence);
    }
}

#[test]
fn every_state_of_a_port_is_told_with_its_evidence() {
    use ServiceStatus::{Failed, Running, Starting, Stopped, Stopping};
    let by = |who: Vec<Listening>| Some(Heard::By(who));
    let hidden = |same_user| Listening { pid: None, command: String::new(), same_user, since: None, ..postgres() };
    let (live, asked) = (claim(12, Running, Some(4173), None), claim(15, Starting, Some(4173), None));
    let moved = claim(14, Running, Some(5433), Some(4173));
    let table = [
        ("ours", vec![live.clone()], by(vec![ours(12)]), "ours", "S-12 web", Some("pid 4102"), "verified 3s ago"),
        ("not yet", vec![asked], Some(Heard::Nobody), "asked", "S-15 web", Some("pid 4102"), "not listening yet"),
        (
            "deaf",
            vec![live.clone()],
            Some(Heard::Nobody),
            "asked",
            "S-12 web",
            Some("pid 4102"),
            "runs, and nobody listens",
        ),
        (
            "going",
            vec![claim(12, Stopping, Some(4173), None)],
            Some(Heard::Nobody),
            "asked",
            "S-12 web",
            Some("pid 4102"),
            "listens no more, is stopping",
        ),
        (
            "took another",
            vec![moved],
            by(vec![postgres()]),
            "stranger",
            "wanted by S-14",
            Some("pid 812 postgres"),
            "user postgres, 9d; S-14 took 5433",
        ),
        (
            "in the way",
            vec![claim(9, Failed, None, Some(4173))],
            by(vec![postgres()]),
            "stranger",
            "wanted by S-9",
            Some("pid 812 postgres"),
            "user postgres, 9d; S-9 did not start",
        ),
        (
            "beside ours",
            vec![live.clone()],
            by(vec![ours(12), postgres()]),
            "stranger",
            "wanted by S-12",
            Some("pid 812 postgres"),
            "user postgres, 9d; S-12 does not have it",
        ),
        (
            "another user's",
            vec![claim(10, Stopped, Some(4173), None)],
            by(vec![hidden(false)]),
            "stranger",
            "last of S-10",
            Some("user postgres"),
            "user postgres, process hidden",
        ),
        (
            "hidden from us",
            vec![live.clone()],
            by(vec![hidden(true)]),
            "unknown",
            "S-12 web",
            Some("user postgres"),
            "a process of user postgres that cannot be read",
        ),
        (
            "free again",
            vec![claim(10, Stopped, Some(4173), None)],
            Some(Heard::Nobody),
            "free",
            "last of S-10 web",
            None,
            "last used 3h ago",
        ),
        (
            "never had",
            vec![claim(10, Stopped, None, Some(4173))],
            Some(Heard::Nobody),
            "free",
            "wanted by S-10 web",
            None,
            "never used",
        ),
        ("not looked", vec![live.clone()], None, "unknown", "S-12 web", None, "not looked at yet"),
        (
            "unreadable",
            vec![live.clone()],
            Some(Heard::Unreadable("permission denied".into())),
            "unknown",
            "S-12 web",
            None,
            "cannot be read: permission denied",
        ),
        (
            "another of ours",
            vec![live, claim(16, Running, Some(6006), Some(4173))],
            by(vec![ours(12)]),
            "ours",
            "S-12 web",
            Some("pid 4102"),
            "verified 3s ago; wanted by S-16 web as well",
        ),
    ];
    for (name, claims, heard, state, service, listener, evidence) in table {
        let row = one(&claims, 4173, heard);
        let words = row.told(NOW);
        let told = (row.state.as_str(), row.service.as_str(), row.listener.as_deref(), words.as_str());
        assert_eq!(told, (state, service, listener, evidence), "{name}");
    }
}

#[test]
fn several_that_want_a_port_are_counted_and_the_board_is_ordered_by_what_is_sure() {
    let stopped = |number, port| claim(number, ServiceStatus::Stopped, Some(port), None);
    let claims =
        [stopped(1, 8000), stopped(2, 8000), stopped(3, 7000), claim(4, ServiceStatus::Running, Some(9000), None)];
    let look = |heard| Look { at: NOW, heard };
    let looks = BTreeMap::from([
        (7000, look(Heard::By(vec![postgres()]))),
        (8000, look(Heard::Nobody)),
        (9000, look(Heard::By(vec![ours(4)]))),
    ]);
    let rows = board(&claims, &looks, NOW);
    assert_eq!(rows.iter().map(|r| r.port).collect::<Vec<_>>(), [9000, 7000, 8000]);
    assert_eq!((rows[2].service.as_str(), rows[2].numbers.as_slice()), ("last of S-2 web +1", &[2, 1][..]));
    assert_eq!(rows[1].stranger().unwrap(), "port 7000 last of S-3 is held by pid 812 postgres (not ours)");
    assert_eq!(rows[0].stranger(), None);
}

#[test]
fn live_services_are_looked_at_first_and_no_port_twice() {
    use ServiceStatus::{Running, Stopped};
    let claims = [claim(1, Stopped, Some(1000), Some(2000)), claim(2, Running, Some(3000), Some(2000))];
    assert_eq!(worth_a_look(&claims, 10), [3000, 2000, 1000]);
    assert_eq!(worth_a_look(&claims, 2), [3000, 2000]);
}
