//! Values on their way to and from Postgres.
//!
//! Postgres knows no NUL inside a text, but a provider may send one, and one bad name must not stop a partition. So a
//! NUL is written as an escape, reversibly: two different names stay different.

use domain::ids::{Mode, StoryId};
use std::borrow::Cow;

const ESCAPE: char = '\u{1a}';

/// A text as Postgres stores it.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(ESCAPE, "\u{1a}1").replace('\0', "\u{1a}0"))
}

/// The text that was stored.
pub(super) fn restored(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}")
}

/// 0 for test, 1 for live.
pub(super) fn mode_number(mode: Mode) -> i64 {
    i64::from(mode.as_u8())
}

/// Story ids of an array of numbers.
pub(super) fn story_id(number: i64) -> StoryId {
    StoryId(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_none_has_a_nul() {
        let pieces = ["", "a", "\0", "\u{1a}", "0", "1", "ü"];
        let mut seen = std::collections::BTreeMap::new();
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let text = format!("{first}{second}{third}");
                    let written = stored(&text).into_owned();
                    assert!(!written.contains('\0'));
                    assert_eq!(restored(written.clone()), text);
                    assert_eq!(*seen.entry(written).or_insert(text.clone()), text);
                }
            }
        }
    }
}
