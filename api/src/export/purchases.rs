//! Purchases as a file: one row each, as the explorer shows them. Both kinds of file write the same cells, so what is in
//! which column is decided here. Of the buyer there is nothing.

use super::amount::{decimal, digits, unit};
use super::csv::{BYTE_ORDER_MARK, harmless};
use super::xlsx::{ExportError, Formats, write_number};
use crate::model::{PurchaseItem, Watermark};
use crate::services::ranges::{moment, time_zone};
use csv::{Terminator, WriterBuilder};
use domain::ids::Timestamp;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, Worksheet, XlsxError};
use std::io::{Seek, SeekFrom};

/// The most purchases of a file.
pub const MOST_PURCHASES: u64 = 100_000;

/// The columns, in their order; from [`FIRST_AMOUNT`] on they are numbers.
pub const PURCHASE_COLUMNS: [&str; 13] = [
    "Sale",
    "Purchase",
    "Kind",
    "Outcome",
    "Reason",
    "Affiliate",
    "Key",
    "Code",
    "Currency",
    "Gross",
    "Revenue",
    "Refunds",
    "Commission",
];

/// Column of the first number.
const FIRST_AMOUNT: u16 = 9;

/// Widths of the columns, in characters.
const WIDTHS: [u8; 13] = [20, 34, 12, 11, 26, 24, 18, 18, 10, 14, 14, 14, 14];

/// The cells before the numbers.
fn texts(item: &PurchaseItem, zone: &str) -> [String; 9] {
    [
        sold_at(item.sale_at, zone),
        item.business_key.clone(),
        item.sale_kind.clone(),
        item.outcome.name().to_owned(),
        item.reason.clone(),
        item.affiliate_name.clone(),
        item.affiliate_key.clone(),
        item.code_text.clone(),
        unit(item.currency),
    ]
}

/// Gross, net after refunds, net taken back, commission after refunds, in minor units.
fn amounts(item: &PurchaseItem) -> [i64; 4] {
    [item.gross, item.net.saturating_sub(item.reversed), item.reversed, item.commission]
}

