//! The little that this endpoint reads out of a statement's text itself. Everything that needs a real parser is
//! asked of the engine.

use bytes::Bytes;

use crate::error::{QueryError, code};

/// The word a statement starts with, after blanks and comments, in upper case. Empty when there is none.
pub(crate) fn leading_keyword(text: &str) -> String {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        }
        .trim_start();
    }
    let end = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
    rest[..end].to_ascii_uppercase()
}

/// A SELECT, the only statement the engine can answer in chunks.
pub(crate) fn is_select(text: &str) -> bool {
    matches!(leading_keyword(text).as_str(), "SELECT" | "WITH")
}

/// Whether an answer in chunks is the same bytes as the answer in one piece.
///
/// The engine formats each chunk on its own, so that only holds for formats without head or tail (or with one that
/// [`HeaderStripper`] knows). A FORMAT clause in the text overrules the default, so a text with that word in it is
/// answered in one piece, whatever the word means there.
pub(crate) fn can_be_streamed(text: &str, format: &str) -> bool {
    const PLAIN: [&str; 10] = [
        ROW_BINARY_WITH_NAMES_AND_TYPES,
        "RowBinary",
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONCompactEachRow",
    ];
    let has_clause = text.split(|character: char| !is_word(character)).any(|word| word.eq_ignore_ascii_case("FORMAT"));
    PLAIN.contains(&format) && !has_clause
}

/// A semicolon with something after it, in a text that the engine's parser rejects. Quoted semicolons count too: the
/// text is wrong anyway, and the engine must not run its first half.
pub(crate) fn holds_separator(text: &str) -> bool {
    text.trim_end_matches(|character: char| character.is_whitespace() || character == ';').contains(';')
}

/// Splits `INSERT INTO t (a, b) FORMAT RowBinary` into the statement and the format. The engine takes the format of
/// inserted data on its own and misreads a statement that still has the clause. `None` without such an ending.
pub(crate) fn split_insert_format(text: &str) -> Option<(&str, &str)> {
    if leading_keyword(text) != "INSERT" {
        return None;
    }
    let text = text.trim_end_matches(|character: char| character.is_whitespace() || character == ';');
    let (before, format) = split_last_word(text)?;
    let (statement, clause) = split_last_word(before.trim_end())?;
    // `FORMAT x` needs a blank between, or the two words were one.
    let is_clause = clause.eq_ignore_ascii_case("FORMAT") && before.ends_with(char::is_whitespace);
    is_clause.then_some((statement.trim_end(), format))
}

/// The text before its last word, and that word. `None` when it does not end with a word.
fn split_last_word(text: &str) -> Option<(&str, &str)> {
    let word = text.len() - text.chars().rev().take_while(|&character| is_word(character)).count();
    (word < text.len()).then(|| text.split_at(word))
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

const ROW_BINARY_WITH_NAMES_AND_TYPES: &str = "RowBinaryWithNamesAndTypes";

/// Removes the column header that the engine repeats in front of every chunk of `RowBinaryWithNamesAndTypes`. A client
/// expects it once.
pub(crate) struct HeaderStripper {
    has_header: bool,
    header: Option<Bytes>,
}

impl HeaderStripper {
    pub(crate) fn for_format(format: &str) -> Self {
        Self { has_header: format == ROW_BINARY_WITH_NAMES_AND_TYPES, header: None }
    }

    /// The chunk as the client must see it. A chunk that does not repeat the header passes unchanged, so an engine
    /// that stops repeating it does no harm.
    pub(crate) fn strip(&mut self, mut chunk: Bytes) -> Result<Bytes, QueryError> {
        if !self.has_header {
            return Ok(chunk);
        }
        match &self.header {
            Some(header) if chunk.starts_with(header) => Ok(chunk.split_off(header.len())),
            Some(_) => Ok(chunk),
            None => {
                let length = header_length(&chunk).ok_or_else(|| {
                    QueryError::new(code::UNKNOWN_EXCEPTION, "The engine's answer starts with a broken column header.")
                })?;
                self.header = Some(chunk.slice(..length));
                Ok(chunk)
            }
        }
    }
}

/// Length of the header: the number of columns, then that many names, then that many types; numbers and lengths are
/// LEB128.
fn header_length(chunk: &[u8]) -> Option<usize> {
    let mut position = 0;
    let columns = read_leb128(chunk, &mut position)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = usize::try_from(read_leb128(chunk, &mut position)?).ok()?;
        position = position.checked_add(length).filter(|&end| end <= chunk.len())?;
    }
    Some(position)
}

fn read_leb128(chunk: &[u8], position: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = *chunk.get(*position)?;
        *position += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_keyword_behind_comments() {
        assert_eq!(leading_keyword("  -- why\n /* not */ insert into t"), "INSERT");
        assert_eq!(leading_keyword("-- nothing else"), "");
        assert!(is_select("\nwith 1 as x select x"));
        assert!(!is_select("SHOW TABLES"));
    }

    #[test]
    fn splits_the_format_off_an_insert() {
        assert_eq!(
            split_insert_format("INSERT INTO `t`(`a`) FORMAT RowBinary"),
            Some(("INSERT INTO `t`(`a`)", "RowBinary"))
        );
        assert_eq!(split_insert_format("insert into t\nformat\tCSV ;\n"), Some(("insert into t", "CSV")));
        assert_eq!(split_insert_format("INSERT INTO t SELECT 1"), None);
        assert_eq!(split_insert_format("INSERT INTO t VALUES ('FORMAT CSV')"), None);
        assert_eq!(split_insert_format("INSERT INTO tFORMAT CSV"), None);
        assert_eq!(split_insert_format("SELECT 1 FORMAT CSV"), None);
        assert_eq!(split_insert_format("INSERT"), None);
        assert_eq!(split_insert_format(""), None);
    }

    #[test]
    fn streams_only_formats_that_can_be_cut() {
        assert!(can_be_streamed("SELECT 1", "RowBinary"));
        assert!(!can_be_streamed("SELECT 1", "JSON"));
        assert!(!can_be_streamed("SELECT 1 format JSON", "RowBinary"));
        assert!(can_be_streamed("SELECT information FROM formats", "RowBinary"));
    }

    #[test]
    fn a_semicolon_at_the_end_separates_nothing() {
        assert!(!holds_separator("SELEC 1 ; ;\n"));
        assert!(holds_separator("SELECT 1; oops("));
    }

    #[test]
    fn removes_the_repeated_header_and_nothing_else() {
        let header = b"\x01\x06number\x06UInt64";
        let chunk = |rows: &[u8]| Bytes::from([header.as_slice(), rows].concat());
        let mut stripper = HeaderStripper::for_format("RowBinaryWithNamesAndTypes");
        assert_eq!(stripper.strip(chunk(b"rows one")).unwrap(), chunk(b"rows one"));
        assert_eq!(stripper.strip(chunk(b"rows two")).unwrap(), "rows two");
        assert_eq!(stripper.strip(Bytes::from("no header")).unwrap(), "no header");
        let mut other = HeaderStripper::for_format("RowBinary");
        assert_eq!(other.strip(chunk(b"x")).unwrap(), chunk(b"x"));
    }

    #[test]
    fn a_broken_header_is_an_error() {
        for broken in [b"".as_slice(), b"\x01\x06num", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x02\x01a"] {
            let mut stripper = HeaderStripper::for_format("RowBinaryWithNamesAndTypes");
            assert!(stripper.strip(Bytes::copy_from_slice(broken)).is_err(), "{broken:?}");
        }
    }
}
