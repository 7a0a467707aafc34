//! Element types of arrays and the conversions between them.

use std::fmt;

/// An element type that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// Signed integer of so many bytes.
    Int(u8),
    /// Unsigned integer of so many bytes.
    Uint(u8),
    /// IEEE float of 4 or 8 bytes.
    Float(u8),
}

impl Dtype {
    /// The type that NumPy calls so, without the byte order: `f8`, `i4`, `b1`.
    pub(super) fn of_code(code: &str) -> Option<Self> {
        let (kind, bytes) = code.split_at_checked(1)?;
        let bytes: u8 = bytes.parse().ok()?;
        match (kind, bytes) {
            ("b", 1) => Some(Self::Bool),
            ("i", 1 | 2 | 4 | 8) => Some(Self::Int(bytes)),
            ("u", 1 | 2 | 4 | 8) => Some(Self::Uint(bytes)),
            ("f", 4 | 8) => Some(Self::Float(bytes)),
            _ => None,
        }
    }

    /// Bytes an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(bytes) | Self::Uint(bytes) | Self::Float(bytes) => bytes.into(),
        }
    }

    /// NumPy's name with the byte order in which it is written: `<f8`.
    pub(super) fn descr(self) -> String {
        match self {
            Self::Bool => "|b1".to_owned(),
            Self::Int(1) => "|i1".to_owned(),
            Self::Uint(1) => "|u1".to_owned(),
            Self::Int(bytes) => format!("<i{bytes}"),
            Self::Uint(bytes) => format!("<u{bytes}"),
            Self::Float(bytes) => format!("<f{bytes}"),
        }
    }
}

impl fmt::Display for Dtype {
    /// As NumPy prints it: `float64`, `uint8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int(bytes) => write!(f, "int{}", u32::from(*bytes) * 8),
            Self::Uint(bytes) => write!(f, "uint{}", u32::from(*bytes) * 8),
            Self::Float(bytes) => write!(f, "float{}", u32::from(*bytes) * 8),
        }
    }
}

/// A Rust type that arrays are read into and written from. Conversions give `None` where the value does not fit:
/// an integer that is not exact as a float, a fraction as an integer, a finite float that overflows.
pub trait Element: Copy + fmt::Display {
    /// The type in a file.
    const DTYPE: Dtype;
    /// From any integer.
    fn from_integer(value: i128) -> Option<Self>;
    /// From any float. An f32 takes an f64 rounded to nearest.
    fn from_float(value: f64) -> Option<Self>;
    /// Appends the little-endian bytes.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! float {
    ($type:ty) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::Float(size_of::<Self>() as u8);
            fn from_integer(value: i128) -> Option<Self> {
                let float = value as Self;
                (float as i128 == value).then_some(float)
            }
            fn from_float(value: f64) -> Option<Self> {
                let float = value as Self;
                (float.is_finite() || !value.is_finite()).then_some(float)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    };
}

macro_rules! integer {
    ($($type:ty: $kind:ident),*) => { $(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$kind(size_of::<Self>() as u8);
            fn from_integer(value: i128) -> Option<Self> {
                value.try_into().ok()
            }
            fn from_float(value: f64) -> Option<Self> {
                exact_integer(value).and_then(Self::from_integer)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

float!(f32);
float!(f64);
integer!(i32: Int, i64: Int, u8: Uint, u32: Uint, u64: Uint);

impl Element for bool {
    const DTYPE: Dtype = Dtype::Bool;
    fn from_integer(value: i128) -> Option<Self> {
        match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn from_float(value: f64) -> Option<Self> {
        exact_integer(value).and_then(Self::from_integer)
    }
    fn put(self, out: &mut Vec<u8>) {
        out.push(self.into());
    }
}

/// The integer that a float is, exactly.
fn exact_integer(value: f64) -> Option<i128> {
    let integer = value as i128;
    (integer as f64 == value).then_some(integer)
}

/// The conversion of one element's bytes, least significant first, chosen once an array.
pub(super) fn converter<T: Element>(from: Dtype) -> fn(&[u8]) -> Option<T> {
    fn raw<const N: usize>(bytes: &[u8]) -> [u8; N] {
        std::array::from_fn(|i| bytes[i])
    }
    match from {
        Dtype::Bool => |b| bool::from_integer(b[0].into()).and_then(|bit| T::from_integer(bit.into())),
        Dtype::Int(1) => |b| T::from_integer(i8::from_le_bytes(raw(b)).into()),
        Dtype::Int(2) => |b| T::from_integer(i16::from_le_bytes(raw(b)).into()),
        Dtype::Int(4) => |b| T::from_integer(i32::from_le_bytes(raw(b)).into()),
        Dtype::Int(_) => |b| T::from_integer(i64::from_le_bytes(raw(b)).into()),
        Dtype::Uint(1) => |b| T::from_integer(b[0].into()),
        Dtype::Uint(2) => |b| T::from_integer(u16::from_le_bytes(raw(b)).into()),
        Dtype::Uint(4) => |b| T::from_integer(u32::from_le_bytes(raw(b)).into()),
        Dtype::Uint(_) => |b| T::from_integer(u64::from_le_bytes(raw(b)).into()),
        Dtype::Float(4) => |b| T::from_float(f32::from_le_bytes(raw(b)).into()),
        Dtype::Float(_) => |b| T::from_float(f64::from_le_bytes(raw(b))),
    }
}
