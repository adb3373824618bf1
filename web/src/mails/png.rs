//! A picture of four colours as a PNG file (<https://www.w3.org/TR/png-3/>): two bits a pixel and a palette.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write;

/// Which entry of the palette a pixel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// The background.
    Paper = 0,
    /// Lines behind the bars.
    Grid = 1,
    /// Bars.
    Bar = 2,
    /// Digits, and the line at zero.
    Text = 3,
}

/// A picture in memory. What is drawn beside it is left out.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Ink>,
}

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
const BITS: u8 = 2;
const PIXELS_A_BYTE: usize = 4;
const COLOUR_OF_PALETTE: u8 = 3;

impl Canvas {
    /// An empty one of so many pixels.
    pub(super) fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![Ink::Paper; width * height] }
    }

    /// Fills a rectangle, ends excluded.
    pub(super) fn fill(&mut self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>, ink: Ink) {
        let columns = columns.start.min(self.width)..columns.end.min(self.width);
        for row in rows.start.min(self.height)..rows.end.min(self.height) {
            if columns.start < columns.end {
                self.pixels[row * self.width + columns.start..row * self.width + columns.end].fill(ink);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self, ink: Ink) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == ink).count()
    }

    /// The file. `palette` has the colours of the inks, red, green, blue.
    pub(super) fn png(&self, palette: [[u8; 3]; 4]) -> std::io::Result<Vec<u8>> {
        let mut header = Vec::with_capacity(13);
        for side in [self.width, self.height] {
            let side = u32::try_from(side).map_err(std::io::Error::other)?;
            header.extend(side.to_be_bytes());
        }
        // Then: compression, filter and interlacing, of which there is one, one and none.
        header.extend([BITS, COLOUR_OF_PALETTE, 0, 0, 0]);
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        for row in self.pixels.chunks(self.width) {
            // Every row begins with its filter: none.
            packed.write_all(&[0])?;
            let byte = |four: &[Ink]| {
                four.iter().enumerate().fold(0_u8, |byte, (place, ink)| byte | (*ink as u8) << (6 - 2 * place))
            };
            packed.write_all(&row.chunks(PIXELS_A_BYTE).map(byte).collect::<Vec<u8>>())?;
        }
        let mut file = SIGNATURE.to_vec();
        chunk(&mut file, b"IHDR", &header)?;
        chunk(&mut file, b"PLTE", palette.as_flattened())?;
        chunk(&mut file, b"IDAT", &packed.finish()?)?;
        chunk(&mut file, b"IEND", &[])?;
        Ok(file)
    }
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(content);
    file.extend(length.to_be_bytes());
    file.extend(name);
    file.extend(content);
    file.extend(sum.sum().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;

    #[test]
    fn what_was_drawn_is_in_the_file() {
        let mut canvas = Canvas::new(6, 3);
        canvas.fill(1..3, 1..2, Ink::Bar);
        canvas.fill(5..900, 2..900, Ink::Text);
        let file = canvas.png([[255; 3], [1, 2, 3], [4, 5, 6], [7, 8, 9]]).unwrap();
        assert_eq!(file[..8], SIGNATURE);
        assert_eq!(file[16..29], [0, 0, 0, 6, 0, 0, 0, 3, 2, 3, 0, 0, 0]);
        // The checksum that every file ends with, whoever wrote it.
        assert_eq!(file[file.len() - 12..], [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
        let start = file.windows(4).position(|four| four == b"IDAT").unwrap() + 4;
        let mut rows = Vec::new();
        ZlibDecoder::new(&file[start..file.len() - 16]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows, [0, 0, 0, 0, 0b0010_1000, 0, 0, 0, 0b0011_0000]);
    }
}
