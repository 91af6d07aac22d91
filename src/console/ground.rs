//! Whether the terminal is dark or light: asked of it, and its answer told from keys.
//!
//! The answer comes as if it had been typed (`ESC ] 11 ; rgb:…`). Nothing waits for it, and what only looks like its
//! beginning is passed on as the keys it is.

use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// Asks for the colour of the background (OSC 11).
pub const QUESTION: &[u8] = b"\x1b]11;?\x1b\\";
/// How long an answer is expected; later the same keys are only keys.
const EXPECTED: Duration = Duration::from_secs(2);
/// The longest answer: `11;rgba:ffff/ffff/ffff/ffff`.
const LENGTH_MAX: usize = 32;
/// How long the rest of a begun answer is waited for.
pub const REST: Duration = Duration::from_millis(100);

/// Takes the answer out of what is typed.
#[derive(Debug)]
pub struct Listener {
    asked: Option<Instant>,
    held: Vec<Event>,
    text: String,
}

/// What has become of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It may belong to the answer; what follows tells.
    Held,
    /// These were typed.
    Typed(Vec<Event>),
    /// The answer: whether the ground is light.
    Light(bool),
}

impl Listener {
    /// Expects an answer from now on where the question was asked.
    pub fn new(asked: bool) -> Self {
        Self { asked: asked.then(Instant::now), held: Vec::new(), text: String::new() }
    }

    /// Whether part of an answer is held back.
    pub const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// The rest has not come: what was held back was typed.
    pub fn flush(&mut self) -> Vec<Event> {
        self.text.clear();
        std::mem::take(&mut self.held)
    }

    /// Takes the next event.
    pub fn take(&mut self, event: Event) -> Heard {
        if self.asked.is_none_or(|at| at.elapsed() > EXPECTED) && self.held.is_empty() {
            return Heard::Typed(vec![event]);
        }
        let Event::Key(KeyEvent { code: KeyCode::Char(c), modifiers, .. }) = event else {
            let mut typed = self.flush();
            typed.push(event);
            return Heard::Typed(typed);
        };
        let begins = c == ']' && modifiers == KeyModifiers::ALT;
        let ends = c == '\\' && modifiers == KeyModifiers::ALT || c == 'g' && modifiers == KeyModifiers::CONTROL;
        let goes_on = !modifiers.intersects(KeyModifiers::ALT | KeyModifiers::CONTROL)
            && self.text.len() < LENGTH_MAX
            && (c.is_ascii_alphanumeric() || matches!(c, ';' | ':' | '/'));
        match (self.held.is_empty(), begins, ends, goes_on) {
            (true, true, ..) => {
                self.held.push(event);
                return Heard::Held;
            }
            (false, _, true, _) => {
                if let Some(light) = is_light(&self.text) {
                    self.flush();
                    self.asked = None;
                    return Heard::Light(light);
                }
            }
            (false, _, _, true) if could_be(&self.text, c) => {
                self.text.push(c);
                self.held.push(event);
                return Heard::Held;
            }
            _ => {}
        }
        let mut typed = self.flush();
        typed.push(event);
        Heard::Typed(typed)
    }
}

/// Whether an answer can begin with these and this letter.
fn could_be(text: &str, next: char) -> bool {
    const HEAD: &str = "11;rgb";
    HEAD.chars().nth(text.len()).is_none_or(|wanted| wanted == next)
}

/// Reads `11;rgb:R/G/B` with one to four digits each; more than half of the greatest brightness is light.
fn is_light(text: &str) -> Option<bool> {
    let (_, figures) = text.strip_prefix("11;rgb")?.split_once(':')?;
    let mut parts = figures.split('/').map(|part| {
        let max = 16u32.checked_pow(u32::try_from(part.len()).ok()?)?.checked_sub(1)?;
        let value = u32::from_str_radix(part, 16).ok()?;
        (max > 0 && part.len() <= 4).then(|| f64::from(value) / f64::from(max))
    });
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    Some(0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: char, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(KeyCode::Char(code), modifiers))
    }

    /// What crossterm makes of the bytes.
    fn events(text: &str, end: (char, KeyModifiers)) -> Vec<Event> {
        let plain = text.chars().map(|c| key(c, KeyModifiers::NONE));
        std::iter::once(key(']', KeyModifiers::ALT)).chain(plain).chain([key(end.0, end.1)]).collect()
    }

    fn hear(listener: &mut Listener, events: &[Event]) -> (Vec<Event>, Option<bool>) {
        let (mut typed, mut light) = (Vec::new(), None);
        for event in events {
            match listener.take(event.clone()) {
                Heard::Held => {}
                Heard::Typed(more) => typed.extend(more),
                Heard::Light(is) => light = Some(is),
            }
        }
        (typed, light)
    }

    #[test]
    fn an_answer_is_heard_and_none_of_it_is_typed() {
        let (st, bel) = (('\\', KeyModifiers::ALT), ('g', KeyModifiers::CONTROL));
        let table = [
            ("11;rgb:ffff/ffff/ffff", st, true),
            ("11;rgb:fdfd/f6f6/e3e3", bel, true),
            ("11;rgb:1616/1818/1d1d", st, false),
            ("11;rgb:00/00/00", st, false),
            ("11;rgba:ffff/ffff/ffff/ffff", st, true),
        ];
        for (text, end, light) in table {
            let mut listener = Listener::new(true);
            assert_eq!(hear(&mut listener, &events(text, end)), (Vec::new(), Some(light)), "{text}");
            // Once: what looks like it afterwards was typed.
            let again = events(text, end);
            assert_eq!(hear(&mut listener, &again), (again.clone(), None));
        }
    }

    #[test]
    fn what_is_typed_is_passed_on_in_its_order() {
        let st = ('\\', KeyModifiers::ALT);
        for text in ["12;", "11;x", "11;rgb:zz/1/1", "", "11;rgb:", "11;rgb:ffff/ffff/ffff/ffff/ffff/ffff/ffff"] {
            let mut listener = Listener::new(true);
            let typed = events(text, st);
            let (mut heard, light) = hear(&mut listener, &typed);
            heard.extend(listener.flush());
            assert_eq!((heard, light), (typed, None), "{text}");
        }
        let mut listener = Listener::new(false);
        let typed = events("11;rgb:ffff/ffff/ffff", st);
        assert_eq!(hear(&mut listener, &typed), (typed.clone(), None), "nothing was asked");
    }
}
