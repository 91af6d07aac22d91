//! Leases: obtained, obtained again, kept, found again, given back.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_model::{CompanyId, EnvironmentId, LeaseId, LeasePolicy, RunId, UnixMillis, WorkspaceId};

use super::super::facts;
use super::super::hello::method;
use super::super::params;
use super::{Bench, commands};
use crate::environment::driver::{AcquireAsk, Acquired, Extended, Held, Place, RealiseAsk, Resumed, Seen};

/// Time that it may stand in the provider's queue.
const QUEUE_LIMIT: Duration = Duration::from_mins(1);

/// A lease that is tried.
#[derive(Clone)]
pub(super) struct Tried {
    ask: AcquireAsk,
    place: Place,
}

impl Tried {
    /// Its provider id.
    fn id(&self) -> String {
        self.place.provider_lease_id.clone().unwrap_or_default()
    }

    fn held(&self) -> Held {
        held(&self.ask, self.place.provider_lease_id.clone(), self.place.facts.clone())
    }

    /// It, as it goes with a call.
    pub(super) fn params(&self) -> Value {
        params::held(&self.held())
    }
}

fn held(ask: &AcquireAsk, provider_lease_id: Option<String>, facts: Value) -> Held {
    Held {
        lease: ask.lease,
        number: ask.number.clone(),
        fence: ask.fence,
        environment: ask.environment,
        policy: ask.policy,
        provider_lease_id,
        facts,
    }
}

fn fresh(bench: &Bench) -> AcquireAsk {
    AcquireAsk {
        lease: LeaseId(Uuid::now_v7()),
        number: "L-1".into(),
        fence: 1,
        environment: EnvironmentId(Uuid::now_v7()),
        environment_name: "plugin check".into(),
        company: CompanyId(Uuid::now_v7()),
        policy: LeasePolicy::ReuseByEnvironment,
        run: Some(RunId(Uuid::now_v7())),
        issue: None,
        workspace: None,
        project: Some(bench.plan.project.clone()),
        ttl_ms: 600_000,
    }
}

/// Acquires, waits in its queue, acquires again.
pub(super) async fn obtain(bench: &mut Bench) -> Option<Tried> {
    let ask = fresh(bench);
    // From here on there may be something to give back, whatever is answered.
    let nothing = Place { provider_lease_id: None, expires_at: None, facts: Value::Null };
    bench.held = Some(Tried { ask: ask.clone(), place: nothing });
    let until = tokio::time::Instant::now() + QUEUE_LIMIT;
    let place = loop {
        let answer = bench.want("acquire", method::ACQUIRE, params::asked(&ask)).await?;
        match facts::acquired(&answer, &bench.driver) {
            Ok(Acquired::Held(place)) => break place,
            Ok(Acquired::Queued(queue)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                tracing::debug!("queued: {}", queue.reason);
            }
            Ok(Acquired::Queued(queue)) => {
                bench.warn(
                    "acquire",
                    format!("it stays in the queue: {}", queue.reason),
                    "free a place, and try again",
                );
                return None;
            }
            Err(words) => {
                bench.error("acquire", words, "answer { providerLeaseId, expiresAt?, metadata? } or { pending }");
                return None;
            }
        }
    };
    let tried = Tried { ask, place };
    bench.held = Some(tried.clone());
    bench.ok("acquire", format!("it gave {}", tried.id()));
    if let Some(answer) = bench.want("acquire_again", method::ACQUIRE, params::asked(&tried.ask)).await {
        let same = match facts::acquired(&answer, &bench.driver) {
            Ok(Acquired::Held(place)) if place.provider_lease_id == tried.place.provider_lease_id => {
                Ok("the same lease gets the same place".to_owned())
            }
            other => Err(format!("asked again for the same lease it says {other:?}")),
        };
        bench.note("acquire_again", same, "derive the place from leaseId: after a crash nobody knows the last answer");
    }
    Some(tried)
}

/// Looks at what is held and makes a workspace; the directory to run in.
pub(super) async fn prepare(bench: &mut Bench, tried: &Tried) -> String {
    let odd = "no-place-has-this-id";
    let asked = json!({ "providerLeaseIds": [tried.id(), odd] });
    if let Some(answer) = bench.want("observe", method::OBSERVE, asked).await {
        let seen = facts::observed(&answer).and_then(|seen| match (seen.get(&tried.id()), seen.get(odd)) {
            (_, Some(Seen::Held(_) | Seen::Queued(_))) => Err("an id that never was is said to be held".to_owned()),
            (Some(Seen::Held(_)), _) => Ok("two places are told in one call".to_owned()),
            (other, _) => Err(format!("a place that is held is said to be {other:?}")),
        });
        bench.note("observe", seen, "answer { leases: { id: { state: held | queued | gone } } }");
    }
    let until = crate::clock::now().plus(60_000);
    let asked = json!({ "lease": tried.params(), "until": until.rfc3339() });
    if let Some(answer) = bench.want("extend", method::EXTEND, asked).await {
        let extended = facts::extended(&answer).and_then(|extended| match extended {
            Extended::Until(at) if at < UnixMillis(until.0 - 1_000) => {
                Err("it grants less than it was asked".to_owned())
            }
            Extended::Until(_) => Ok("it grants a minute more".to_owned()),
            Extended::Refused { latest } => Ok(format!("it refuses, and says until when: {}", latest.rfc3339())),
        });
        bench.note("extend", extended, "answer { expiresAt }, or { ok: false, latest }");
    }
    let mut cwd = tried.place.facts["metadata"]["remoteCwd"].as_str().unwrap_or("/tmp").to_owned();
    for code in ["realize", "realize_again"] {
        let asked = json!({ "lease": tried.params(), "workspace": params::workspace(&workspace(bench)) });
        let Some(answer) = bench.want(code, method::REALISE, asked).await else { break };
        let realised = facts::realised(&answer).and_then(|realised| {
            let words = format!("commands run in {}", realised.cwd);
            let again = code == "realize_again" && realised.cwd != cwd;
            cwd.clone_from(&realised.cwd);
            if again { Err("asked again it names another directory".to_owned()) } else { Ok(words) }
        });
        bench.note(code, realised, "answer { cwd: \"/…\", sync?, metadata? }, the same when asked again");
    }
    let asked = json!({ "lease": tried.params(), "workspace": { "cwd": cwd } });
    if let Some(answer) = bench.want("target", method::TARGET, asked).await {
        let target =
            facts::target(&answer).map(|(dirs, _)| format!("{} directories have another name there", dirs.len()));
        bench.note("target", target, "answer { dirs?: [{ here, there }], metadata? }");
    }
    cwd
}

