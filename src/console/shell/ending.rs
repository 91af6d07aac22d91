//! How the console ends: by stopping everything first, and with a word about what goes on.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use wharf_model::RunStatus;
use wharf_store::view::{PAGE_LIMIT, RunFilter, RunQuery, ServiceQuery};
use wharf_store::{Reader, StoreError};
use wharf_ui::Msg;
use wharf_ui::effect::Request;
use wharf_ui::msg::Tone;

use super::{OWN_TAGS, Shell};
use crate::console::{background, terminal};

/// How long stopping everything may take beyond the longest grace, before the console ends anyway.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// Everything is being stopped.
pub(super) struct Stopping {
    pub(super) until: Instant,
    next_tag: u64,
}

/// Why the loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Left,
    Background,
    Stopped,
    NotStopped,
    Signal,
}

impl Shell {
    /// Asks for the end of every run and service; the loop ends when none is left.
    pub(super) fn stop_all(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let listed = Reader::open(&self.options.data).and_then(|reader| live_things(&reader, &self.project));
        let (runs, services, grace_ms) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.tell(Msg::Toast(Tone::Bad, format!("What runs cannot be listed, so nothing is stopped: {error}")));
                return;
            }
        };
        let grace = Duration::from_millis(u64::try_from(grace_ms).unwrap_or(0));
        let mut stopping = Stopping { until: Instant::now() + grace + STOP_LIMIT, next_tag: OWN_TAGS };
        let runs = runs.into_iter().map(|id| ("run.cancel", "run", id));
        let services = services.into_iter().map(|id| ("service.stop", "service", id));
        for (kind, of, id) in runs.chain(services) {
            self.requests.write(Request {
                tag: stopping.next_tag,
                kind: kind.to_owned(),
                target: Some((of, id)),
                args: serde_json::json!({}),
                expect: Vec::new(),
                title: String::new(),
            });
            stopping.next_tag += 1;
        }
        self.stopping = Some(stopping);
        self.banner(
            "stopping",
            Tone::Warn,
            "Stopping everything, then wharf ends".to_owned(),
            "q leaves at once; what is still alive then goes on until it has stopped".to_owned(),
        );
        self.refresh_due = true;
    }

    /// Gives everything back and says what goes on.
    pub(super) fn leave(self) -> u8 {
        let ending = self.ending.unwrap_or(Ending::Left);
        terminal::give_back();
        self.throne.end();
        let header = &self.app.header;
        let mut out = io::stdout();
        if ending == Ending::NotStopped {
            let _ = writeln!(out, "Not everything has stopped in time.");
        }
        if ending != Ending::Stopped && header.running > 0 {
            let runs = wharf_ui::format::plural(header.running, "run");
            let goes = if header.running == 1 { "goes" } else { "go" };
            let _ = writeln!(out, "{runs} {goes} on: {}", header.live_runs.join(", "));
            let _ = writeln!(out, "wharf shows {} again", if header.running == 1 { "it" } else { "them" });
        }
        if ending == Ending::Background {
            match background::start(&self.options.data) {
                Ok(pid) => {
                    let _ = writeln!(out, "process {pid} starts what waits, and ends when nothing is left");
                }
                Err(why) => {
                    let _ = writeln!(out, "nothing new starts before the next wharf: {why}");
                    return 1;
                }
            }
        }
        match ending {
            Ending::Left | Ending::Background | Ending::Stopped => 0,
            Ending::NotStopped => 1,
            Ending::Signal => 143,
        }
    }
}

/// Ids of open runs, waiting ones first so that none of them starts in the place of a stopped one,
/// and of live services; and the longest grace among them. Those that the header counts: of one company.
fn live_things(reader: &Reader, project: &Path) -> Result<(Vec<String>, Vec<String>, i64), StoreError> {
    let company = reader.project_at(&project.display().to_string())?.map(|p| p.company_id);
    let statuses = vec![RunStatus::Queued, RunStatus::ScheduledRetry, RunStatus::Running];
    let query = RunQuery { company, filter: RunFilter { statuses, ..RunFilter::default() }, ..RunQuery::default() };
    let (mut runs, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.runs(&query, cursor, PAGE_LIMIT)?;
        runs.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    runs.sort_by_key(|r| r.status == RunStatus::Running);
    let query = ServiceQuery { company, live_only: true, ..ServiceQuery::default() };
    let (mut services, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.services(&query, cursor, PAGE_LIMIT)?;
        services.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut grace_ms = services.iter().map(|s| s.service.grace_ms).max().unwrap_or(0);
    for run in runs.iter().filter(|r| r.status == RunStatus::Running) {
        grace_ms = grace_ms.max(reader.run_detail(run.id)?.map_or(0, |d| d.run.grace_ms));
    }
    let runs = runs.iter().map(|r| r.id.text()).collect();
    Ok((runs, services.iter().map(|s| s.service.id.text()).collect(), grace_ms))
}
