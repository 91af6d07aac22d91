//! One core on a bench, asked about environments.

mod by_hand;
mod from_config;
mod looked_at;
mod removed;

use serde_json::{Value, json};
use wharf_model::config::{EnvironmentConfig, SecretConfig};
use wharf_model::state::Change;
use wharf_model::*;

use crate::dispatch::input::{ConfigRead, Fact, Input, Prepared};
use crate::dispatch::simulate::bench::Bench;
use crate::dispatch::simulate::setup;
use crate::environment::driver::Check;

/// A core in which nobody has made an environment yet.
fn bench() -> Bench {
    let mut bench = Bench::new(8);
    bench.state.environments.clear();
    bench.state.counters.remove("environment");
    bench
}

/// Asks without a target; gives the row as it was answered.
fn ask(bench: &mut Bench, kind: &str, args: Value) -> RequestRow {
    let row = bench.request(kind, |r| r.args = args);
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
    bench.state.requests[&row.id].clone()
}

fn accept(bench: &mut Bench, read: ConfigRead) -> RequestRow {
    let row = bench.request("config.accept", |_| {});
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Config(Box::new(read))));
    bench.state.requests[&row.id].clone()
}

/// Activities of the last decision: word and details.
fn told(bench: &Bench) -> Vec<(String, Value)> {
    let is = |c: &Change| match c {
        Change::Activity(a) => Some((a.action.clone(), a.details.clone().unwrap_or_default())),
        _ => None,
    };
    bench.changes.iter().filter_map(is).collect()
}

fn words(bench: &Bench) -> Vec<String> {
    told(bench).into_iter().map(|(word, _)| word).collect()
}

fn refusal(row: &RequestRow) -> (&str, &str) {
    assert_eq!(row.status, RequestStatus::Refused, "{row:?}");
    (row.error_code.as_deref().unwrap(), row.error.as_deref().unwrap())
}

fn named<'a>(bench: &'a Bench, name: &str) -> &'a EnvironmentRow {
    bench.state.environments.values().filter(|e| e.name == name).max_by_key(|e| e.number).unwrap()
}

fn ssh(bench: &mut Bench, name: &str) -> EnvironmentRow {
    let args = json!({ "name": name, "driver": "ssh", "config": { "host": "box", "port": 22 } });
    let row = ask(bench, "environment.create", args);
    assert_eq!(row.status, RequestStatus::Done, "{row:?}");
    named(bench, name).clone()
}

/// A lease of an environment in a state that a driver left it in.
fn lease(bench: &mut Bench, environment: &EnvironmentRow, status: LeaseStatus) -> LeaseId {
    let number = bench.state.leases.len() as i64 + 1;
    let id = LeaseId(uuid::Uuid::from_u128(0xaaaa_0000 + number as u128));
    let row = LeaseRow::asked(id, number, environment, status, bench.now);
    bench.state.leases.insert(id, LeaseRow { version: 1, fence: Some(number), ..row });
    id
}

fn wanted(name: &str, driver: Driver, config: Value) -> EnvironmentConfig {
    EnvironmentConfig {
        name: name.into(),
        driver,
        lease_policy: LeasePolicy::Ephemeral,
        slots: Some(2),
        ttl_ms: 600_000,
        keep_ms: 86_400_000,
        config: config.as_object().cloned().unwrap().into_iter().collect(),
    }
}

fn with(key: &str, environments: Vec<EnvironmentConfig>) -> ConfigRead {
    let mut read = setup::config(key);
    read.config.environments = environments;
    read
}
