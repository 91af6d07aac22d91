//! Pages of the lists: live rows all, ended ones as many as are wanted.

use std::collections::HashMap;

use wharf_model::filter::Filter;
use wharf_model::{Kind, RunId, RunStatus};
use wharf_store::StoreError;
use wharf_store::view::{ActivityQuery, LeaseQuery, RunCursor, RunQuery, ServiceQuery};
use wharf_ui::rows::{LeaseName, Page, RunLine};

use super::filter::{Facts, narrow, passes};
use super::{Asking, rows};
use crate::why;

/// Rows looked at for one page of a filtered list, at most.
const LOOKED_AT: usize = 20_000;
/// Rows of one look.
pub(super) const LOOK: usize = 500;

/// Rows of a list in which live ones come first.
pub(super) struct Gathered<T> {
    pub rows: Vec<T>,
    pub more: bool,
    pub hidden: u64,
}

impl Asking<'_> {
    pub(super) fn runs(&self, filter: &Filter, after: Option<i64>, limit: usize) -> Result<Page<RunLine>, StoreError> {
        let reader = self.reader;
        let agents = reader.agents(None)?;
        let agent = |name: &str| {
            let mut named = agents.iter().filter(|a| a.agent.name == name);
            // A name that several projects have says too little for the database.
            named.next().filter(|_| named.next().is_none()).map(|a| a.agent.id)
        };
        let query = RunQuery { company: self.company()?, project: None, filter: narrow(filter, self.at, agent) };
        let mut cursor = after.map(|below| RunCursor { open: false, below });
        let mut found = Vec::new();
        let (mut ended, mut looked, mut hidden) = (0usize, 0usize, 0u64);
        let more = loop {
            let page = reader.runs(&query, cursor, LOOK.min(limit.max(50)))?;
            looked += page.rows.len().max(1);
            let mut full = false;
            for row in page.rows {
                if !passes(filter, &rows::run_facts(&row, self.now), self.at) {
                    hidden += 1;
                    continue;
                }
                if row.status.is_terminal() {
                    if ended == limit {
                        full = true;
                        break;
                    }
                    ended += 1;
                }
                found.push(row);
            }
            cursor = page.next;
            if full || cursor.is_none() || looked >= LOOKED_AT {
                break full || cursor.is_some();
            }
        };
        let counts = reader.run_counts(&query)?;
        let mut lines: Vec<RunLine> = found.iter().map(rows::run).collect();
        self.around(&found, &mut lines)?;
        let total = u64::try_from(counts.shown).unwrap_or(0).saturating_sub(hidden);
        let all = u64::try_from(counts.shown + counts.hidden).unwrap_or(0);
        Ok(Page { rows: lines, total, hidden: all.saturating_sub(total), more })
    }

    /// What live runs hold and use, when they last printed, and which of them stand still.
    fn around(&self, found: &[wharf_store::view::RunLine], lines: &mut [RunLine]) -> Result<(), StoreError> {
        if found.iter().all(|r| r.status.is_terminal()) {
            self.scope.live.show(&[]);
            self.scope.live.show_operations(Vec::new());
            return Ok(());
        }
        let leases = self.reader.leases(&LeaseQuery { open: Some(true), ..LeaseQuery::default() }, None, LOOK)?;
        let leases: HashMap<_, _> = leases
            .rows
            .iter()
            .map(|l| (l.lease.id, LeaseName { id: l.lease.id, number: l.lease.number, version: l.lease.version }))
            .collect();
        let mut services = self.services_of_runs()?;
        let running: Vec<(RunId, u32)> =
            found.iter().filter(|r| r.status == RunStatus::Running).map(|r| (r.id, r.attempt)).collect();
        let mut sights = self.scope.live.show(&running);
        let mut logs = Vec::new();
        for (row, line) in found.iter().zip(lines).filter(|(row, _)| !row.status.is_terminal()) {
            line.lease = row.lease_id.and_then(|id| leases.get(&id).copied());
            line.services = services.remove(&row.id).unwrap_or_default();
            let sight = sights.remove(&row.id).unwrap_or_default();
            line.last_output_at = sight.printed.max(line.last_output_at);
            line.halted = sight.halted.map(rows::halted_words);
            line.terminal = sight.terminal;
            if let Some((words, log)) = why::doing(self.reader, &self.scope.data, row)? {
                line.doing = Some(words);
                logs.push(log);
            }
        }
        self.scope.live.show_operations(logs);
        Ok(())
    }

    /// Live services by the runs that use them.
    fn services_of_runs(&self) -> Result<HashMap<RunId, Vec<String>>, StoreError> {
        let query = ServiceQuery { live_only: true, ..ServiceQuery::default() };
        let mut services: HashMap<RunId, Vec<String>> = HashMap::new();
        for item in self.reader.services(&query, None, LOOK)?.rows {
            let name = format!("{} {}", Kind::Service.number(item.service.number), item.service.name);
            for user in &item.users {
                services.entry(user.run_id).or_default().push(name.clone());
            }
        }
        Ok(services)
    }

    /// Gathers rows that pass: with no cursor all live ones and the newest ended ones, else ended
    /// ones below it. `page` gives live rows alone when asked so, else those of both kinds.
    pub(super) fn gather<T>(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
        mut page: impl FnMut(Option<i64>, bool) -> Result<(Vec<T>, Option<i64>), StoreError>,
        live: impl Fn(&T) -> bool,
        facts: impl Fn(&T) -> Facts,
    ) -> Result<Gathered<T>, StoreError> {
        let (mut open, mut ended, mut hidden) = (Vec::new(), Vec::new(), 0u64);
        // Live ones may stand below any number of ended ones.
        let (mut cursor, mut looked) = (None, 0usize);
        while after.is_none() && looked < LOOKED_AT {
            let (rows, next) = page(cursor, true)?;
            looked += rows.len().max(1);
            for row in rows {
                if passes(filter, &facts(&row), self.at) {
                    open.push(row);
                } else {
                    hidden += 1;
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let (mut cursor, mut looked) = (after, 0usize);
        let more = loop {
            let (rows, next) = page(cursor, false)?;
            looked += rows.len().max(1);
            for row in rows.into_iter().filter(|row| !live(row)) {
                if passes(filter, &facts(&row), self.at) {
                    ended.push(row);
                } else {
                    hidden += 1;
                }
            }
            cursor = next;
            if ended.len() > limit || cursor.is_none() || looked >= LOOKED_AT {
                break ended.len() > limit || cursor.is_some();
            }
        };
        ended.truncate(limit);
        open.extend(ended);
        Ok(Gathered { rows: open, more, hidden })
    }

    pub(super) fn leases(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::LeaseLine>, StoreError> {
        let company = self.company()?;
        let query = |live: bool| LeaseQuery { company, open: live.then_some(true), ..LeaseQuery::default() };
        let gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| self.reader.leases(&query(live), below, LOOK).map(|p| (p.rows, p.next)),
            |item| !item.lease.status.is_terminal(),
            |item| rows::lease_facts(item, self.now),
        )?;
        let mut page = finish(gathered, rows::lease);
        let services = self.services_of_runs()?;
        for line in page.rows.iter_mut().filter(|l| l.live) {
            line.services = line.run.and_then(|run| services.get(&run).cloned()).unwrap_or_default();
        }
        Ok(page)
    }

    pub(super) fn services(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::ServiceLine>, StoreError> {
        let company = self.company()?;
        let query = |live_only: bool| ServiceQuery { company, live_only, ..ServiceQuery::default() };
        let past = rows::wants_past_services(filter);
        let mut left_out = 0;
        let mut gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| {
                let page = self.reader.services(&query(live), below, LOOK)?;
                let before = page.rows.len();
                let rows: Vec<_> = page.rows.into_iter().filter(|item| past || !item.is_over()).collect();
                left_out += (before - rows.len()) as u64;
                Ok((rows, page.next))
            },
            |item| item.service.status.is_open(),
            |item| rows::service_facts(item, self.now),
        )?;
        gathered.hidden += left_out;
        let mut page = finish(gathered, |item| rows::service(item, self.now));
        self.with_strangers(&mut page.rows);
        Ok(page)
    }

    pub(super) fn activity(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::ActivityLine>, StoreError> {
        let narrowed = narrow(filter, self.at, |_| None);
        let query = ActivityQuery {
            company: self.company()?,
            since: narrowed.since,
            until: narrowed.until,
            ..ActivityQuery::default()
        };
        let (mut found, mut looked, mut hidden) = (Vec::new(), 0usize, 0u64);
        let mut cursor = after;
        let more = loop {
            // Never more than is still wanted, so that the last row given has its exact position.
            let page = self.reader.activity_placed(&query, cursor, limit.saturating_sub(found.len()).clamp(1, LOOK))?;
            looked += page.rows.len().max(1);
            for (position, row) in &page.rows {
                if passes(filter, &rows::activity_facts(row), self.at) {
                    found.push(rows::activity(*position, row));
                } else {
                    hidden += 1;
                }
            }
            cursor = page.next;
            if found.len() >= limit || cursor.is_none() || looked >= LOOKED_AT {
                break cursor.is_some();
            }
        };
        let total = found.len() as u64;
        Ok(Page { rows: found, total, hidden, more })
    }
}

pub(super) fn finish<T, L>(gathered: Gathered<T>, line: impl Fn(&T) -> L) -> Page<L> {
    let rows: Vec<L> = gathered.rows.iter().map(line).collect();
    Page { total: rows.len() as u64, rows, hidden: gathered.hidden, more: gathered.more }
}
