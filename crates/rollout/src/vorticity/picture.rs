//! A field as a PNG: blue is negative, red positive, white zero, with a scale bar. y points up.

use super::VorticityError;
use resident_ledger::{WriteError, write_atomically};
use std::path::Path;

/// A picture's field is at least so many pixels a side: cells become squares.
const LEAST_SIDE: usize = 384;
const MARGIN: usize = 12;
const BAR_WIDTH: usize = 18;
/// Room for the numbers beside the bar.
const TEXT_WIDTH: usize = 76;
const GLYPH_SCALE: usize = 2;
const INK: [u8; 3] = [40, 40, 40];

/// Colours at −1, −½, 0, ½, 1 (ColorBrewer's RdBu, reversed); between them linear.
const COLOURS: [[f64; 3]; 5] =
    [[5.0, 48.0, 97.0], [67.0, 147.0, 195.0], [247.0, 247.0, 247.0], [214.0, 96.0, 77.0], [103.0, 0.0, 31.0]];

/// Rows of five bits, the leftmost highest.
const GLYPHS: [(char, [u8; 7]); 14] = [
    ('0', [14, 17, 19, 21, 25, 17, 14]),
    ('1', [4, 12, 4, 4, 4, 4, 14]),
    ('2', [14, 17, 1, 2, 4, 8, 31]),
    ('3', [31, 2, 4, 2, 1, 17, 14]),
    ('4', [2, 6, 10, 18, 31, 2, 2]),
    ('5', [31, 16, 30, 1, 1, 17, 14]),
    ('6', [6, 8, 16, 30, 17, 17, 14]),
    ('7', [31, 1, 2, 4, 8, 8, 8]),
    ('8', [14, 17, 17, 14, 17, 17, 14]),
    ('9', [14, 17, 17, 15, 1, 2, 12]),
    ('-', [0, 0, 0, 31, 0, 0, 0]),
    ('+', [0, 4, 4, 31, 4, 4, 0]),
    ('.', [0, 0, 0, 0, 0, 12, 12]),
    ('e', [0, 0, 14, 17, 31, 16, 14]),
];

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&colour);
    }

    /// Writes a number with its left upper corner at (x, y).
    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (place, letter) in text.chars().enumerate() {
            let glyph = GLYPHS.iter().find(|(c, _)| *c == letter).map_or([0; 7], |(_, rows)| *rows);
            let cells = (0..7).flat_map(|row| (0..5).map(move |column| (row, column)));
            for (row, column) in cells.filter(|(row, column)| glyph[*row] >> (4 - column) & 1 == 1) {
                for dot in 0..GLYPH_SCALE * GLYPH_SCALE {
                    let left = x + (place * 6 + column) * GLYPH_SCALE + dot % GLYPH_SCALE;
                    self.set(left, y + row * GLYPH_SCALE + dot / GLYPH_SCALE, INK);
                }
            }
        }
    }
}

/// Writes a field of N × N values. The colours reach from −max|ω| to max|ω|, which the scale bar names.
///
/// # Errors
/// The file cannot be written.
///
/// # Panics
/// If the values are not N².
pub fn write_png(path: &Path, field: &[f64], n: usize) -> Result<(), VorticityError> {
    let canvas = draw(field, n);
    let mut bytes = Vec::new();
    let encode = |bytes: &mut Vec<u8>| {
        let mut encoder = png::Encoder::new(bytes, canvas.width as u32, canvas.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header()?.write_image_data(&canvas.pixels)
    };
    encode(&mut bytes).map_err(|error| WriteError::of(path, error.into()))?;
    Ok(write_atomically(path, &bytes)?)
}

fn draw(field: &[f64], n: usize) -> Canvas {
    assert_eq!(field.len(), n * n, "a field of {n} cells a side");
    let largest = field.iter().filter(|v| v.is_finite()).fold(0.0f64, |largest, v| largest.max(v.abs()));
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let zoom = LEAST_SIDE.div_ceil(n);
    let side = n * zoom;
    let (width, height) = (side + 3 * MARGIN + BAR_WIDTH + TEXT_WIDTH, side + 2 * MARGIN);
    let mut canvas = Canvas { width, height, pixels: vec![255; width * height * 3] };
    for y in 0..side {
        for x in 0..side {
            let value = field[(n - 1 - y / zoom) * n + x / zoom];
            canvas.set(MARGIN + x, MARGIN + y, colour(value / largest));
        }
        let level = 1.0 - 2.0 * y as f64 / (side - 1) as f64;
        (0..BAR_WIDTH).for_each(|x| canvas.set(2 * MARGIN + side + x, MARGIN + y, colour(level)));
    }
    for (place, level) in [1.0, 0.5, 0.0, -0.5, -1.0].into_iter().enumerate() {
        let y = MARGIN + place * (side - 7 * GLYPH_SCALE) / 4;
        canvas.text(2 * MARGIN + side + BAR_WIDTH + 6, y, &number(level * largest));
    }
    canvas
}

/// Three digits that matter, with an exponent where the number is long.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (0.01..1000.0).contains(&size) => {
            let decimals = if size >= 100.0 {
                0
            } else if size >= 10.0 {
                1
            } else {
                2
            };
            format!("{value:+.decimals$}")
        }
        _ => format!("{value:+.0e}"),
    }
}

/// The colour of a value in [−1, 1]; grey for what is no number.
fn colour(value: f64) -> [u8; 3] {
    if !value.is_finite() {
        return [128; 3];
    }
    let place = (value.clamp(-1.0, 1.0) + 1.0) * 2.0;
    let below = (place as usize).min(3);
    let share = place - below as f64;
    std::array::from_fn(|i| {
        (COLOURS[below][i] + share * (COLOURS[below + 1][i] - COLOURS[below][i])).round() as u8
    })
}
