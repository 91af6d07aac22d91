//! Hosts that cannot be reached, are not who they were, or have no room: in words, and as what they are.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use wharf::environment::driver::{Answer, Level, Outcome};

use super::host::Host;
use super::world::{World, ask, dir_of, done};

fn hint_of<T: std::fmt::Debug>(answer: Answer<T>, code: &str) -> String {
    match answer {
        Answer::Refused { code: said, hint } if said == code => hint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_key_that_changed_is_refused() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    // Of another key: the line of the host's user.
    let other = fs::read_to_string(w.host.path("user_key.pub")).unwrap();
    let known = w.host.path("known_hosts");
    let right = fs::read(&known).unwrap();
    fs::write(&known, format!("test-host {other}")).unwrap();
    let hint = hint_of(w.wait(driver.acquire(&ask())), "lease_acquire_failed");
    assert!(hint.contains("not the one that is known") && hint.contains("known_hosts"), "{hint}");
    let checks = done(w.wait(driver.probe()));
    assert!(checks.iter().any(|c| c.code == "host_key" && c.level == Level::Error), "{checks:?}");
    fs::write(&known, "").unwrap();
    let hint = hint_of(w.wait(driver.acquire(&ask())), "lease_acquire_failed");
    assert!(hint.contains("is not known"), "{hint}");
    // Only the settings of the environment make it less strict.
    let mut config = w.config(w.host.port);
    config["options"]["StrictHostKeyChecking"] = "accept-new".into();
    let lenient = w.driver_for(&config);
    let second = w.acquire(&*lenient);
    done(w.wait(lenient.release(&second, Outcome::Released)));
    fs::write(&known, right).unwrap();
    w.release(&*driver, &lease);
}

#[test]
fn keys_that_are_not_taken_are_refused() {
    let Some(w) = World::new() else { return };
    fs::write(w.host.path("authorized"), "").unwrap();
    let driver = w.driver();
    let hint = hint_of(w.wait(driver.acquire(&ask())), "lease_acquire_failed");
    assert!(hint.contains("does not take this user's keys"), "{hint}");
    let checks = done(w.wait(driver.probe()));
    assert!(checks.iter().any(|c| c.code == "auth" && c.level == Level::Error), "{checks:?}");
}

#[test]
fn a_host_that_is_not_reached_is_unknown() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let absent = w.driver_for(&w.config(port));
    for answer in [
        w.wait(absent.acquire(&ask())).map(drop),
        w.wait(absent.release(&lease, Outcome::Released)),
        w.wait(absent.list(&lease, "run/x/1")).map(drop),
        w.wait(absent.resume(&ask(), lease.provider_lease_id.as_deref().unwrap(), &lease.facts)).map(drop),
        w.wait(absent.observe(&[lease.provider_lease_id.clone().unwrap()])).map(drop),
    ] {
        assert!(
            matches!(&answer, Answer::Unknown { evidence } if evidence.contains("refuses connections")),
            "{answer:?}"
        );
    }
    let checks = done(w.wait(absent.probe()));
    assert!(checks.iter().any(|c| c.code == "connect" && c.level == Level::Error), "{checks:?}");
    let mut config = w.config(port);
    config["host"] = "no-such-host.invalid".into();
    let answer = w.wait(w.driver_for(&config).acquire(&ask()));
    assert!(matches!(&answer, Answer::Unknown { evidence } if evidence.contains("cannot be resolved")), "{answer:?}");
    w.release(&*driver, &lease);
}

#[test]
fn a_full_disk_is_said_as_such() {
    let Some(host) = Host::with_small_disk(Some(512)) else { return };
    let w = World::on(host);
    let mut config = w.config(w.host.port);
    config["path"] = "~/small/wharf".into();
    let driver = w.driver_for(&config);
    let lease = w.acquire(&*driver);
    let target = w.target(&*driver, &lease);
    // The command itself fills it: its output is closed, and the way back says so.
    let flood = "dd if=/dev/zero bs=65536 count=64 2>/dev/null; echo over >&2";
    let output = w.start(&target, &super::world::tag(), &["sh", "-c", flood]).wait_with_output().unwrap();
    assert!(output.stdout.len() < 512 << 10, "{}", output.stdout.len());
    let hint = hint_of(w.wait(driver.acquire(&ask())), "lease_acquire_failed");
    assert!(hint.contains("disk of") && hint.contains("is full"), "{hint}");
    let output = w.start(&target, &super::world::tag(), &["true"]).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("is full"), "{said}");
    done(w.wait(driver.release(&lease, Outcome::Failed)));
    let again = w.acquire(&*driver);
    done(w.wait(driver.release(&again, Outcome::Released)));
    let _ = dir_of(&again);
}
