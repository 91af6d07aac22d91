//! Which keys go to the run and which one leaves it.

/// What follows it is for wharf: ctrl-g.
const LEAD: u8 = 7;
/// After the lead: leaves.
const LEAVE: u8 = b'd';

/// Tells keys for the run from the chord that leaves, over the borders of reads.
#[derive(Debug, Default)]
pub struct Keys {
    led: bool,
}

impl Keys {
    /// Appends to `out` what is for the run; says whether the chord was typed. What was typed behind the
    /// chord is for nobody.
    pub fn take(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for &key in typed {
            match (std::mem::take(&mut self.led), key) {
                (true, LEAVE) => return true,
                (true, LEAD) => out.push(LEAD),
                (true, other) => out.extend([LEAD, other]),
                (false, LEAD) => self.led = true,
                (false, other) => out.push(other),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chord_leaves_and_everything_else_is_the_runs() {
        let cases: [(&[&[u8]], &[u8], bool); 7] = [
            (&[b"ls\r"], b"ls\r", false),
            (&[b"a\x07d", b"never"], b"a", true),
            (&[b"a\x07", b"d"], b"a", true),
            (&[b"\x07\x07d"], b"\x07d", false),
            (&[b"\x07x"], b"\x07x", false),
            (&[b"\x07"], b"", false),
            (&[b"\x07\x07\x07d"], b"\x07", true),
        ];
        for (reads, wanted, leaves) in cases {
            let (mut keys, mut out) = (Keys::default(), Vec::new());
            let left = reads.iter().any(|typed| keys.take(typed, &mut out));
            assert_eq!((out.as_slice(), left), (wanted, leaves), "{reads:?}");
        }
    }
}
