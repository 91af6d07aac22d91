//! What the processes of services on the screen take, and who listens on their ports. Looking may take long, so it
//! is done beside the answers, which tell what the last look found.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wharf_model::ServiceId;
use wharf_model::rules::port_board::{Heard, Look, PortRow, PortState, board};
use wharf_store::view::ServicePort;
use wharf_ui::rows::ServiceFigures;

use super::events::{Event, Sender};
use crate::clock;
use crate::process::usage::Sample;
use crate::service::board as machine;
use crate::service::figures::{Start, samples, usages};

/// Services measured, at most: more do not fit on a screen.
const SHOWN_MAX: usize = 100;
/// Time between two measurements of the same services.
const MEASURE_PACE: Duration = Duration::from_secs(2);
/// Time between two looks at the same ports.
const PORTS_PACE: Duration = Duration::from_secs(5);
/// Time between two looks of which the later one is at something else.
const NEW_PACE: Duration = Duration::from_millis(500);

/// Services that are shown, with what was last seen of them.
#[derive(Debug, Clone)]
pub struct ServiceLooks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    data: PathBuf,
    state: Mutex<State>,
    come: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shown: Vec<Start>,
    /// The starts that were measured last, and when.
    measured: Vec<Start>,
    samples: BTreeMap<Start, Sample>,
    figures: HashMap<Start, ServiceFigures>,
    measured_at: Option<Instant>,
    ports: Vec<ServicePort>,
    /// The ports that were looked at, and when.
    looked: Vec<ServicePort>,
    looks: BTreeMap<u16, Look>,
    looked_at: Option<Instant>,
    wanted: bool,
}

impl State {
    fn measure_due(&self) -> bool {
        let pace = if self.shown == self.measured { MEASURE_PACE } else { NEW_PACE };
        !self.shown.is_empty() && self.measured_at.is_none_or(|at| at.elapsed() >= pace)
    }

    fn ports_due(&self) -> bool {
        let pace = if self.ports == self.looked { PORTS_PACE } else { NEW_PACE };
        !self.ports.is_empty() && self.looked_at.is_none_or(|at| at.elapsed() >= pace)
    }
}

impl ServiceLooks {
    /// Begins, with nothing to look at; what has changed is told as [`Event::StoreChanged`], since the rows that
    /// show it are to be asked for again.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(data: &Path, events: Sender) -> std::io::Result<Self> {
        let looks = Self::idle(data);
        let shared = Arc::clone(&looks.shared);
        std::thread::Builder::new().name("services".into()).spawn(move || watch(&shared, &events))?;
        Ok(looks)
    }

    /// One that never looks: for answers without a screen.
    pub fn idle(data: &Path) -> Self {
        let shared = Shared { data: data.to_owned(), state: Mutex::default(), come: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Says which starts of services are shown; gives what is known of their process trees.
    pub fn figures(&self, shown: &[Start]) -> Vec<(ServiceId, ServiceFigures)> {
        let mut state = self.shared.lock();
        state.shown = shown.iter().take(SHOWN_MAX).copied().collect();
        let kept = state.shown.clone();
        state.samples.retain(|start, _| kept.contains(start));
        state.figures.retain(|start, _| kept.contains(start));
        let known = shown.iter().filter_map(|s| Some((s.0, *state.figures.get(s)?))).collect();
        self.shared.wake(state);
        known
    }

    /// Says which ports services have or want; gives the board as the last look makes it.
    pub fn board(&self, ports: Vec<ServicePort>) -> Vec<PortRow> {
        let mut state = self.shared.lock();
        state.ports = ports;
        let rows = board(&machine::claims(&state.ports), &state.looks, clock::now());
        self.shared.wake(state);
        rows
    }

    /// Who of others listens on a port that a service has or wants, as the last look found it.
    pub fn strangers(&self) -> HashMap<i64, (u16, String)> {
        let state = self.shared.lock();
        let rows = board(&machine::claims(&state.looked), &state.looks, clock::now());
        let strangers = rows.into_iter().filter(|r| r.state == PortState::Stranger);
        strangers
            .filter_map(|r| Some((r.port, r.numbers, r.listener?)))
            .flat_map(|(port, numbers, who)| numbers.into_iter().map(move |n| (n, (port, who.clone()))))
            .collect()
    }

    /// They are still on the screen: looks again when it is time.
    pub fn look(&self) {
        self.shared.wake(self.shared.lock());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.wanted = true;
        drop(state);
        self.come.notify_one();
    }
}

fn watch(shared: &Shared, events: &Sender) {
    loop {
        let mut state = shared.lock();
        while !state.wanted {
            state = shared.come.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = false;
        let (measure, ports) = (state.measure_due(), state.ports_due());
        drop(state);
        let changed = (measure && measure_all(shared)) | (ports && look_all(shared));
        if changed && events.send(Event::StoreChanged).is_err() {
            return;
        }
    }
}

/// Measures what is shown; whether it shows anything else than before.
fn measure_all(shared: &Shared) -> bool {
    let shown = shared.lock().shown.clone();
    let found = samples(&shared.data, &shown);
    let mut state = shared.lock();
    state.measured_at = Some(Instant::now());
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "processes cannot be read; services are not measured");
            return false;
        }
    };
    let figures = usages(&state.samples, &found).into_iter().map(|(start, usage)| {
        let figures = ServiceFigures {
            cpu_permille: usage.cpu_permille,
            memory_bytes: usage.memory_bytes,
            processes: usage.processes,
        };
        (start, figures)
    });
    let figures: HashMap<Start, ServiceFigures> = figures.collect();
    let before = std::mem::replace(&mut state.figures, figures);
    (state.samples, state.measured) = (found, shown);
    state.figures != before
}

