//! The report as CSV: RFC 4180, UTF-8 with a byte-order mark, so that spreadsheets read names right.

use super::amount::{decimal, digits};
use super::{COLUMNS, PayoutReport, PayoutRow};
use csv::{Terminator, WriterBuilder};
use std::sync::Arc;

/// Type of the answer.
pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8";

/// Spreadsheets take a file without it for text in the system's own encoding.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Rows of one piece: some 40 KB.
const ROWS_OF_A_PIECE: usize = 500;

/// The file in pieces, each made when it is asked for. The first holds the mark and the names of the columns.
///
/// # Errors
/// A piece that cannot be put together; the file must not be called complete then.
pub fn pieces(report: Arc<PayoutReport>) -> impl Iterator<Item = Result<Vec<u8>, csv::Error>> + Send {
    let count = report.sums.len().div_ceil(ROWS_OF_A_PIECE).max(1);
    (0..count).map(move |index| piece(&report, index))
}

fn piece(report: &PayoutReport, index: usize) -> Result<Vec<u8>, csv::Error> {
    let mut bytes = Vec::new();
    if index == 0 {
        bytes.extend_from_slice(BYTE_ORDER_MARK.as_bytes());
    }
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(bytes);
    if index == 0 {
        writer.write_record(COLUMNS)?;
    }
    for sum in report.sums.iter().skip(index * ROWS_OF_A_PIECE).take(ROWS_OF_A_PIECE) {
        writer.write_record(record(&report.row(sum)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn record(row: &PayoutRow) -> [String; 10] {
    let [name, key, email, unit] = row.texts().map(harmless);
    let [revenue, refunds, commission] = row.amounts().map(|minor| decimal(minor, digits(row.currency)));
    let status = row.payee.status.name().to_owned();
    let payout = harmless(row.payee.payout_address.clone());
    [name, key, email, unit, row.redemptions.to_string(), revenue, refunds, commission, status, payout]
}

/// A text that no spreadsheet takes for a formula: one that begins like a formula gets an apostrophe before it.
///
/// A formula begins with `=`, `+`, `-` or `@`, some programs skip blanks before it, and some take the wide forms of these
/// signs too. A tab or a line break at the beginning may move what follows into another cell, and where the comma stands in numbers
/// a semicolon ends a cell. Numbers are not texts: a
/// negative amount stays a number.
pub(super) fn harmless(text: String) -> String {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    const ENDS_A_CELL: [char; 2] = [';', '\t'];
    let guarded: String = text
        .split_inclusive(ENDS_A_CELL)
        .enumerate()
        .map(|(index, cell)| match index > 0 && cell.trim_start().starts_with(SIGNS) {
            true => format!("'{cell}"),
            false => cell.to_owned(),
        })
        .collect();
    let begins = text.starts_with(['\t', '\r', '\n']) || text.trim_start().starts_with(SIGNS);
    if begins { format!("'{guarded}") } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    fn file(report: PayoutReport) -> String {
        let pieces = pieces(Arc::new(report)).collect::<Result<Vec<_>, _>>().unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[test]
    fn the_file_begins_with_mark_and_columns_and_every_line_ends_in_both() {
        let head = "\u{feff}Affiliate,Key,E-mail,Currency,Redemptions,Revenue,Refunds,Commission owed,Status,Payout address\r\n";
        assert_eq!(file(report(&[])), head);
        let rows = [
            ("Maya", "aff_maya", Some("maya@example.com"), "usd", [123_450, 980, 24_690]),
            ("Leo", "aff_leo", None, "jpy", [-1_500, 1_500, -300]),
            ("Noor", "noor", None, "kwd", [1, 0, -1_234_567]),
        ];
        assert_eq!(
            file(report(&rows)),
            format!(
                "{head}Maya,aff_maya,maya@example.com,USD,1,1234.50,9.80,246.90,active,\r\n\
                 Leo,aff_leo,,JPY,2,-1500,1500,-300,suspended,\r\n\
                 Noor,noor,,KWD,3,0.001,0.000,-1234.567,active,\r\n"
            )
        );
    }

    fn name_cell(name: &str) -> String {
        let text = file(report(&[(name, "k", None, "usd", [0, 0, 0])]));
        let (_, row) = text.split_once("Payout address\r\n").unwrap();
        row.strip_suffix(",k,,USD,1,0.00,0.00,0.00,active,\r\n").unwrap().to_owned()
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        for (name, cell) in [
            ("plain name", "plain name"),
            ("Lind, Anna", "\"Lind, Anna\""),
            ("The \"Pod\"", "\"The \"\"Pod\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("🎧 Café", "🎧 Café"),
            ("مايا ليند", "مايا ليند"),
            ("a=b, c", "\"a=b, c\""),
        ] {
            assert_eq!(name_cell(name), cell);
        }
    }

    #[test]
    fn no_text_is_a_formula() {
        for (name, cell) in [
            ("=1+1", "'=1+1"),
            ("+49 30 1", "'+49 30 1"),
            ("-2", "'-2"),
            ("@sum(a1)", "'@sum(a1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "\"'\r=1\""),
            ("\nx", "\"'\nx\""),
            ("  =1", "'  =1"),
            ("＝1", "'＝1"),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a=1", "a=1"),
            ("DE02 1203;=1+1", "DE02 1203;'=1+1"),
            ("x; @sum(a1);y", "x;' @sum(a1);y"),
            ("a;b", "a;b"),
            ("'quoted", "'quoted"),
        ] {
            assert_eq!(name_cell(name), cell);
        }
        let evil = file(report(&[("n", "=k", Some("+a@b.c"), "usd", [-1, 0, -1])]));
        assert!(evil.ends_with("n,'=k,'+a@b.c,USD,1,-0.01,0.00,-0.01,active,\r\n"), "{evil}");
    }

    #[test]
    fn pieces_together_hold_every_row_once() {
        for count in [1, 499, 500, 501, 1_250] {
            let keys: Vec<String> = (0..count).map(|number| format!("k{number}")).collect();
            let rows: Vec<_> = keys.iter().map(|key| ("n", key.as_str(), None, "usd", [1, 0, 1])).collect();
            let text = file(report(&rows));
            let found: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
            assert_eq!(found, keys);
        }
    }
}
