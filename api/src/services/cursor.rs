//! Cursors of pages. A cursor carries the position the first page was read at, so that all
//! pages together are one state of the data and hold every row once.

use domain::ids::{PurchaseId, Timestamp};
use store::warehouse::Watermark;
use store::warehouse::queries::{LineCursor, PurchaseCursor};

/// A cursor that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this list gave out, or is too old; start again without a cursor")]
pub struct BadCursor;

/// A place in a list, and the position at which the list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<T> {
    pub generation: u16,
    pub next_offset: u64,
    pub after: T,
}

impl<T> Place<T> {
    /// The watermark at which the list goes on. A cursor of another generation cannot go on,
    /// and none reads further than what is visible now.
    pub fn watermark(&self, now: &Watermark) -> Result<Watermark, BadCursor> {
        if self.generation != now.generation || self.next_offset > now.next_offset {
            return Err(BadCursor);
        }
        Ok(Watermark { next_offset: self.next_offset, ..*now })
    }
}

/// The text of a place among purchases.
pub(crate) fn write_purchase_place(watermark: &Watermark, after: PurchaseCursor) -> String {
    format!("p.{}.{}.{}.{}", watermark.generation, watermark.next_offset, after.sale_at.0, after.purchase.0)
}

/// Reads what [`write_purchase_place`] wrote.
pub(crate) fn read_purchase_place(text: &str) -> Result<Place<PurchaseCursor>, BadCursor> {
    let [generation, next_offset, sale_at, purchase] = parts(text, "p")?;
    Ok(Place {
        generation: number(generation)?,
        next_offset: number(next_offset)?,
        after: PurchaseCursor { sale_at: Timestamp(number(sale_at)?), purchase: PurchaseId(number(purchase)?) },
    })
}

/// The text of a place among lines.
pub(crate) fn write_line_place(watermark: &Watermark, after: LineCursor) -> String {
    format!(
        "l.{}.{}.{}.{}.{}",
        watermark.generation, watermark.next_offset, after.occurred_at.0, after.src_off, after.ord
    )
}

/// Reads what [`write_line_place`] wrote.
pub(crate) fn read_line_place(text: &str) -> Result<Place<LineCursor>, BadCursor> {
    let [generation, next_offset, occurred_at, src_off, ord] = parts(text, "l")?;
    Ok(Place {
        generation: number(generation)?,
        next_offset: number(next_offset)?,
        after: LineCursor {
            occurred_at: Timestamp(number(occurred_at)?),
            src_off: number(src_off)?,
            ord: number(ord)?,
        },
    })
}

fn parts<'a, const COUNT: usize>(text: &'a str, kind: &str) -> Result<[&'a str; COUNT], BadCursor> {
    let mut pieces = text.split('.');
    if pieces.next() != Some(kind) {
        return Err(BadCursor);
    }
    pieces.collect::<Vec<_>>().try_into().map_err(|_| BadCursor)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, BadCursor> {
    text.parse().map_err(|_| BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Watermark = Watermark { generation: 2, partition: 5, next_offset: 90 };

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let after = PurchaseCursor { sale_at: Timestamp(-3), purchase: PurchaseId(u64::MAX) };
        let place = read_purchase_place(&write_purchase_place(&NOW, after)).unwrap();
        assert_eq!(place, Place { generation: 2, next_offset: 90, after });
        let after = LineCursor { occurred_at: Timestamp(1), src_off: 2, ord: 3 };
        assert_eq!(read_line_place(&write_line_place(&NOW, after)).unwrap().after, after);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "p", "p.1.2.3", "p.1.2.3.4.5", "l.1.2.3.4", "p.1.2.x.4", "p.99999.2.3.4"] {
            assert!(read_purchase_place(text).is_err(), "{text}");
        }
        assert!(read_line_place("p.1.2.3.4").is_err());
    }

    #[test]
    fn a_list_goes_on_where_it_was_read() {
        let place = |generation, next_offset| Place { generation, next_offset, after: () };
        assert_eq!(place(2, 80).watermark(&NOW).unwrap().next_offset, 80);
        assert!(place(2, 91).watermark(&NOW).is_err());
        assert!(place(1, 80).watermark(&NOW).is_err());
    }
}
