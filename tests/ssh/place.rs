//! Directories of leases: made once, found again, removed, never anybody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use wharf::environment::driver::{Answer, Extended, Level, Outcome, Resumed, Seen};
use wharf_model::UnixMillis;

use super::work::there;
use super::world::{World, ask, dir_of, done, held};

#[test]
fn a_place_is_made_once_and_removed_for_good() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let ask = ask();
    let place = w.place(&*driver, &ask);
    assert_eq!(w.place(&*driver, &ask), place, "asked again it is the same");
    let lease = held(&ask, place.clone());
    let dir = dir_of(&lease);
    assert_eq!(dir, w.host.home.join("wharf/leases").join(ask.lease.text()));
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let id = place.provider_lease_id.unwrap();
    assert_eq!(id, format!("ssh://{}@127.0.0.1:{}{}", w.host.user, w.host.port, dir.display()));
    assert!(lease.facts["uname"].as_str().unwrap().starts_with("Linux"));

    let seen = done(w.wait(driver.observe(std::slice::from_ref(&id))));
    assert_eq!(seen.get(&id), Some(&Seen::Held(None)));
    let until = UnixMillis(17);
    assert_eq!(w.wait(driver.extend(&lease, until)), Answer::Done(Extended::Until(until)));

    w.release(&*driver, &lease);
    assert_eq!(w.wait(driver.release(&lease, Outcome::Failed)), Answer::Done(()), "released again it is done");
    assert_eq!(w.wait(driver.destroy(&lease)), Answer::Done(()));
    let seen = done(w.wait(driver.observe(std::slice::from_ref(&id))));
    assert_eq!(seen.get(&id), Some(&Seen::Gone));
    assert_eq!(w.wait(driver.resume(&ask, &id, &lease.facts)), Answer::Done(Resumed::Gone));
}

#[test]
fn what_is_kept_can_be_taken_over() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let first = w.acquire(&*driver);
    fs::write(dir_of(&first).join("precious"), "kept").unwrap();
    done(w.wait(driver.release(&first, Outcome::Kept)));
    let next = ask();
    let id = first.provider_lease_id.clone().unwrap();
    let Answer::Done(Resumed::Held(place)) = w.wait(driver.resume(&next, &id, &first.facts)) else { panic!() };
    let second = held(&next, place);
    assert_eq!(dir_of(&second), dir_of(&first));
    assert!(dir_of(&second).join("precious").exists());
    w.release(&*driver, &second);
}

#[test]
fn a_lease_whose_answer_never_came_leaves_nothing() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let mut lease = w.acquire(&*driver);
    let dir = dir_of(&lease);
    lease.provider_lease_id = None;
    lease.facts = serde_json::Value::Null;
    done(w.wait(driver.release(&lease, Outcome::Failed)));
    assert!(!dir.exists());
    // One that was cut off in the making.
    let half = dir.with_file_name(format!(".new-{}", dir.file_name().unwrap().to_str().unwrap()));
    there(&w, &w.host.home, &format!("mkdir -p '{}/runs'", half.display()));
    done(w.wait(driver.release(&lease, Outcome::Failed)));
    assert!(!half.exists());
}

#[test]
fn a_lease_gives_back_what_it_took_over_and_what_was_made_for_it() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let first = w.acquire(&*driver);
    let mut second = w.acquire(&*driver);
    let (taken, own) = (dir_of(&first), dir_of(&second));
    (second.provider_lease_id, second.facts) = (first.provider_lease_id.clone(), first.facts.clone());
    done(w.wait(driver.release(&second, Outcome::Released)));
    assert!(!taken.exists() && !own.exists());
    w.release(&*driver, &first);
}

#[test]
fn what_is_not_mounted_or_cannot_be_read_is_unknown() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let ask = ask();
    let lease = held(&ask, w.place(&*driver, &ask));
    let id = lease.provider_lease_id.clone().unwrap();
    let unknown = |what: &str| {
        let released = w.wait(driver.release(&lease, Outcome::Released));
        assert!(matches!(released, Answer::Unknown { .. } | Answer::Refused { .. }), "{what}: {released:?}");
        let seen = done(w.wait(driver.observe(std::slice::from_ref(&id))));
        assert_eq!(seen.get(&id), None, "{what}");
        let resumed = w.wait(driver.resume(&ask, &id, &lease.facts));
        assert!(matches!(resumed, Answer::Unknown { .. }), "{what}: {resumed:?}");
    };
    let leases = dir_of(&lease).parent().unwrap().to_owned();
    let away = leases.with_file_name("away");
    fs::rename(&leases, &away).unwrap();
    unknown("not mounted");
    fs::rename(&away, &leases).unwrap();
    let mark = dir_of(&lease).join(".wharf-lease");
    fs::set_permissions(&mark, fs::Permissions::from_mode(0o000)).unwrap();
    unknown("unreadable");
    fs::set_permissions(&mark, fs::Permissions::from_mode(0o600)).unwrap();
    w.release(&*driver, &lease);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let dir = dir_of(&lease);
    let mark = fs::read(dir.join(".wharf-lease")).unwrap();
    fs::remove_file(dir.join(".wharf-lease")).unwrap();
    let refused = w.wait(driver.release(&lease, Outcome::Released));
    assert!(
        matches!(&refused, Answer::Refused { code, hint }
        if code == "lease_release_failed" && hint.contains("mark")),
        "{refused:?}"
    );
    assert!(dir.exists());
    // A link in its place leads nowhere.
    let elsewhere = w.host.home.join("elsewhere");
    fs::rename(&dir, &elsewhere).unwrap();
    fs::write(elsewhere.join(".wharf-lease"), mark).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &dir).unwrap();
    let refused = w.wait(driver.destroy(&lease));
    assert!(matches!(&refused, Answer::Refused { hint, .. } if hint.contains("is a link")), "{refused:?}");
    assert!(elsewhere.join(".wharf-lease").exists());
    fs::remove_file(&dir).unwrap();
    w.release(&*driver, &lease);
}

#[test]
fn a_probe_finds_everything_and_obtains_nothing() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let checks = done(w.wait(driver.probe()));
    for code in ["ssh", "settings", "connect", "host", "path", "space", "git", "tools"] {
        let check = checks.iter().find(|c| c.code == code).unwrap_or_else(|| panic!("no {code} in {checks:?}"));
        assert!(check.level < Level::Error, "{check:?}");
    }
    assert_eq!(fs::read_dir(w.host.home.join("wharf/leases")).unwrap().count(), 0);
    assert!(done(w.wait(driver.validate())).iter().all(|c| c.level == Level::Ok));
    let mut config = w.config(w.host.port);
    config["options"]["Nonsense"] = "yes".into();
    let checks = done(w.wait(w.driver_for(&config).validate()));
    assert!(checks.iter().any(|c| c.code == "settings" && c.level == Level::Error), "{checks:?}");
}
