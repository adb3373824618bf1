//! The file as a table: separators, header, rows.

use csv::{ReaderBuilder, StringRecord};

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most rows, the header not counted.
pub const MAX_ROWS: usize = 5_000;
/// Columns that are looked at.
const MAX_COLUMNS: usize = 100;
/// What may stand between two cells.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Why a file cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing in it.
    #[error("There is nothing to import. Paste a table or choose a file.")]
    Empty,
    /// Too many bytes.
    #[error("The file has {0} bytes; the limit is {MAX_BYTES}. Import it in parts.")]
    TooLong(usize),
    /// Too many rows.
    #[error("The file has more than {MAX_ROWS} rows. Import it in parts.")]
    TooManyRows,
    /// Nobody can be told apart.
    #[error(
        "No column is named email. The first row names the columns: name, email, code and, if you like, rate, in any order."
    )]
    NoEmail,
    /// Two columns of one meaning.
    #[error("Two columns mean {0}. Leave one of them out.")]
    Twice(&'static str),
    /// No rows.
    #[error("There are no rows below the names of the columns.")]
    NoRows,
    /// It is no CSV.
    #[error("The table cannot be read: {0}.")]
    Unreadable(String),
}

/// One row, trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub line: u64,
    pub name: String,
    pub email: String,
    pub code: String,
    pub rate: String,
}

/// A file.
#[derive(Debug)]
pub(super) struct Table {
    pub rows: Vec<Row>,
    pub ignored_columns: Vec<String>,
}

impl Table {
    pub fn read(text: &str) -> Result<Table, FileError> {
        if text.len() > MAX_BYTES {
            return Err(FileError::TooLong(text.len()));
        }
        // Browsers send a carriage return before each line feed.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
        if text.trim().is_empty() {
            return Err(FileError::Empty);
        }
        let unreadable = |error: csv::Error| FileError::Unreadable(error.to_string());
        let mut reader = ReaderBuilder::new()
            .delimiter(separator(&text))
            .flexible(true)
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut records = reader.records();
        let header = loop {
            match records.next() {
                None => return Err(FileError::Empty),
                Some(record) => {
                    let record = record.map_err(unreadable)?;
                    if record.iter().any(|cell| !cell.is_empty()) {
                        break record;
                    }
                }
            }
        };
        let columns = Columns::read(&header)?;
        let mut rows = Vec::new();
        let mut lines = Lines { text: &text, at: 0, line: 1 };
        for record in records {
            let record = record.map_err(unreadable)?;
            if record.iter().all(str::is_empty) {
                continue;
            }
            if rows.len() == MAX_ROWS {
                return Err(FileError::TooManyRows);
            }
            let begins = record.position().map_or(0, csv::Position::byte);
            rows.push(columns.row(&record, lines.line_of(usize::try_from(begins).unwrap_or(usize::MAX))));
        }
        if rows.is_empty() { Err(FileError::NoRows) } else { Ok(Table { rows, ignored_columns: columns.ignored }) }
    }
}

/// Counts lines as an editor does. The reader's own count says of a row after empty lines where those begin.
struct Lines<'a> {
    text: &'a str,
    /// Counted up to here.
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the row that begins at this byte or after the empty lines there. Bytes are asked for in order.
    fn line_of(&mut self, begins: usize) -> u64 {
        let rest = self.text.get(begins..).unwrap_or_default();
        let begins = begins + (rest.len() - rest.trim_start_matches('\n').len());
        let passed = self.text.get(self.at..begins).unwrap_or_default();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.at = self.at.max(begins);
        self.line
    }
}

/// The one that stands most often in the first line that says anything, outside of quotes.
fn separator(text: &str) -> u8 {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut is_quoted = false;
    let mut counts = [0_usize; SEPARATORS.len()];
    for byte in line.bytes() {
        is_quoted ^= byte == b'"';
        if let Some(place) = SEPARATORS.iter().position(|separator| *separator == byte && !is_quoted) {
            counts[place] += 1;
        }
    }
    let most = (0..SEPARATORS.len()).rev().max_by_key(|place| counts[*place]).unwrap_or(0);
    SEPARATORS[most]
}

/// Where which cell is.
#[derive(Debug, Default)]
struct Columns {
    name: Option<usize>,
    email: Option<usize>,
    code: Option<usize>,
    rate: Option<usize>,
    ignored: Vec<String>,
}

impl Columns {
    fn read(header: &StringRecord) -> Result<Columns, FileError> {
        let mut columns = Columns::default();
        for (place, title) in header.iter().enumerate().take(MAX_COLUMNS) {
            let (meaning, column) = match title.to_lowercase().as_str() {
                "name" | "full name" | "affiliate" => ("name", &mut columns.name),
                "email" | "e-mail" | "mail" | "email address" | "e-mail address" => ("email", &mut columns.email),
                "code" | "codes" | "coupon" | "coupons" | "promo code" | "promotion code" => {
                    ("code", &mut columns.code)
                }
                "rate" | "commission" | "commission rate" | "percent" | "%" => ("rate", &mut columns.rate),
                "" => continue,
                _ => {
                    columns.ignored.push(title.to_owned());
                    continue;
                }
            };
            if column.replace(place).is_some() {
                return Err(FileError::Twice(meaning));
            }
        }
        if columns.email.is_none() { Err(FileError::NoEmail) } else { Ok(columns) }
    }

    fn row(&self, record: &StringRecord, line: u64) -> Row {
        let cell = |place: Option<usize>| place.and_then(|place| record.get(place)).unwrap_or_default().to_owned();
        Row { line, name: cell(self.name), email: cell(self.email), code: cell(self.code), rate: cell(self.rate) }
    }
}