/// Looks at the ports; whether somebody else is heard than before, or one of ours was verified anew.
fn look_all(shared: &Shared) -> bool {
    let ports = shared.lock().ports.clone();
    let looks = machine::look(&shared.data, &ports, clock::now());
    let heard = |looks: &BTreeMap<u16, Look>| -> Vec<(u16, Heard)> {
        looks.iter().map(|(port, look)| (*port, look.heard.clone())).collect()
    };
    let ours = looks.values().any(|l| matches!(&l.heard, Heard::By(them) if them.iter().any(|t| t.of.is_some())));
    let mut state = shared.lock();
    let changed = ours || heard(&state.looks) != heard(&looks);
    (state.looks, state.looked, state.looked_at) = (looks, ports, Some(Instant::now()));
    changed
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use wharf_model::{ServiceStatus, UnixMillis};

    use super::*;
    use crate::console::events::mailbox;

    #[test]
    fn ports_are_looked_at_beside_the_question_and_a_stranger_is_told_of() {
        let data = tempfile::tempdir().unwrap();
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let wanted = ServicePort {
            id: ServiceId(uuid::Uuid::from_u128(7)),
            number: 7,
            name: "web".into(),
            project: None,
            workspace_number: None,
            status: ServiceStatus::Failed,
            generation: 1,
            port: None,
            fixed: Some(i64::from(port)),
            process_pid: None,
            last_used_at: UnixMillis(0),
        };
        let (sender, mut mailbox) = mailbox();
        let looks = ServiceLooks::start(data.path(), sender).unwrap();
        let rows = looks.board(vec![wanted.clone()]);
        assert_eq!(rows[0].state, PortState::Unknown, "nothing is waited for");
        let told = mailbox.next(Some(Duration::from_secs(20)));
        assert!(matches!(told, Some(Event::StoreChanged)), "{told:?}");
        assert_eq!(looks.board(vec![wanted])[0].state, PortState::Stranger);
        let (at, who) = looks.strangers().remove(&7).unwrap();
        assert_eq!(at, port);
        assert!(who.starts_with(&format!("pid {}", std::process::id())), "{who}");
        // A start without a shim has nothing to be measured.
        assert!(looks.figures(&[(ServiceId(uuid::Uuid::from_u128(7)), 1)]).is_empty());
    }
}
