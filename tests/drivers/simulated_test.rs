//! What engines with a controller of their own do, shown through the driver's calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;
use wharf::environment::driver::*;
use wharf_model::LeasePolicy;

use super::simulated::{LONGEST_MS, Provider};
use super::simulated_driver::Simulated;

fn pool(size: usize) -> (tempfile::TempDir, Arc<Provider>, Simulated) {
    let root = tempfile::tempdir().unwrap();
    let provider = Provider::new(root.path());
    provider.resize(size);
    let driver = Simulated::new(&provider);
    (root, provider, driver)
}

fn ask() -> AcquireAsk {
    AcquireAsk {
        lease: Uuid::now_v7().into(),
        number: "L-1".into(),
        fence: 1,
        environment: Uuid::now_v7().into(),
        environment_name: "pool".into(),
        company: Uuid::now_v7().into(),
        policy: LeasePolicy::Ephemeral,
        run: None,
        issue: None,
        workspace: None,
        project: None,
        ttl_ms: 600_000,
    }
}

fn held(ask: &AcquireAsk, id: &str) -> Held {
    Held {
        lease: ask.lease,
        number: ask.number.clone(),
        fence: ask.fence,
        environment: ask.environment,
        policy: ask.policy,
        provider_lease_id: Some(id.to_owned()),
        facts: json!({}),
    }
}

fn done<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

async fn queue(driver: &Simulated, ask: &AcquireAsk) -> Queue {
    match done(driver.acquire(ask).await) {
        Acquired::Queued(queue) => queue,
        Acquired::Held(place) => panic!("it is held: {place:?}"),
    }
}

async fn place(driver: &Simulated, ask: &AcquireAsk) -> String {
    match done(driver.acquire(ask).await) {
        Acquired::Held(place) => place.provider_lease_id.unwrap(),
        Acquired::Queued(queue) => panic!("it is queued: {queue:?}"),
    }
}

#[tokio::test]
async fn whoever_asks_waits_in_its_order_and_moves_when_it_is_looked_at() {
    let (_root, _provider, driver) = pool(1);
    let asks = [ask(), ask(), ask()];
    let first = place(&driver, &asks[0]).await;
    let (second, third) = (queue(&driver, &asks[1]).await, queue(&driver, &asks[2]).await);
    assert_eq!((second.position, third.position), (Some(1), Some(2)));
    assert!(second.reason.contains("all 1 places") && second.expected_at.is_some(), "{second:?}");
    // Asking again neither moves it forward nor back.
    assert_eq!(queue(&driver, &asks[2]).await, third);
    let ids = [second.provider_lease_id.unwrap(), third.provider_lease_id.unwrap()];
    done(driver.release(&held(&asks[0], &first), Outcome::Released).await);
    let seen = done(driver.observe(&ids).await);
    assert!(matches!(seen[&ids[0]], Seen::Held(_)), "{seen:?}");
    assert!(matches!(&seen[&ids[1]], Seen::Queued(queue) if queue.position == Some(1)), "{seen:?}");
    assert_eq!(place(&driver, &asks[1]).await, ids[0], "it is what it stood in the queue for");
    // One that leaves the queue makes room behind it.
    let fourth = ask();
    assert_eq!(queue(&driver, &fourth).await.position, Some(2));
    done(driver.release(&Held { provider_lease_id: None, ..held(&asks[2], "") }, Outcome::Failed).await);
    assert_eq!(queue(&driver, &fourth).await.position, Some(1));
}

#[tokio::test]
async fn an_extension_is_given_or_the_latest_end_is_told() {
    let (_root, provider, driver) = pool(1);
    let ask = ask();
    let held = held(&ask, &place(&driver, &ask).await);
    let now = provider.now();
    let latest = now.plus(LONGEST_MS);
    assert_eq!(done(driver.extend(&held, now.plus(900_000)).await), Extended::Until(now.plus(900_000)));
    assert_eq!(done(driver.extend(&held, latest.plus(1)).await), Extended::Refused { latest });
    assert_eq!(done(driver.extend(&held, latest).await), Extended::Until(latest));
    // A repeated and late question for less shortens nothing.
    assert_eq!(done(driver.extend(&held, now.plus(1)).await), Extended::Until(latest));
}

