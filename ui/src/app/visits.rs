//! Going from screen to screen, and back.

use super::App;
use crate::history::Visit;
use crate::screen::ScreenId;

impl App {
    /// Shows a screen and asks for its rows.
    pub fn show(&mut self, screen: ScreenId) {
        self.screen = screen;
        self.chord.clear();
        self.parts().0.comes_to_front();
        self.refresh();
    }

    fn here(&self) -> Visit {
        Visit { screen: self.screen, spot: self.current().spot() }
    }

    /// Shows a screen and remembers where one was.
    pub fn visit(&mut self, screen: ScreenId) {
        if screen != self.screen {
            let here = self.here();
            self.history.leave(here);
        }
        self.show(screen);
    }

    /// Goes to things of another screen, and remembers where one was.
    pub fn go(&mut self, screen: ScreenId, names: &[String]) {
        let here = self.here();
        self.history.leave(here);
        self.screen = screen;
        let (there, out) = self.parts();
        there.find(names, out);
        self.show(screen);
    }

    /// Goes to the place before, or behind.
    pub fn walk(&mut self, back: bool) {
        let here = self.here();
        if let Some(visit) = self.history.walk(back, here) {
            self.screen = visit.screen;
            let (there, out) = self.parts();
            there.restore(&visit.spot, out);
            self.show(visit.screen);
        }
    }
}
