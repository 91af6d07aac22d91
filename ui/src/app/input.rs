//! Keys, pasted text and the mouse, and where each of them goes.

use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};

use super::App;
use crate::command;
use crate::effect::{Effect, QuitChoice};
use crate::frame;
use crate::keymap::{Key, Meaning};
use crate::layout;
use crate::overlay::After;
use crate::screen::Mouse;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) {
        self.started = None;
        if layout::bands(self.env.size.0, self.env.size.1, false).is_none() {
            // Only one sentence is on the screen: nothing that cannot be seen is done.
            if matches!(key.code, KeyCode::Char('q' | 'Q')) {
                self.outbox.push(Effect::Quit(QuitChoice::Leave));
            }
            return;
        }
        if let Some(mut overlay) = self.overlay.take() {
            let after = overlay.key(key, self);
            if after == After::Stays && self.overlay.is_none() {
                self.overlay = Some(overlay);
            }
            if after != After::Passes {
                return;
            }
        }
        if self.current().is_typing() {
            let env = self.env.clone();
            let (screen, out) = self.parts();
            if let Some((tone, words)) = screen.key(key, &env, out) {
                self.say(tone, words);
            }
            return;
        }
        self.chord.push(Key::of(key));
        match self.keymap.meaning(&self.places(), &self.chord) {
            Meaning::Run(command) => {
                self.chord.clear();
                self.execute(command);
            }
            Meaning::Begins => self.chord_at = self.env.now,
            Meaning::Nothing => {
                // `?` shows at once what may follow; any other key ends the chord and does nothing.
                if self.chord.len() > 1 && key.code == KeyCode::Char('?') {
                    self.chord.pop();
                    self.chord_at = self.env.now.plus(-crate::overlay::whichkey::DELAY_MS);
                } else {
                    self.chord.clear();
                }
            }
        }
    }

    pub(super) fn paste(&mut self, words: &str) {
        if let Some(overlay) = &mut self.overlay {
            overlay.paste(words);
        } else if self.current().is_typing() {
            let env = self.env.clone();
            let (screen, out) = self.parts();
            screen.paste(words, &env, out);
        }
    }

    pub(super) fn mouse(&mut self, event: MouseEvent) {
        // A pointer that only moves chooses nothing.
        if event.kind != MouseEventKind::Moved {
            self.started = None;
        }
        if self.overlay.is_some() {
            // A click outside words of a dialog does nothing; the wheel scrolls it.
            let code = match event.kind {
                MouseEventKind::ScrollDown => KeyCode::Down,
                MouseEventKind::ScrollUp => KeyCode::Up,
                _ => return,
            };
            self.key(KeyEvent::from(code));
            return;
        }
        let (columns, rows) = self.env.size;
        let Some(bands) = layout::bands(columns, rows, self.env.banner) else { return };
        let at = (event.column, event.row).into();
        if event.kind == MouseEventKind::Down(MouseButton::Left) {
            if bands.hints.contains(at) {
                if let Some(command) = frame::hint_at(self, event.column) {
                    self.execute(command);
                }
                return;
            }
            if bands.header.contains(at) {
                if let Some(screen) = frame::screen_at(self, event.column) {
                    self.visit(screen);
                }
                return;
            }
            if bands.banner.is_some_and(|b| b.contains(at))
                && let Some(command) = command::named("messages.open")
            {
                self.execute(command);
                return;
            }
        }
        let env = self.env.clone();
        let (screen, out) = self.parts();
        if let Mouse::Copied(words) = screen.mouse(event, &env, out) {
            self.copy(words);
        }
    }
}
