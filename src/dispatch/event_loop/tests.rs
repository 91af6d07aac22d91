//! The loop on a real store, one turn after the other.

use std::sync::{Arc, Mutex};

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;
use wharf_model::{
    ActionKind, ActionRow, ActorType, IssueId, RequestOrigin, RequestRow, RequestStatus, RunId, UnixMillis,
};
use wharf_store::{NewRequest, Reader, RequestSender};

use super::*;
use crate::dispatch::election::{self, Election};
use crate::dispatch::input::{Fact, Known};
use crate::dispatch::perform::Job;
use crate::dispatch::simulate::setup;

/// Keeps what it is to perform, and does nothing; work beside the loop is kept and not done.
#[derive(Clone, Default)]
struct Notes {
    performed: Arc<Mutex<Vec<ActionRow>>>,
    beside: Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>,
}

impl Perform for Notes {
    fn perform(&self, action: ActionRow, _job: Job) {
        self.performed.lock().unwrap().push(action);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.beside.lock().unwrap().push(work);
    }
}

/// Every project is this one.
struct Solo;

impl Prepare for Solo {
    fn prepare(&self, _row: &RequestRow, _known: &BTreeMap<wharf_model::ProjectId, Known>) -> Prepared {
        setup::prepared("SOLO")
    }
}

struct Desk {
    data: TempDir,
    looped: Option<Loop>,
    notes: Notes,
}

impl Desk {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        wharf_store::prepare_directory(data.path()).unwrap();
        let mut desk = Self { data, looped: None, notes: Notes::default() };
        desk.reign();
        desk.ask("config.accept", None, json!({ "path": "/p/SOLO" }));
        desk.read_files();
        desk.turn();
        desk
    }

    fn reign(&mut self) {
        self.looped = None;
        let Election::Won(elected) = election::stand(self.data.path(), 0).unwrap() else { panic!("somebody reigns") };
        let setup = Setup { data: self.data.path().to_owned(), concurrent_runs: 4, began_by: None };
        let notes = self.notes.clone();
        let mut looped = Loop::begin(setup, elected, Arc::new(Solo), |_, _| notes).unwrap();
        looped.adopted = true;
        self.looped = Some(looped);
    }

    fn looped(&mut self) -> &mut Loop {
        self.looped.as_mut().unwrap()
    }

    /// One turn with what waits in the store and in the queue.
    fn turn(&mut self) {
        let looped = self.looped();
        looped.data_version = None;
        let mut envelopes = vec![Envelope::Wake];
        looped.own_told = looped.own.len();
        envelopes.extend(looped.own.iter().map(|i| Envelope::Input(i.clone(), None)));
        while let Ok(envelope) = looped.receiver.try_recv() {
            envelopes.push(envelope);
        }
        looped.turn(envelopes).unwrap();
    }

    /// Does what waits beside the loop.
    fn read_files(&mut self) {
        self.turn();
        let work = std::mem::take(&mut *self.notes.beside.lock().unwrap());
        for work in work {
            work();
        }
    }

    fn ask(
        &mut self,
        kind: &'static str,
        target: Option<(&'static str, String)>,
        args: serde_json::Value,
    ) -> RequestId {
        self.ask_until(kind, target, args, clock::now().plus(30_000))
    }

    fn ask_until(
        &mut self,
        kind: &'static str,
        target: Option<(&'static str, String)>,
        args: serde_json::Value,
        expires_at: UnixMillis,
    ) -> RequestId {
        let now = clock::now();
        let request = NewRequest {
            kind: kind.to_owned(),
            target_type: target.as_ref().map(|t| t.0.to_owned()),
            target_id: target.map(|t| t.1),
            args,
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: "mo".into(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            expires_at,
            now,
        };
        RequestSender::open(self.data.path()).unwrap().send(&request).unwrap().id
    }

    fn request(&self, id: RequestId) -> RequestRow {
        Reader::open(self.data.path()).unwrap().request(id).unwrap().unwrap()
    }
}

#[test]
fn what_the_store_refuses_is_neither_answered_nor_left_waiting() {
    let mut desk = Desk::new();
    let project = setup::config("SOLO").project_uuid;
    let first = desk.ask("issue.create", Some(("project", project.text())), json!({ "title": "one" }));
    desk.turn();
    assert_eq!(desk.request(first).status, RequestStatus::Done);
    // Memory has forgotten that SOLO-1 is there.
    let state = &mut desk.looped().state;
    state.counters.retain(|name, _| !name.starts_with("issue"));
    state.projects.get_mut(&project).unwrap().issue_counter = 0;
    let second = desk.ask("issue.create", Some(("project", project.text())), json!({ "title": "two" }));
    let (reply, mut told) = oneshot::channel();
    let finding = "damage in page 7".to_owned();
    let fact = Envelope::Input(Input::Fact(Fact::StoreDamageFound { finding }), Some(reply));
    let _ = desk.looped().inbox.sender.try_send(fact);
    desk.turn();
    assert!(told.try_recv().is_ok(), "the rest of the batch is durable");
    let refused = desk.request(second);
    assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("internal")));
    // Memory is what the store holds again: the next one gets its number.
    let third = desk.ask("issue.create", Some(("project", project.text())), json!({ "title": "three" }));
    desk.turn();
    assert_eq!(desk.request(third).result.unwrap()["issue"], "SOLO-2");
}

