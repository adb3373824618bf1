//! The report as a workbook: numbers are number cells, texts are text cells, and nothing is a formula.

use super::amount::{decimal, digits};
use super::{COLUMNS, PayoutReport, PayoutRow};
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};
use std::io::{Seek, SeekFrom, Write};

/// Type of the answer.
pub const CONTENT_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Widths of the columns, in characters.
const WIDTHS: [u8; 10] = [28, 20, 30, 10, 13, 16, 14, 18, 12, 40];
/// Column of the redemptions, after the texts.
const REDEMPTIONS: u16 = 4;
/// Digits that a number cell holds exactly; longer amounts are written as texts, so that nothing is rounded.
const EXACT_DIGITS: usize = 15;

/// Why a workbook could not be made. The texts are for logs.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The workbook itself.
    #[error("the workbook could not be written: {0}")]
    Workbook(#[from] XlsxError),
    /// The temporary file.
    #[error("the temporary file could not be written: {0}")]
    File(#[from] std::io::Error),
}

/// Formats of the cells.
pub(super) struct Formats {
    pub(super) head: Format,
    pub(super) head_of_number: Format,
    /// By digits after the point.
    amounts: [Format; 4],
}

impl Formats {
    pub(super) fn new() -> Formats {
        let head = Format::new().set_bold();
        let number = |decimals: &str| Format::new().set_num_format(format!("#,##0{decimals}"));
        Formats {
            head_of_number: head.clone().set_align(rust_xlsxwriter::FormatAlign::Right),
            head,
            amounts: ["", ".0", ".00", ".000"].map(number),
        }
    }

    pub(super) fn amount(&self, digits: u8) -> &Format {
        &self.amounts[usize::from(digits).min(self.amounts.len() - 1)]
    }
}

/// Writes the workbook into a temporary file and answers it, to be read from its beginning. Blocks. The rows go through
/// a temporary file too, so that memory does not grow with them. The same report gives the same bytes.
///
/// # Errors
/// No room, or no right to write, in the folder for temporary files.
pub fn temporary_file(report: &PayoutReport) -> Result<std::fs::File, ExportError> {
    let mut file = tempfile::tempfile()?;
    write(report, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn write(report: &PayoutReport, into: impl Write + Send) -> Result<(), ExportError> {
    let mut workbook = Workbook::new();
    // Without it the file would carry the time of the export.
    let created = ExcelDateTime::from_timestamp(report.watermark.as_of.0.div_euclid(1_000))?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let formats = Formats::new();
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("Commission")?;
    sheet.set_freeze_panes(1, 0)?;
    for (column, (name, width)) in (0..).zip(COLUMNS.iter().zip(WIDTHS)) {
        let is_number = (REDEMPTIONS..REDEMPTIONS + 4).contains(&column);
        let format = if is_number { &formats.head_of_number } else { &formats.head };
        sheet.set_column_width(column, width)?;
        sheet.write_string_with_format(0, column, *name, format)?;
    }
    for (line, row) in (1..).zip(report.rows()) {
        write_row(sheet, line, &row, &formats)?;
    }
    workbook.save_to_writer(into)?;
    Ok(())
}

fn write_row(sheet: &mut Worksheet, line: u32, row: &PayoutRow, formats: &Formats) -> Result<(), XlsxError> {
    for (column, text) in (0..).zip(row.texts()) {
        sheet.write_string(line, column, text)?;
    }
    write_number(sheet, (line, REDEMPTIONS), &row.redemptions.to_string(), formats.amount(0))?;
    let digits = digits(row.currency);
    for (column, minor) in (REDEMPTIONS + 1..).zip(row.amounts()) {
        write_number(sheet, (line, column), &decimal(minor, digits), formats.amount(digits))?;
    }
    sheet.write_string(line, REDEMPTIONS + 4, row.payee.status.name())?;
    sheet.write_string(line, REDEMPTIONS + 5, &row.payee.payout_address)?;
    Ok(())
}

/// A workbook knows no decimals, only binary fractions of double precision. Up to fifteen digits come back as they were
/// written; nothing is computed with them here.
pub(super) fn write_number(
    sheet: &mut Worksheet,
    cell: (u32, u16),
    decimal: &str,
    format: &Format,
) -> Result<(), XlsxError> {
    let significant = decimal.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    match decimal.parse::<f64>() {
        Ok(number) if significant <= EXACT_DIGITS => sheet.write_number_with_format(cell.0, cell.1, number, format)?,
        _ => sheet.write_string(cell.0, cell.1, decimal)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use std::io::Read;

    fn bytes(report: &PayoutReport) -> Vec<u8> {
        let mut bytes = Vec::new();
        temporary_file(report).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// One file out of a workbook that was written.
    fn part(report: &PayoutReport, name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.xlsx");
        std::fs::write(&path, bytes(report)).unwrap();
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut text = String::new();
        archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn texts_are_texts_and_numbers_are_numbers() {
        let report = report(&[
            ("=1+1", "+k", Some("-a@b.c"), "usd", [123_450, 980, -24_690]),
            ("<b>& \"x\"", "@k", None, "jpy", [1_500, 0, 300]),
            ("three", "k", None, "kwd", [1, 0, 1_234_567]),
            ("much", "k", None, "usd", [999_999_999_999_999, 0, -9_999_999_999_999_999]),
        ]);
        let sheet = part(&report, "xl/worksheets/sheet1.xml");
        assert!(!sheet.contains("<f>"), "no cell is a formula: {sheet}");
        for cell in [
            "<is><t>=1+1</t></is>",
            "<is><t>+k</t></is>",
            "<is><t>-a@b.c</t></is>",
            "<is><t>&lt;b&gt;&amp; \"x\"</t></is>",
            "<v>1234.5</v>",
            "<v>-246.9</v>",
            "<v>1500</v>",
            "<v>0.001</v>",
            "<v>1234.567</v>",
            "<v>9999999999999.99</v>",
            "<is><t>-99999999999999.99</t></is>",
        ] {
            assert!(sheet.contains(cell), "{cell} is missing: {sheet}");
        }
        assert!(sheet.contains("state=\"frozen\"") && sheet.contains("<cols>"), "{sheet}");
        let styles = part(&report, "xl/styles.xml");
        assert!(styles.contains("#,##0.000"), "{styles}");
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        let report = report(&[("Maya", "aff_maya", None, "usd", [1, 0, 1])]);
        assert_eq!(bytes(&report), bytes(&report));
    }
}
