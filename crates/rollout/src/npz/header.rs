//! The header of a `.npy` array: a Python dictionary with the keys `descr`, `fortran_order` and `shape`.
//! Only that is understood, in linear time and without recursion; anything else is refused.

use super::Dtype;
use std::io::{self, Read};

/// NumPy itself reads headers of at most 10 000 bytes.
const LONGEST: usize = 10_000;
/// NumPy's own bound on dimensions.
const MOST_DIMENSIONS: usize = 64;

/// What an array is, before its values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Whether the first index runs fastest in the file.
    pub(super) fortran_order: bool,
    pub(super) big_endian: bool,
    /// Bytes of magic, version, length and text.
    pub(super) bytes: u64,
}

/// Why a header is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Io(io::Error),
    Damaged(String),
    Unsupported { found: String, remedy: &'static str },
}

impl Header {
    /// The number of values, where it fits.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))
    }

    /// Shape and type as NumPy prints them: `float64 (101, 64, 64)`.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.dtype, shape_text(&self.shape))
    }

    pub(super) fn read(from: &mut impl Read) -> Result<Self, Refusal> {
        let mut start = [0; 10];
        fill(from, &mut start, "its beginning")?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(Refusal::Damaged("it does not begin like a NumPy array".to_owned()));
        }
        let short = usize::from(u16::from_le_bytes([start[8], start[9]]));
        let (length, before) = match start[6] {
            1 => (short, 10),
            2 | 3 => {
                let mut rest = [0; 2];
                fill(from, &mut rest, "the length of its header")?;
                // The low half of a 32-bit length was read already.
                (short | usize::from(u16::from_le_bytes(rest)) << 16, 12)
            }
            version => {
                let found = format!("the unknown npy version {version}");
                return Err(Refusal::Unsupported { found, remedy: "versions 1 to 3 are read" });
            }
        };
        if length > LONGEST {
            return Err(Refusal::Damaged(format!("its header claims {length} bytes, at most {LONGEST}")));
        }
        let mut text = vec![0; length];
        fill(from, &mut text, "its header")?;
        let text =
            std::str::from_utf8(&text).map_err(|_| Refusal::Damaged("its header is no text".to_owned()))?;
        Self::parse(text, (before + length) as u64)
    }

    pub(super) fn parse(text: &str, bytes: u64) -> Result<Self, Refusal> {
        let damaged = |problem: &str| Refusal::Damaged(format!("its header {problem}: {}", text.trim()));
        let mut parser = Parser { rest: text };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect("{").ok_or_else(|| damaged("is no dictionary"))?;
        while parser.expect("}").is_none() {
            let key = parser.string().ok_or_else(|| damaged("has something else than a key"))?;
            parser.expect(":").ok_or_else(|| damaged("has a key without a value"))?;
            let fresh = match key {
                "descr" if parser.rest.trim_start().starts_with('[') => {
                    let found = "a structured dtype".to_owned();
                    return Err(Refusal::Unsupported { found, remedy: "save each field as an array" });
                }
                "descr" => descr.replace(parser.string().ok_or_else(|| damaged("has no descr"))?).is_none(),
                "fortran_order" => {
                    let order = parser.boolean().ok_or_else(|| damaged("has no fortran_order"))?;
                    fortran_order.replace(order).is_none()
                }
                "shape" => {
                    shape.replace(parser.shape().ok_or_else(|| damaged("has no valid shape"))?).is_none()
                }
                _ => return Err(damaged("has an unknown key")),
            };
            if !fresh {
                return Err(damaged("has a key twice"));
            }
            if parser.expect(",").is_none() {
                parser.expect("}").ok_or_else(|| damaged("does not end"))?;
                break;
            }
        }
        if !parser.rest.trim().is_empty() {
            return Err(damaged("goes on after its end"));
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err(damaged("lacks descr, fortran_order or shape"));
        };
        let (dtype, big_endian) = dtype_of(descr)?;
        Ok(Self { dtype, shape, fortran_order, big_endian, bytes })
    }

    /// The header of a C-ordered array as NumPy writes it: version 1.0, padded so that the values begin at a multiple of 64.
    pub(super) fn to_bytes(dtype: Dtype, shape: &[usize]) -> Vec<u8> {
        let text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
            dtype.descr(),
            shape_text(shape)
        );
        let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&u16::try_from(length).expect("a few dimensions").to_le_bytes());
        bytes.extend_from_slice(format!("{text:<width$}\n", width = length - 1).as_bytes());
        bytes
    }
}

/// A shape as Python prints a tuple: `()`, `(3,)`, `(3, 4)`.
pub(super) fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<_> = shape.iter().map(usize::to_string).collect();
    if sizes.len() == 1 { format!("({},)", sizes[0]) } else { format!("({})", sizes.join(", ")) }
}

fn fill(from: &mut impl Read, to: &mut [u8], what: &str) -> Result<(), Refusal> {
    from.read_exact(to).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::Damaged(format!("it ends within {what}")),
        _ => Refusal::Io(error),
    })
}

/// The element type of a `descr`, and whether it is big-endian.
fn dtype_of(descr: &str) -> Result<(Dtype, bool), Refusal> {
    let unsupported = |remedy| Refusal::Unsupported { found: format!("dtype '{descr}'"), remedy };
    let (order, code) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), code)) => (order, code),
        _ => ("|", descr),
    };
    if code.starts_with('O') {
        return Err(unsupported("Python objects are pickles, which could run anything; save plain numbers"));
    }
    let dtype = Dtype::of_code(code).ok_or_else(|| {
        unsupported("bool, integers, float32 and float64 are read; convert it with .astype")
    })?;
    Ok((dtype, order == ">"))
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn expect(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A string literal without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c))?;
        let (text, rest) = rest[1..].split_once(quote)?;
        self.rest = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        let found = [("True", true), ("False", false)].into_iter().find(|(w, _)| self.expect(w).is_some());
        found.map(|(_, value)| value)
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while self.expect(")").is_none() {
            let rest = self.rest.trim_start();
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            shape.push(rest[..digits].parse().ok()?);
            // Python 2 wrote long integers with a letter.
            self.rest = rest[digits..].strip_prefix('L').unwrap_or(&rest[digits..]);
            if self.expect(",").is_none() {
                self.expect(")")?;
                break;
            }
        }
        (shape.len() <= MOST_DIMENSIONS).then_some(shape)
    }
}