fn workspace(bench: &Bench) -> RealiseAsk {
    RealiseAsk {
        run: None,
        attempt: 1,
        workspace: WorkspaceId(Uuid::nil()),
        mode: "shared_workspace".into(),
        cwd: bench.plan.project.clone(),
        root: None,
        git_common_dir: None,
        branch: None,
        base_commit: None,
        timeout_ms: bench.plan.timeout.as_millis() as u64,
    }
}

/// Brings back, lays by, finds again, releases, destroys; each twice where it may be.
pub(super) async fn give_back(bench: &mut Bench, tried: &Tried, cwd: &str) {
    let workspace = params::joined(params::workspace(&workspace(bench)), json!({ "cwd": cwd }));
    if let Some(answer) =
        bench.want("collect", method::COLLECT, json!({ "lease": tried.params(), "workspace": workspace })).await
    {
        let brought =
            facts::collected(&answer).map(|c| format!("changed: {}, {} warnings", c.changed, c.warnings.len()));
        bench.note("collect", brought, "answer { changed, metadata?, warnings? }");
    }
    let mut tried = tried.clone();
    if bench.has(method::RESUME) {
        let executes = bench.has(method::EXECUTE);
        if executes {
            let _told_below = commands::prints(bench, &tried, cwd, "echo kept > wharf-check-kept").await;
        }
        let kept = json!({ "lease": tried.params(), "outcome": "kept" });
        bench.want("keep", method::RELEASE, kept).await;
        let next = fresh(bench);
        let resumed = resume(bench, &next, &tried).await;
        if let Ok(Some(place)) = &resumed {
            tried = Tried { ask: next, place: place.clone() };
            bench.held = Some(tried.clone());
        }
        let found = resumed.and_then(|place| match place {
            Some(_) => Ok("what was kept is found again by another lease".to_owned()),
            None => Err("what was just kept is said to be gone".to_owned()),
        });
        let hint = "release with outcome kept throws nothing away";
        bench.note("resume", found, hint);
        if executes {
            let kept = commands::prints(bench, &tried, cwd, "cat wharf-check-kept").await;
            bench.note("kept_files", kept.map(|_| "what was written before is there".to_owned()), hint);
        }
    }
    for (code, name, more) in [
        ("release", method::RELEASE, json!({ "outcome": "released" })),
        ("release_again", method::RELEASE, json!({ "outcome": "released" })),
        ("destroy", method::DESTROY, json!({})),
        ("destroy_again", method::DESTROY, json!({})),
    ] {
        if bench.want(code, name, params::joined(json!({ "lease": tried.params() }), more)).await.is_some() {
            bench.ok(code, "done");
        }
    }
    bench.held = None;
    let never = fresh(bench);
    let unanswered = params::held(&held(&never, None, Value::Null));
    if bench
        .want("release_unknown", method::RELEASE, json!({ "lease": unanswered, "outcome": "released" }))
        .await
        .is_some()
    {
        bench.ok("release_unknown", "releasing what never was is done");
    }
    if bench.has(method::RESUME) {
        let gone = resume(bench, &never, &tried).await.and_then(|place| match place {
            None => Ok("what was given back is gone for certain".to_owned()),
            Some(_) => Err("what was given back can be resumed".to_owned()),
        });
        bench.note("resume_gone", gone, "answer providerLeaseId: null where it is certain");
    }
}

/// Gives back what is held, when nothing more is tried.
pub(super) async fn abandon(bench: &mut Bench) {
    let Some(tried) = bench.held.take() else { return };
    bench.warn("left_out", "the check was broken off; what it held is given back", "run it to its end");
    let lease = json!({ "lease": tried.params(), "outcome": "released" });
    bench.want("release", method::RELEASE, lease.clone()).await;
    bench.want("destroy", method::DESTROY, lease).await;
}

async fn resume(bench: &mut Bench, next: &AcquireAsk, earlier: &Tried) -> Result<Option<Place>, String> {
    let asked = json!({ "providerLeaseId": earlier.id(), "metadata": earlier.place.facts["metadata"] });
    let answer = bench.ask(method::RESUME, params::joined(params::asked(next), asked)).await?;
    match facts::resumed(&answer.ok_or("it is not implemented")?, &bench.driver)? {
        Resumed::Held(place) => Ok(Some(place)),
        Resumed::Gone => Ok(None),
    }
}
