//! Rows of facts that screens are made of, and what the shell knows besides.

use crate::glyph::Class;
use crate::rows::{Fact, FactBlock};
use crate::text;

/// A fact without bad news.
pub fn fact(label: &str, value: impl Into<String>, remark: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into(), remark: remark.into(), bad: false }
}

/// Glyph and word of a state; bad news when it is one.
pub fn state_fact(class: Class, word: &str, remark: impl Into<String>) -> Fact {
    Fact { bad: class == Class::Bad, ..fact("status", format!("{} {word}", class.glyph()), remark) }
}

/// What the screen says of a thing, and what else the shell knows of it.
///
/// Facts of the same label are shown once: the shell's where the screen has no remark of its own, which
/// only counts times. The rest stands below the screen's, block by block.
pub fn merged(mut own: Vec<FactBlock>, more: &[FactBlock]) -> Vec<FactBlock> {
    let same = |a: &Fact, b: &Fact| !a.label.is_empty() && a.label.eq_ignore_ascii_case(&b.label);
    for fact in own.iter_mut().flat_map(|b| &mut b.facts).filter(|f| f.remark.is_empty()) {
        let theirs = more.iter().flat_map(|b| &b.facts).find(|f| same(f, fact) && !f.remark.is_empty());
        if let Some(theirs) = theirs {
            fact.value.clone_from(&theirs.value);
            fact.remark.clone_from(&theirs.remark);
            fact.bad |= theirs.bad;
        }
    }
    for (i, block) in more.iter().enumerate() {
        let known = |f: &Fact| own.iter().flat_map(|b| &b.facts).any(|o| same(o, f));
        let mut rest = Vec::new();
        let mut dropped = false;
        for fact in &block.facts {
            // Rows without a label belong to the one above.
            dropped = if fact.label.is_empty() { dropped } else { known(fact) };
            if !dropped {
                rest.push(fact.clone());
            }
        }
        match own.get_mut(i) {
            Some(block) => block.facts.extend(rest),
            None => own.push(FactBlock { facts: rest }),
        }
    }
    own
}

/// A long text as rows of facts of this many cells, the label before the first.
pub fn prose(label: &str, words: &str, room: usize) -> Vec<Fact> {
    text::wrap(words, room.max(10))
        .into_iter()
        .enumerate()
        .map(|(i, (from, to))| fact(if i == 0 { label } else { "" }, &words[from..to], ""))
        .collect()
}

/// First word of `R-1042 fixer SHOP-17`, when it is a number of that kind.
pub fn number_in(words: &str, letter: char) -> Option<String> {
    let first = words.split_whitespace().next()?;
    let figures = first.strip_prefix(letter)?.strip_prefix('-')?;
    (!figures.is_empty() && figures.bytes().all(|b| b.is_ascii_digit())).then(|| first.to_owned())
}

/// Values of one field, sorted, each once, at most fifty.
pub fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.filter(|v| !v.is_empty()).collect();
    values.sort();
    values.dedup();
    values.truncate(50);
    values
}