#[test]
fn a_fact_that_the_store_refuses_is_told_again() {
    let mut desk = Desk::new();
    desk.ask("run.start", None, json!({ "agent": "plain", "path": "/p/SOLO" }));
    desk.read_files();
    desk.turn();
    let (lease, version) = desk.looped().state.leases.values().map(|l| (l.id, l.version)).next().unwrap();
    let action = desk.looped().state.actions.values().find(|a| a.kind == ActionKind::AcquireLease).unwrap().id;
    // Memory has another row than the store.
    desk.looped().state.leases.get_mut(&lease).unwrap().version += 5;
    let granted = Fact::LeaseAcquired {
        action,
        lease,
        provider_lease_id: None,
        expires_at: None,
        facts: serde_json::Value::Null,
        provider: "local".into(),
        resumed: false,
    };
    for written in [false, true] {
        let (reply, mut told) = oneshot::channel();
        let _ = desk.looped().inbox.sender.try_send(Envelope::Input(Input::Fact(granted.clone()), Some(reply)));
        desk.turn();
        assert_eq!(told.try_recv().is_ok_and(|told| !told.refused), written);
        let realised = desk.notes.performed.lock().unwrap().iter().any(|a| a.kind == ActionKind::RealiseWorkspace);
        assert_eq!(realised, written, "what was not written has no effect");
    }
    assert!(desk.looped().state.leases[&lease].version > version);
}

#[test]
fn a_stop_that_overtakes_a_start_is_the_last_word() {
    let mut desk = Desk::new();
    let id = |desk: &mut Desk, name: &str| {
        desk.looped().state.services.values().find(|s| s.name == name).map(|s| s.id).unwrap()
    };
    let (web, db) = (id(&mut desk, "web"), id(&mut desk, "db"));
    let start = desk.ask("service.start", Some(("service", web.text())), json!({}));
    let other = desk.ask("service.start", Some(("service", db.text())), json!({}));
    desk.turn();
    let stop = desk.ask("service.stop", Some(("service", web.text())), json!({}));
    desk.turn();
    assert_eq!(desk.request(stop).error_code.as_deref(), Some("illegal_state"), "nothing of it runs yet");
    desk.read_files();
    desk.turn();
    let refused = desk.request(start);
    assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("illegal_state")));
    assert_eq!(desk.request(other).status, RequestStatus::Accepted);
    let status = |desk: &mut Desk, id| desk.looped().state.services[&id].status;
    assert_eq!(status(&mut desk, web), wharf_model::ServiceStatus::Stopped);
    // One that is asked for after a stop counts.
    desk.ask("service.set_desired", Some(("service", web.text())), json!({ "desired": "stopped" }));
    desk.turn();
    let again = desk.ask("service.start", Some(("service", web.text())), json!({}));
    desk.read_files();
    desk.turn();
    assert_eq!(desk.request(again).status, RequestStatus::Accepted);
}