/// `2026-11-21 14:03:09`: spreadsheets sort it right and take it for what it is.
fn sold_at(at: Timestamp, zone: &str) -> String {
    let zone = time_zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    moment(at).to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `acme-purchases-2026-11-21.csv`, by the day up to which it was read; files of test mode say so.
pub fn purchases_file_name(vendor: &str, is_live: bool, watermark: &Watermark, zone: &str, ending: &str) -> String {
    let test = if is_live { "" } else { "test-" };
    let day: String = sold_at(watermark.as_of, zone).chars().take(10).collect();
    format!("{vendor}-{test}purchases-{day}.{ending}")
}

/// The beginning of a CSV file: mark and columns.
///
/// # Errors
/// When the text cannot be put together.
pub fn csv_head() -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(BYTE_ORDER_MARK.as_bytes().to_vec());
    writer.write_record(PURCHASE_COLUMNS)?;
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Rows of a CSV file.
///
/// # Errors
/// When the text cannot be put together.
pub fn csv_rows(items: &[PurchaseItem], zone: &str) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    for item in items {
        let digits = digits(item.currency);
        let texts = texts(item, zone).map(harmless).into_iter();
        writer.write_record(texts.chain(amounts(item).map(|minor| decimal(minor, digits))))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A workbook of the pages that `next` answers until it answers none; to be read from its beginning. Blocks. The rows go
/// through a temporary file, so that memory does not grow with them.
///
/// # Errors
/// No room, or no right to write, in the folder for temporary files; or what `next` fails with.
pub fn workbook(
    watermark: &Watermark,
    zone: &str,
    mut next: impl FnMut() -> Option<std::io::Result<Vec<PurchaseItem>>>,
) -> Result<std::fs::File, ExportError> {
    let mut workbook = Workbook::new();
    // Without it the file would carry the time of the export.
    let created = ExcelDateTime::from_timestamp(watermark.as_of.0.div_euclid(1_000))?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let formats = Formats::new();
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("Purchases")?;
    sheet.set_freeze_panes(1, 0)?;
    for (column, (name, width)) in (0..).zip(PURCHASE_COLUMNS.iter().zip(WIDTHS)) {
        let format = if column >= FIRST_AMOUNT { &formats.head_of_number } else { &formats.head };
        sheet.set_column_width(column, width)?;
        sheet.write_string_with_format(0, column, *name, format)?;
    }
    let mut line = 0;
    while let Some(items) = next() {
        for item in items? {
            line += 1;
            write_row(sheet, line, &item, zone, &formats)?;
        }
    }
    let mut file = tempfile::tempfile()?;
    workbook.save_to_writer(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn write_row(
    sheet: &mut Worksheet,
    line: u32,
    item: &PurchaseItem,
    zone: &str,
    formats: &Formats,
) -> Result<(), XlsxError> {
    for (column, text) in (0..).zip(texts(item, zone)) {
        sheet.write_string(line, column, text)?;
    }
    let digits = digits(item.currency);
    for (column, minor) in (FIRST_AMOUNT..).zip(amounts(item)) {
        write_number(sheet, (line, column), &decimal(minor, digits), formats.amount(digits))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::{AffiliateId, CodeId, PurchaseId};
    use domain::line::PurchaseOutcome;
    use domain::money::Currency;
    use std::io::Read;

    const WATERMARK: Watermark =
        Watermark { generation: 1, partition: 0, next_offset: 9, as_of: Timestamp(1_795_262_400_000) };

    fn item(name: &str, currency: &str) -> PurchaseItem {
        PurchaseItem {
            purchase: PurchaseId(1),
            business_key: "inv:in_1".into(),
            sale_at: Timestamp(1_795_262_400_000),
            sale_at_text: String::new(),
            outcome: PurchaseOutcome::Credited,
            reason: String::new(),
            affiliate: AffiliateId(1),
            affiliate_key: "aff_maya".into(),
            affiliate_name: name.into(),
            code: CodeId(2),
            code_text: "MAYA20".into(),
            sale_kind: "first".into(),
            redemption: true,
            currency: Currency::parse(currency).unwrap(),
            gross: 12_345,
            net: 10_000,
            reversed: 2_500,
            commission: -1_500,
            flags: Vec::new(),
        }
    }

    #[test]
    fn a_row_has_what_the_explorer_shows_and_no_formula() {
        let head = String::from_utf8(csv_head().unwrap()).unwrap();
        assert!(head.starts_with("\u{feff}Sale,Purchase,") && head.ends_with(",Refunds,Commission\r\n"), "{head}");
        let rows = csv_rows(&[item("=1+1", "usd"), item("Lind, Anna", "jpy")], "Europe/Berlin").unwrap();
        assert_eq!(
            String::from_utf8(rows).unwrap(),
            "2026-11-21 13:00:00,inv:in_1,first,credited,,'=1+1,aff_maya,MAYA20,USD,123.45,75.00,25.00,-15.00\r\n\
             2026-11-21 13:00:00,inv:in_1,first,credited,,\"Lind, Anna\",aff_maya,MAYA20,JPY,12345,7500,2500,-1500\r\n"
        );
    }

    #[test]
    fn a_workbook_holds_the_rows_of_every_page_and_fails_with_them() {
        let mut pages = vec![vec![item("A", "usd"); 3], vec![item("=B", "usd")]].into_iter();
        let mut file = workbook(&WATERMARK, "UTC", || pages.next().map(Ok)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut sheet = String::new();
        archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
        assert_eq!(sheet.matches("<row ").count(), 5);
        assert!(sheet.contains("<is><t>=B</t></is>") && sheet.contains("<v>123.45</v>") && !sheet.contains("<f>"));
        let broken = workbook(&WATERMARK, "UTC", || Some(Err(std::io::Error::other("gone"))));
        assert!(broken.is_err());
    }

    #[test]
    fn file_names_say_whose_what_and_when() {
        assert_eq!(purchases_file_name("acme", true, &WATERMARK, "UTC", "csv"), "acme-purchases-2026-11-21.csv");
        let in_test = purchases_file_name("acme", false, &WATERMARK, "Asia/Tokyo", "xlsx");
        assert_eq!(in_test, "acme-test-purchases-2026-11-21.xlsx");
    }
}
