//! What every key and click does on such a screen.

use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::Browse;
use super::view::{tab_spans, teach, view_pane};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::msg::{Answer, Tone};
use crate::pane::diff::DiffPane;
use crate::pane::output::{Drag, OutputPane};
use crate::pane::table::Row;
use crate::screen::{FocusMove, Handles, Motion, Mouse, PathOf, Screen, ScreenId, Spot, listing, streams};

impl<B: Browse> Screen for B {
    fn places(&self, _env: &Env) -> Vec<Place> {
        if !self.base().list.detail {
            return B::LIST.to_vec();
        }
        let mut places: Vec<Place> = self.detail_place().into_iter().collect();
        if self.changes().is_some() {
            places.push(Place::Diff);
        }
        if self.stream_focused() {
            places.push(Place::Stream);
        }
        places.extend([Place::Text, B::OWN]);
        places
    }

    fn refresh(&mut self, _env: &Env, out: &mut Outbox) {
        self.base().list.refresh(out);
        self.want_again(out);
    }

    fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, env: &Env, out: &mut Outbox) {
        let page = match answer {
            Ok(answer) => B::page(answer).cloned().map(Ok),
            Err(words) => Some(Err(words.clone())),
        };
        if let Some(page) = page
            && self.base_mut().list.answer(question, page)
        {
            self.listed(question);
        }
        self.take(question, answer);
        let area = self.stream_area(self.content(env));
        self.base_mut().streams.answer(question, answer, out, area);
    }

    fn settle(&mut self, env: &Env, out: &mut Outbox) {
        self.base_mut().list.settle(env, out);
        let number = self.selected().map(Row::number);
        if self.base().of != number {
            self.base_mut().of = number;
            self.base_mut().scroll = 0;
        }
        let content = self.content(env);
        if content.is_empty() || number.is_none() {
            self.base_mut().streams.leave();
            return;
        }
        self.want(env, out);
        if let Some(owner) = self.stream_owner() {
            let area = self.stream_area(content);
            self.base_mut().streams.choose(owner, out);
            if let Some(pane) = self.base_mut().streams.shown_mut(owner)
                && !area.is_empty()
            {
                pane.settle(env, out, area);
            }
        } else {
            self.base_mut().streams.leave();
            if let Some(line) = self.selected() {
                let scroll = self.clamp(line, env, content);
                self.base_mut().scroll = scroll;
            }
        }
    }

    fn comes_to_front(&mut self) {
        self.base_mut().streams.leave();
        self.comes_back();
    }

    fn motion(&mut self, motion: Motion, env: &Env, out: &mut Outbox) {
        if !self.base().list.detail {
            self.base_mut().list.motion(motion, env);
            self.list_moved(motion);
            return;
        }
        if let Some(pane) = self.changes_mut() {
            return pane.motion(motion);
        }
        if self.moved(motion) {
            return;
        }
        let content = self.content(env);
        match self.stream_owner() {
            Some(owner) => {
                let area = self.stream_area(content);
                if let Some(pane) = self.base_mut().streams.shown_mut(owner) {
                    streams::motion(pane, motion, area, out);
                }
            }
            None => self.base_mut().scroll = streams::scrolled(self.base().scroll, motion, content.height),
        }
    }

    fn focus(&mut self, to: FocusMove, _env: &Env) {
        if !self.focused(to) {
            self.base_mut().list.focus(to);
        }
    }

    fn is_typing(&self) -> bool {
        self.base().list.is_typing()
            || self.stream().is_some_and(OutputPane::is_typing)
            || self.changes().is_some_and(DiffPane::is_typing)
    }

    fn typing_hints(&self) -> &'static [(&'static str, &'static str)] {
        if self.base().list.is_typing() { listing::TYPING_HINTS } else { &[("Enter", "take"), ("Esc", "drop")] }
    }

    fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<(Tone, String)> {
        if self.base().list.is_typing() {
            self.base_mut().list.key(key, out);
            return None;
        }
        if let Some(pane) = self.changes_mut() {
            return pane.key(key).map(|words| (Tone::Warn, words));
        }
        let (pane, _) = self.stream_mut(env)?;
        pane.key(key, env, out).map(|words| (Tone::Warn, words))
    }

    fn paste(&mut self, words: &str, env: &Env, out: &mut Outbox) {
        if self.base().list.is_typing() {
            self.base_mut().list.paste(words, out);
        } else if let Some(pane) = self.changes_mut() {
            pane.paste(words);
        } else if let Some((pane, _)) = self.stream_mut(env) {
            pane.paste(words);
        }
    }

    fn back(&mut self) -> bool {
        if self.base().list.detail
            && let Some(owner) = self.stream_owner()
            && self.base_mut().streams.shown_mut(owner).is_some_and(OutputPane::drop_one)
        {
            return true;
        }
        if self.base().list.detail && self.drop_inner() {
            return true;
        }
        // Marks and zoom come before what lies inside the detail.
        let list = &self.base().list;
        if list.table.marks.is_empty() && !list.zoom && list.detail && self.focused(FocusMove::List) {
            return true;
        }
        self.base_mut().list.back()
    }

    fn tab(&mut self, back: bool) {
        let n = B::TABS.len();
        if n > 0 {
            let at = self.base().tab;
            self.base_mut().tab = if back { (at + n - 1) % n } else { (at + 1) % n };
            self.base_mut().scroll = 0;
        }
    }

    fn has_tabs(&self) -> bool {
        !B::TABS.is_empty()
    }

    fn zoom(&mut self) {
        self.base_mut().list.zoom = !self.base().list.zoom;
    }

    fn split(&mut self, by: i16) {
        self.base_mut().list.split(by);
    }

    fn mouse(&mut self, event: MouseEvent, env: &Env, out: &mut Outbox) -> Mouse {
        let (x, y) = (event.column, event.row);
        let split = self.base().list.layout(env);
        let in_list = split.list.contains((x, y).into());
        let in_pane = split.pane.contains((x, y).into());
        let area = self.stream_area(self.content(env));
        let owner = self.stream_owner();
        if !in_list && !in_pane {
            let wheel = match event.kind {
                MouseEventKind::ScrollUp => -3,
                MouseEventKind::ScrollDown => 3,
                MouseEventKind::Down(MouseButton::Left) => 0,
                _ => return Mouse::Done,
            };
            if self.clicked_beside(x, y, wheel, env) {
                return Mouse::Done;
            }
        }
        let drag = |phase, this: &mut Self| {
            owner.and_then(|o| this.base_mut().streams.shown_mut(o)).and_then(|pane| pane.drag(x, y, phase, area))
        };
        match event.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                let by = if event.kind == MouseEventKind::ScrollUp { -3 } else { 3 };
                if in_list {
                    let height = self.base().list.height(env);
                    self.base_mut().list.table.scroll(by, height, split.second_heads);
                    self.list_moved(Motion::Rows(by));
                } else if in_pane && let Some(owner) = owner {
                    if let Some(pane) = self.base_mut().streams.shown_mut(owner) {
                        streams::motion(pane, Motion::Rows(by), area, out);
                    }
                } else if in_pane && let Some(pane) = self.changes_mut() {
                    pane.motion(Motion::Rows(by));
                } else if in_pane {
                    let scroll = self.base().scroll.saturating_add_signed(by as isize);
                    self.base_mut().scroll = scroll;
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_list => {
                let base = self.base_mut();
                base.list.detail = false;
                if y >= split.list.y + 2
                    && let Some(number) = base.list.table.at(usize::from(y - split.list.y - 2), split.second_heads)
                {
                    base.list.table.select(number);
                    if base.clicked == Some(number) {
                        base.list.focus(FocusMove::Detail);
                    }
                    base.clicked = Some(number);
                    self.list_moved(Motion::Rows(1));
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_pane => {
                let tabs = self.has_tab_row(env);
                self.pane_clicked();
                let base = self.base_mut();
                base.clicked = None;
                base.list.focus(FocusMove::Detail);
                let hit = tab_spans(B::TABS, split.pane).into_iter().find(|(_, a, b)| (*a..*b).contains(&x));
                match hit {
                    Some((tab, ..)) if tabs && y == split.pane.y + 1 => base.show_tab(tab),
                    _ => {
                        let content = self.content(env);
                        if let Some(pane) = self.changes_mut().filter(|_| content.contains((x, y).into())) {
                            pane.click(y, content);
                        }
                        drag(Drag::Begin, self);
                    }
                }
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                drag(Drag::Move, self);
            }
            MouseEventKind::Up(MouseButton::Left) => {
                if let Some(words) = drag(Drag::End, self) {
                    return Mouse::Copied(words);
                }
            }
            _ => {}
        }
        Mouse::Done
    }

    fn copy(&self) -> Option<String> {
        if self.base().list.detail
            && let Some(words) = self.stream().and_then(OutputPane::selected_text)
        {
            return Some(words);
        }
        if self.base().list.detail
            && let Some(words) = self.text()
        {
            return Some(words);
        }
        let path = self.changes().filter(|_| self.base().list.detail).and_then(DiffPane::path);
        path.map(str::to_owned).or_else(|| self.subject())
    }

    fn subject(&self) -> Option<String> {
        self.meant().map(B::name)
    }

    fn handles(&self) -> Option<Handles> {
        let detail = self.base().list.detail;
        let inner = self.inner_handles().filter(|_| detail);
        let mut handles = inner.or_else(|| self.selected().map(|line| self.handles_of(line)))?;
        if let Some(diff) = self.changes().filter(|_| detail)
            && let Some(path) = diff.full_path()
        {
            handles.path = PathOf::Known(path);
        }
        Some(handles)
    }

    fn pane_text(&self, env: &Env) -> Option<String> {
        if !self.base().list.detail || !self.pane_focused() {
            return None;
        }
        if let Some(words) = self.stream().and_then(OutputPane::selected_text) {
            return Some(words);
        }
        if let Some(diff) = self.changes() {
            return Some(diff.text());
        }
        self.text().or_else(|| self.facts_text(self.selected()?, env))
    }

    fn pane_area(&self, env: &Env) -> Rect {
        if !self.base().list.detail {
            let list = self.base().list.layout(env).list;
            return Rect { y: list.y + list.height.min(1), height: list.height.saturating_sub(1), ..list };
        }
        if self.pane_focused() { self.content(env) } else { self.base().list.second(env) }
    }

    fn owner(&self) -> Option<Owner> {
        self.shell()
    }

    fn has_places(&self) -> bool {
        B::ID != ScreenId::Activity
    }

    fn edit_filter(&mut self) {
        let known = wharf_model::filter::FIELDS.iter().map(|(field, _)| (*field, self.values(field))).collect();
        // From a list beside it: what is typed is seen in the list that it filters.
        if self.base().list.detail && !self.focused(FocusMove::List) {
            self.base_mut().list.focus(FocusMove::List);
        }
        self.base_mut().list.edit_filter(known);
    }

    fn mark(&mut self) {
        self.base_mut().list.table.mark();
    }

    fn invert_marks(&mut self) {
        self.base_mut().list.table.invert_marks();
    }

    fn stream(&self) -> Option<&OutputPane> {
        self.selected()?;
        self.stream_owner().and_then(|owner| self.base().streams.shown(owner))
    }

    fn stream_mut(&mut self, env: &Env) -> Option<(&mut OutputPane, Rect)> {
        self.selected()?;
        let area = self.stream_area(self.content(env));
        let owner = self.stream_owner()?;
        self.base_mut().streams.shown_mut(owner).map(|pane| (pane, area))
    }

    fn diff(&self) -> Option<&DiffPane> {
        self.changes()
    }

    fn diff_mut(&mut self) -> Option<&mut DiffPane> {
        self.changes_mut()
    }

    fn output_grew(&mut self, owner: Owner, out: &mut Outbox) {
        if self.stream_owner() == Some(owner)
            && let Some(pane) = self.base_mut().streams.shown_mut(owner)
        {
            pane.grew(out);
        }
    }

    fn cursor_row(&self, env: &Env) -> Option<(u16, u16)> {
        self.base().list.cursor_row(env)
    }

    fn links(&self, to: ScreenId) -> Vec<String> {
        self.belongs(to)
    }

    fn find(&mut self, names: &[String], out: &mut Outbox) {
        self.base_mut().list.find(B::ID.field(), names, out);
    }

    fn spot(&self) -> Spot {
        self.base().list.spot()
    }

    fn restore(&mut self, spot: &Spot, out: &mut Outbox) {
        self.base_mut().list.restore(spot, out);
    }

    fn view(&self, env: &Env, canvas: &mut Canvas<'_>, _body: Rect) {
        let split = self.base().list.layout(env);
        let columns = self.columns(env, &split);
        view_pane(self, env, canvas);
        self.view_beside(env, canvas);
        self.base().list.view(env, canvas, &columns, &|canvas, area| teach(B::teaching(), canvas, area));
    }

    fn is_empty(&self) -> bool {
        let list = &self.base().list;
        list.table.known && list.table.rows().is_empty() && list.filter().is_empty()
    }
}