#[test]
fn a_start_that_was_overtaken_stays_so_over_the_end_of_the_reign() {
    let mut desk = Desk::new();
    let web = desk.looped().state.services.values().find(|s| s.name == "web").map(|s| s.id).unwrap();
    // By its id, and by its name in the project.
    let by_id = desk.ask("service.start", Some(("service", web.text())), json!({}));
    let by_name = desk.ask("service.start", None, json!({ "service": "web", "path": "/p/SOLO" }));
    let db = desk.ask("service.start", None, json!({ "service": "db", "path": "/p/SOLO" }));
    desk.turn();
    let stop = desk.ask("service.stop", Some(("service", web.text())), json!({}));
    desk.turn();
    assert_eq!(desk.request(stop).status, RequestStatus::Refused, "nothing of it runs yet");
    // What was read is lost with the reign.
    desk.notes.beside.lock().unwrap().clear();
    desk.reign();
    desk.read_files();
    desk.turn();
    for start in [by_id, by_name] {
        let refused = desk.request(start);
        assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("illegal_state")));
    }
    assert_eq!(desk.request(db).status, RequestStatus::Accepted, "nobody stopped that one");
    assert_eq!(desk.looped().state.services[&web].status, wharf_model::ServiceStatus::Stopped);
    // Nor does a stop that was never heard stop anything.
    let again = desk.ask("service.start", Some(("service", web.text())), json!({}));
    desk.turn();
    desk.ask_until("service.stop", Some(("service", web.text())), json!({}), clock::now());
    desk.turn();
    desk.notes.beside.lock().unwrap().clear();
    desk.reign();
    desk.read_files();
    desk.turn();
    assert_eq!(desk.request(again).status, RequestStatus::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_the_store_refuses_for_ever_is_given_up() {
    let (sender, mut receiver) = mpsc::channel(4);
    let refusing = tokio::spawn(async move {
        let mut told = 0;
        while let Some(Envelope::Input(_, Some(reply))) = receiver.recv().await {
            told += 1;
            let _gone = reply.send(Told { refused: true, ..Told::default() });
        }
        told
    });
    let inbox = Inbox { sender };
    assert!(!inbox.tell(Fact::StoreDamageFound { finding: "x".into() }).await.refused);
    drop(inbox);
    assert_eq!(refusing.await.unwrap(), 5);
}

#[test]
fn a_reign_ends_by_a_request_only_when_that_was_accepted() {
    let mut desk = Desk::new();
    let late = desk.ask_until("orchestrator.stop", None, json!({}), UnixMillis(5));
    desk.turn();
    assert_eq!((desk.request(late).status, desk.looped().stop), (RequestStatus::Expired, false));
    let asked = desk.ask("orchestrator.stop", None, json!({}));
    desk.turn();
    assert_eq!((desk.request(asked).status, desk.looped().stop), (RequestStatus::Done, true));
}

#[test]
fn a_request_whose_files_are_not_read_in_time_expires() {
    let mut desk = Desk::new();
    let asked = desk.ask_until("config.accept", None, json!({ "path": "/dead/mount" }), clock::now().plus(1_500));
    desk.turn();
    assert_eq!(desk.looped().publish.borrow().busy, 1);
    std::thread::sleep(Duration::from_millis(1_550));
    let _ = desk.looped().inbox.sender.try_send(Envelope::Input(Input::Sweep, None));
    desk.turn();
    let expired = desk.request(asked);
    assert_eq!((expired.status, expired.error_code.as_deref()), (RequestStatus::Expired, Some("request_expired")));
    assert_eq!(desk.looped().publish.borrow().busy, 0, "nobody waits for it any more");
    // Read after all: nothing is done about it.
    let before = desk.looped().commits;
    desk.read_files();
    desk.turn();
    assert_eq!(desk.looped().commits, before);
    assert_eq!(desk.request(asked), expired);
}

#[test]
fn a_request_about_a_row_that_cannot_be_read_is_refused() {
    let mut desk = Desk::new();
    let started = desk.ask("run.start", None, json!({ "agent": "plain", "path": "/p/SOLO" }));
    desk.read_files();
    desk.turn();
    let run = desk.request(started).result.unwrap()["run_id"].as_str().unwrap().to_owned();
    let cancelled = desk.ask("run.cancel", Some(("run", run.clone())), json!({}));
    desk.turn();
    let action =
        desk.notes.performed.lock().unwrap().iter().find(|a| a.kind == ActionKind::AcquireLease).unwrap().clone();
    let lease = action.entity_id.parse().unwrap();
    for fact in [
        Fact::LeaseAcquired {
            action: action.id,
            lease,
            provider_lease_id: None,
            expires_at: None,
            facts: serde_json::Value::Null,
            provider: "local".into(),
            resumed: false,
        },
        Fact::ActionDone { action: action.id },
    ] {
        let _ = desk.looped().inbox.sender.try_send(Envelope::Input(Input::Fact(fact), None));
        desk.turn();
    }
    let open: Vec<ActionRow> = desk.looped().state.actions.values().cloned().collect();
    for action in open {
        let fact = Fact::LeaseReleased { action: action.id, lease };
        let _ = desk.looped().inbox.sender.try_send(Envelope::Input(Input::Fact(fact), None));
        desk.turn();
    }
    assert_eq!(desk.request(cancelled).status, RequestStatus::Done);
    assert!(desk.looped().state.runs.is_empty(), "it has ended and left memory");
    // One word of its row becomes another of the same length, which nobody knows.
    desk.looped = None;
    let path = desk.data.path().join("wharf.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let word = b"on_demand";
    let places: Vec<usize> = (0..bytes.len() - word.len()).filter(|i| bytes[*i..].starts_with(word)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + word.len()].copy_from_slice(b"on_demanX");
    }
    std::fs::write(&path, bytes).unwrap();
    desk.reign();
    let asked = desk.ask("run.cancel", Some(("run", run.clone())), json!({}));
    let late = desk.ask_until("run.cancel", Some(("run", run.clone())), json!({}), UnixMillis(5));
    let run: RunId = run.parse().unwrap();
    let fact = Fact::RunObserved { run, attempt: 1, unknown: None };
    let _ = desk.looped().inbox.sender.try_send(Envelope::Input(Input::Fact(fact), None));
    desk.turn();
    let refused = desk.request(asked);
    assert_eq!((refused.status, refused.error_code.as_deref()), (RequestStatus::Refused, Some("store_damaged")));
    assert_eq!(desk.request(late).status, RequestStatus::Expired);
}

#[test]
fn what_cannot_be_performed_fails_whatever_the_queue_holds() {
    let mut desk = Desk::new();
    let id = ActionId(Uuid::now_v7());
    let looped = desk.looped();
    let row = ActionRow {
        id,
        kind: ActionKind::StartService,
        entity_type: "service".into(),
        entity_id: IssueId(Uuid::now_v7()).text(),
        attempt: 1,
        fence: None,
        epoch_created: 1,
        status: ActionStatus::Performing,
        tries: 1,
        next_try_at: None,
        last_error: None,
        args: None,
        version: 0,
        created_at: UnixMillis(1),
        updated_at: UnixMillis(1),
    };
    let mut tx = wharf_model::state::Tx::new(&mut looped.state, clock::now());
    tx.put(row);
    let decided = tx.finish().unwrap();
    looped.commit(vec![Pending::of(decided)]).unwrap();
    assert_eq!(looped.own.len(), 1);
    desk.turn();
    assert_eq!(desk.looped().own.len(), 0);
    let action = &desk.looped().state.actions[&id];
    assert_eq!((action.status, action.tries), (ActionStatus::Pending, 2));
}

#[test]
fn a_deadline_that_is_near_is_not_kept_waiting_by_a_large_journal() {
    let mut desk = Desk::new();
    let looped = desk.looped();
    looped.untidy = true;
    assert_eq!(looped.patience(), Some(TIDY));
    desk.ask_until("config.accept", None, json!({ "path": "/dead/mount" }), clock::now().plus(300));
    desk.turn();
    desk.looped().untidy = true;
    assert!(desk.looped().patience().unwrap() <= Duration::from_millis(300));
}
