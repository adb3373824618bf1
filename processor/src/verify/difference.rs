//! What the warehouse holds otherwise than it was sent, in words.

use store::fold_store::SentSums;

/// What was found of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Less than was sent, or as much with other sums.
    Missing,
    /// More than was sent.
    TooMuch,
}

/// A range that is not as it was sent. `sent` is `None` where that was not noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Difference {
    pub from: u64,
    pub to: u64,
    pub sent: Option<SentSums>,
    pub found: SentSums,
}

impl Difference {
    pub fn verdict(&self) -> Verdict {
        match self.sent {
            Some(sent) if self.found.lines > sent.lines || self.found.rows > sent.rows => Verdict::TooMuch,
            _ => Verdict::Missing,
        }
    }

    /// Whether pages would show less than the truth.
    pub fn is_less(&self) -> bool {
        self.sent.is_none_or(|sent| self.found.lines < sent.lines || self.found.rows < sent.rows)
    }

    pub fn words(&self, partition: u16, failed: Option<&str>) -> String {
        let range = format!("partition {partition}, records {} to {}", self.from, self.to - 1);
        let Some(sent) = self.sent else {
            return format!(
                "{range}: the warehouse lost what it had; it is filled again from the log{}",
                suffix(failed)
            );
        };
        let found = self.found;
        let counts =
            format!("{} of {} lines and {} of {} purchase rows", found.lines, sent.lines, found.rows, sent.rows);
        match self.verdict() {
            Verdict::TooMuch => format!(
                "{range}: the warehouse holds more than was sent, {} lines instead of {} and {} purchase rows instead of {}; \
                 nothing was changed",
                found.lines, sent.lines, found.rows, sent.rows
            ),
            Verdict::Missing if (found.lines, found.rows) == (sent.lines, sent.rows) => format!(
                "{range}: the warehouse holds other amounts than were sent (gross {} instead of {}, net {} instead of {}, \
                 commission {} instead of {}){}",
                found.gross,
                sent.gross,
                found.net,
                sent.net,
                found.commission,
                sent.commission,
                suffix(failed)
            ),
            Verdict::Missing => format!(
                "{range}: the warehouse holds {counts}; the rest is inserted again from the log{}",
                suffix(failed)
            ),
        }
    }
}

fn suffix(failed: Option<&str>) -> String {
    failed.map(|why| format!(", which did not help: {why}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(lines: u64, rows: u64, net: i128) -> SentSums {
        SentSums { lines, rows, net, ..SentSums::default() }
    }

    #[test]
    fn every_difference_has_its_verdict_and_its_words() {
        let sent = Some(sums(5, 3, 100));
        for (found, verdict, is_less, words) in [
            (sums(4, 3, 90), Verdict::Missing, true, "4 of 5 lines"),
            (sums(5, 2, 100), Verdict::Missing, true, "2 of 3 purchase rows"),
            (sums(5, 3, 101), Verdict::Missing, false, "net 101 instead of 100"),
            (sums(6, 3, 110), Verdict::TooMuch, false, "nothing was changed"),
            (sums(4, 4, 90), Verdict::TooMuch, true, "more than was sent"),
        ] {
            let difference = Difference { from: 10, to: 20, sent, found };
            assert_eq!((difference.verdict(), difference.is_less()), (verdict, is_less), "{found:?}");
            let said = difference.words(3, Some("no"));
            assert!(said.contains("partition 3, records 10 to 19") && said.contains(words), "{said}");
            assert_eq!(said.contains("did not help: no"), verdict == Verdict::Missing, "{said}");
        }
        let unknown = Difference { from: 0, to: 1, sent: None, found: SentSums::default() };
        assert!(unknown.is_less() && unknown.words(3, None).ends_with("from the log"));
    }
}