#[tokio::test]
async fn a_place_is_taken_back_at_its_end_and_given_to_who_waits() {
    let (_root, provider, driver) = pool(1);
    let asks = [ask(), ask()];
    let ids = [place(&driver, &asks[0]).await, queue(&driver, &asks[1]).await.provider_lease_id.unwrap()];
    provider.pass(599_999);
    assert!(matches!(done(driver.observe(&ids).await)[&ids[0]], Seen::Held(_)));
    provider.pass(1);
    let seen = done(driver.observe(&ids).await);
    assert_eq!(seen[&ids[0]], Seen::Gone);
    assert!(matches!(seen[&ids[1]], Seen::Held(_)), "{seen:?}");
    assert_eq!(done(driver.resume(&ask(), &ids[0], &json!({})).await), Resumed::Gone);
    done(driver.release(&held(&asks[0], &ids[0]), Outcome::Expired).await);
    let now = provider.now();
    assert!(matches!(driver.extend(&held(&asks[0], &ids[0]), now).await, Answer::Refused { .. }));
}

#[tokio::test]
async fn a_hundred_leases_are_told_in_one_call() {
    let (_root, provider, driver) = pool(60);
    let mut ids = Vec::new();
    for _ in 0..100 {
        match done(driver.acquire(&ask()).await) {
            Acquired::Held(place) => ids.extend(place.provider_lease_id),
            Acquired::Queued(queue) => ids.extend(queue.provider_lease_id),
        }
    }
    ids.push("never".into());
    let before = provider.world().calls.get("observe").copied().unwrap_or(0);
    let seen = done(driver.observe(&ids).await);
    assert_eq!(provider.world().calls["observe"], before + 1);
    let held = seen.values().filter(|seen| matches!(seen, Seen::Held(_))).count();
    let queued = seen.values().filter(|seen| matches!(seen, Seen::Queued(_))).count();
    assert_eq!((held, queued, seen["never"].clone()), (60, 40, Seen::Gone));
}

#[tokio::test]
async fn a_lost_controller_is_unknown_and_found_again_with_everything() {
    let (_root, provider, driver) = pool(1);
    let asks = [ask(), ask()];
    let ids = [place(&driver, &asks[0]).await, queue(&driver, &asks[1]).await.provider_lease_id.unwrap()];
    let held = held(&asks[0], &ids[0]);
    let now = provider.now();
    provider.lose(true);
    let told = [
        driver.acquire(&asks[1]).await.map(drop),
        driver.resume(&ask(), &ids[0], &json!({})).await.map(drop),
        driver.extend(&held, now).await.map(drop),
        driver.observe(&ids).await.map(drop),
        driver.list(&held, "run/none/1").await.map(drop),
        driver.release(&held, Outcome::Released).await,
        driver.destroy(&held).await,
        driver.probe().await.map(drop),
    ];
    for answer in told {
        assert!(matches!(&answer, Answer::Unknown { evidence } if evidence.contains("controller")), "{answer:?}");
    }
    provider.lose(false);
    let seen = done(driver.observe(&ids).await);
    assert!(matches!((&seen[&ids[0]], &seen[&ids[1]]), (Seen::Held(_), Seen::Queued(_))), "{seen:?}");
}

#[tokio::test]
async fn releases_that_fail_a_few_times_succeed_in_the_end() {
    let (_root, provider, driver) = pool(1);
    let ask = ask();
    let held = held(&ask, &place(&driver, &ask).await);
    provider.fail_releases(5);
    for _ in 0..5 {
        let answer = driver.release(&held, Outcome::Released).await;
        assert!(matches!(&answer, Answer::Refused { code, .. } if code == "lease_release_failed"), "{answer:?}");
        assert_eq!(provider.ids().len(), 1, "it is still there");
    }
    done(driver.release(&held, Outcome::Released).await);
    assert_eq!(provider.ids().len(), 0);
}

#[tokio::test]
async fn a_slow_engine_is_waited_for_and_a_dropped_call_changes_nothing_by_halves() {
    let (_root, provider, driver) = pool(1);
    let ask = ask();
    provider.slow_down(Duration::from_millis(80));
    let late = tokio::time::timeout(Duration::from_millis(10), driver.acquire(&ask)).await;
    assert!(late.is_err() && provider.ids().is_empty(), "{late:?}");
    let began = Instant::now();
    let id = place(&driver, &ask).await;
    assert!(began.elapsed() >= Duration::from_millis(80));
    assert_eq!(provider.ids(), [id]);
}
