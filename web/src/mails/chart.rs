//! The picture of a month: one bar a day, with the scale at its side. Drawn twice as large as it is shown, for screens
//! with small pixels. Light, because mail programs show it on white.

use super::png::{Canvas, Ink};
use crate::money::Money;
use domain::money::Currency;

/// Pixels that it is shown with; the file has twice as many each way.
pub(super) const SHOWN: (usize, usize) = (480, 200);
const SCALE: usize = 2;
const WIDTH: usize = SHOWN.0 * SCALE;
const HEIGHT: usize = SHOWN.1 * SCALE;
/// Around the bars: above them, and below for the days.
const TOP: usize = 52;
const BOTTOM: usize = 52;
const RIGHT: usize = 8;
/// Pixels of one dot of a digit.
const DOT: usize = 4;
/// Dots of a digit, and the gap after it.
const GLYPH: (usize, usize) = (5, 7);
const GAP: usize = 1;
/// Colours of paper, grid, bar and text.
const PALETTE: [[u8; 3]; 4] = [[255, 255, 255], [226, 229, 235], [88, 101, 214], [91, 100, 114]];
/// Days with their number below.
const NAMED_DAYS: [usize; 5] = [1, 8, 15, 22, 29];

/// Where an amount is drawn: rows from the top.
struct Axis {
    high: i128,
    low: i128,
}

impl Axis {
    /// From zero to the largest amount, and below zero where refunds were more than sales.
    fn of(amounts: &[i64]) -> Axis {
        let high = amounts.iter().copied().max().unwrap_or_default().max(0);
        let low = amounts.iter().copied().min().unwrap_or_default().min(0);
        let high = if high == 0 && low == 0 { 1 } else { high };
        Axis { high: high.into(), low: low.into() }
    }

    fn row(&self, amount: i64) -> usize {
        let span = (HEIGHT - TOP - BOTTOM) as i128;
        let below = (self.high - i128::from(amount)) * span / (self.high - self.low);
        TOP + usize::try_from(below).unwrap_or_default()
    }
}

/// The file of a month's picture.
pub(super) fn draw(amounts: &[i64], currency: Currency) -> std::io::Result<Vec<u8>> {
    canvas(amounts, currency).png(PALETTE)
}

fn canvas(amounts: &[i64], currency: Currency) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let axis = Axis::of(amounts);
    let (highest, lowest) = (amounts.iter().copied().max().unwrap_or_default(), amounts.iter().copied().min());
    let zero = axis.row(0);
    for row in [axis.row(highest.max(0)), axis.row(lowest.unwrap_or_default().min(0))] {
        canvas.fill(0..WIDTH - RIGHT, row..row + SCALE, Ink::Grid);
    }
    let days = amounts.len().max(1);
    let step = (WIDTH - RIGHT) / days;
    for (day, amount) in amounts.iter().enumerate() {
        let left = day * step;
        let row = axis.row(*amount);
        // What is not nothing is seen, however small.
        let (from, to) = if *amount >= 0 { (row, zero) } else { (zero, row) };
        let to = if *amount != 0 { to.max(from + SCALE) } else { to };
        canvas.fill(left + step / 6..left + step - step / 6, from..to, Ink::Bar);
        if NAMED_DAYS.contains(&(day + 1)) {
            write(&mut canvas, left + step / 6, HEIGHT - BOTTOM + 14, &(day + 1).to_string());
        }
    }
    canvas.fill(0..WIDTH - RIGHT, zero..zero + SCALE, Ink::Text);
    if highest > 0 {
        let top = axis.row(highest).saturating_sub(GLYPH.1 * DOT + 8);
        write(&mut canvas, 0, top, &Money::new(highest, currency).amount());
    }
    canvas
}

/// Writes digits, commas, points and minus signs; what else there is takes its place and is not seen.
fn write(canvas: &mut Canvas, left: usize, top: usize, text: &str) {
    for (place, sign) in text.chars().enumerate() {
        let left = left + place * (GLYPH.0 + GAP) * DOT;
        for (row, bits) in glyph(sign).into_iter().enumerate() {
            for column in (0..GLYPH.0).filter(|column| bits >> (GLYPH.0 - 1 - column) & 1 == 1) {
                let (x, y) = (left + column * DOT, top + row * DOT);
                canvas.fill(x..x + DOT, y..y + DOT, Ink::Text);
            }
        }
    }
}

/// Seven rows of five dots.
fn glyph(sign: char) -> [u8; 7] {
    match sign {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
        '3' => [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        ',' => [0, 0, 0, 0, 0b00110, 0b00100, 0b01000],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        '\u{2212}' => [0, 0, 0, 0b11111, 0, 0, 0],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        Currency::parse("usd").unwrap()
    }

    #[test]
    fn a_bar_is_as_high_as_its_amount() {
        let axis = Axis::of(&[0, 5_000, 10_000]);
        let (zero, half, full) = (axis.row(0), axis.row(5_000), axis.row(10_000));
        assert_eq!((full, zero), (TOP, HEIGHT - BOTTOM));
        assert_eq!(half, (full + zero) / 2);
        // Refunds of a day hang below the line.
        let axis = Axis::of(&[10_000, -10_000]);
        assert_eq!(axis.row(0), (axis.row(10_000) + axis.row(-10_000)) / 2);
    }

    #[test]
    fn amounts_at_the_limits_and_months_without_any_are_drawn() {
        for amounts in [vec![], vec![0; 31], vec![i64::MAX, i64::MIN], vec![-1; 28], vec![1]] {
            let file = draw(&amounts, usd()).unwrap();
            assert!(file.len() > 100 && file.len() < 50_000, "{} bytes", file.len());
        }
        assert_eq!(canvas(&[0; 31], usd()).count(Ink::Bar), 0);
        assert!(canvas(&[0, 1, 10_000_000], usd()).count(Ink::Bar) > 0);
    }
}
