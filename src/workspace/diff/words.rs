//! Which words of two lines differ.

use std::ops::Range;

/// Most tokens of a line that are compared; longer ones differ as a whole.
const TOKENS_MAX: usize = 400;

/// Byte ranges of the two lines that the other lacks, in order, none of them touching the next. What is left of both is
/// the same. None when the lines have so little in common that marks would tell nothing: they differ as a whole.
pub fn marks(old: &str, new: &str) -> Option<(Vec<Range<usize>>, Vec<Range<usize>>)> {
    let (a, b) = (tokens(old), tokens(new));
    if a.len() > TOKENS_MAX || b.len() > TOKENS_MAX {
        return None;
    }
    let (word_a, word_b) = (|i: usize| &old[a[i].clone()], |i: usize| &new[b[i].clone()]);
    // What is the same at both ends needs no table.
    let shorter = a.len().min(b.len());
    let head = (0..shorter).take_while(|i| word_a(*i) == word_b(*i)).count();
    let tail = (0..shorter - head).take_while(|i| word_a(a.len() - 1 - i) == word_b(b.len() - 1 - i)).count();
    let (rows, columns) = (a.len() - head - tail, b.len() - head - tail);
    // Length of the longest common subsequence of what lies behind each pair of places.
    let width = columns + 1;
    let mut table = vec![0u16; (rows + 1) * width];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            table[i * width + j] = if word_a(head + i) == word_b(head + j) {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < rows || j < columns {
        if i < rows && j < columns && word_a(head + i) == word_b(head + j) {
            (i, j) = (i + 1, j + 1);
        } else if j == columns || (i < rows && table[(i + 1) * width + j] >= table[i * width + j + 1]) {
            push(&mut only_a, a[head + i].clone());
            i += 1;
        } else {
            push(&mut only_b, b[head + j].clone());
            j += 1;
        }
    }
    let common =
        |line: &str, marks: &[Range<usize>]| said(line) - marks.iter().map(|r| said(&line[r.clone()])).sum::<usize>();
    let longer = said(old).max(said(new));
    (common(old, &only_a) * 3 >= longer).then_some((only_a, only_b))
}

/// Letters that say something.
fn said(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

fn push(marks: &mut Vec<Range<usize>>, range: Range<usize>) {
    match marks.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => marks.push(range),
    }
}

/// Words, runs of blanks, and every other character by itself.
fn tokens(line: &str) -> Vec<Range<usize>> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 1,
        c if c.is_whitespace() => 2,
        _ => 3,
    };
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut before = 3;
    for (at, c) in line.char_indices() {
        let now = kind(c);
        let end = at + c.len_utf8();
        match out.last_mut() {
            Some(last) if now == before && now != 3 => last.end = end,
            _ => out.push(at..end),
        }
        before = now;
        if out.len() > TOKENS_MAX {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(line: &str, marks: &[Range<usize>]) -> String {
        let mut out = String::new();
        let mut at = 0;
        for mark in marks {
            out.push_str(&line[at..mark.start]);
            out.push('[');
            out.push_str(&line[mark.clone()]);
            out.push(']');
            at = mark.end;
        }
        out + &line[at..]
    }

    #[test]
    fn words_that_differ_are_marked() {
        let table = [
            ("let basket = session.basket();", "let cart = session.basket();", "let [basket] = ", "let [cart] = "),
            ("a(b, c)", "a(b, c, d)", "a(b, c)", "a(b, c[, d])"),
            ("  same", "    same", "[  ]same", "[    ]same"),
            ("grün ist es", "grau ist es", "[grün] ist es", "[grau] ist es"),
        ];
        for (old, new, old_marked, new_marked) in table {
            let (a, b) = marks(old, new).unwrap();
            assert!(marked(old, &a).starts_with(old_marked), "{}", marked(old, &a));
            assert!(marked(new, &b).starts_with(new_marked), "{}", marked(new, &b));
        }
    }

    #[test]
    fn lines_with_little_in_common_differ_as_a_whole() {
        assert_eq!(marks("fn retry(order: &Order)", "use std::fmt;"), None);
        let long = "x ".repeat(TOKENS_MAX);
        assert_eq!(marks(&long, &long), None, "too many tokens to be compared");
    }

    proptest! {
        #[test]
        fn without_what_is_marked_both_lines_are_the_same(old in "[ab_ é(\\t]{0,40}", new in "[ab_ é(\\t]{0,40}") {
            if let Some((a, b)) = marks(&old, &new) {
                for (line, marks) in [(&old, &a), (&new, &b)] {
                    for pair in marks.windows(2) {
                        prop_assert!(pair[0].end < pair[1].start);
                    }
                    prop_assert!(marks.iter().all(|r| r.start < r.end && line.get(r.clone()).is_some()));
                    // The marks alone change nothing of the line.
                    prop_assert_eq!(&marked(line, marks).replace(['[', ']'], ""), line);
                }
                let rest = |line: &str, marks: &[Range<usize>]| {
                    let keep = |at: &usize| !marks.iter().any(|r| r.contains(at));
                    line.char_indices().filter(|(at, _)| keep(at)).map(|(_, c)| c).collect::<String>()
                };
                prop_assert_eq!(rest(&old, &a), rest(&new, &b));
                prop_assert!(old != new || a.is_empty() && b.is_empty());
            }
        }
    }
}
