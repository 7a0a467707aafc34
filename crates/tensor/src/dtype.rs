//! The element types of weights. A quantised type stores its elements in blocks; a row is a whole number of blocks.

use std::fmt;

/// Element type of a weight tensor, named as GGUF names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    IQ4NL,
}

/// What distinguishes one type from another, in one row.
struct Facts {
    dtype: DType,
    name: &'static str,
    ggml_type: u32,
    block_len: usize,
    block_bytes: usize,
    /// Byte offsets in a block at which an f16 scale stands.
    f16_scales: &'static [usize],
}

const fn facts(
    dtype: DType,
    name: &'static str,
    ggml_type: u32,
    (block_len, block_bytes): (usize, usize),
    f16_scales: &'static [usize],
) -> Facts {
    Facts { dtype, name, ggml_type, block_len, block_bytes, f16_scales }
}

/// In the order of the enum, so that a type's discriminant is its index.
static FACTS: [Facts; 14] = [
    facts(DType::F32, "f32", 0, (1, 4), &[]),
    facts(DType::F16, "f16", 1, (1, 2), &[]),
    facts(DType::BF16, "bf16", 30, (1, 2), &[]),
    facts(DType::Q8_0, "q8_0", 8, (32, 34), &[0]),
    facts(DType::Q4_0, "q4_0", 2, (32, 18), &[0]),
    facts(DType::Q4_1, "q4_1", 3, (32, 20), &[0, 2]),
    facts(DType::Q5_0, "q5_0", 6, (32, 22), &[0]),
    facts(DType::Q5_1, "q5_1", 7, (32, 24), &[0, 2]),
    facts(DType::Q2K, "q2_k", 10, (256, 84), &[80, 82]),
    facts(DType::Q3K, "q3_k", 11, (256, 110), &[108]),
    facts(DType::Q4K, "q4_k", 12, (256, 144), &[0, 2]),
    facts(DType::Q5K, "q5_k", 13, (256, 176), &[0, 2]),
    facts(DType::Q6K, "q6_k", 14, (256, 210), &[208]),
    facts(DType::IQ4NL, "iq4_nl", 20, (32, 18), &[0]),
];

/// Names of the ggml type ids that have no [`DType`], for messages.
static OTHER_GGML_TYPES: &[(u32, &str)] = &[
    (9, "q8_1"),
    (15, "q8_k"),
    (16, "iq2_xxs"),
    (17, "iq2_xs"),
    (18, "iq3_xxs"),
    (19, "iq1_s"),
    (21, "iq3_s"),
    (22, "iq2_s"),
    (23, "iq4_xs"),
    (24, "i8"),
    (25, "i16"),
    (26, "i32"),
    (27, "i64"),
    (28, "f64"),
    (29, "iq1_m"),
    (34, "tq1_0"),
    (35, "tq2_0"),
    (39, "mxfp4"),
];

/// Why a tensor of some type and shape has no size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// The last dimension does not fill its blocks.
    #[error("a row of {cols} elements is no multiple of the {} elements of a {dtype} block", dtype.block_len())]
    PartialBlock {
        /// The type asked about.
        dtype: DType,
        /// Elements in a row.
        cols: u64,
    },
    /// More bytes or elements than 64 bits count.
    #[error("its size overflows 64 bits")]
    Overflow,
}

impl DType {
    /// Every type, in the order of the enum.
    pub fn all() -> impl Iterator<Item = DType> {
        FACTS.iter().map(|facts| facts.dtype)
    }

    /// The type that GGUF stores under this id, if Resident knows it.
    pub fn from_ggml_type(id: u32) -> Option<DType> {
        FACTS.iter().find(|facts| facts.ggml_type == id).map(|facts| facts.dtype)
    }

    /// The id under which GGUF stores this type.
    pub fn ggml_type(self) -> u32 {
        self.facts().ggml_type
    }

    /// Name as GGUF writes it, in lower case: `q8_0`, `q4_k`, `bf16`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Elements in a block; 1 for plain floats.
    pub fn block_len(self) -> usize {
        self.facts().block_len
    }

    /// Bytes in a block of [`block_len`](Self::block_len) elements.
    pub fn block_bytes(self) -> usize {
        self.facts().block_bytes
    }

    /// Whether elements share scales within blocks.
    pub fn is_quantised(self) -> bool {
        self.block_len() > 1
    }

    /// Byte offsets in a block at which its f16 scales stand; empty for plain floats.
    pub fn f16_scale_offsets(self) -> &'static [usize] {
        self.facts().f16_scales
    }

    /// Bytes of a row of `cols` elements.
    pub fn row_bytes(self, cols: u64) -> Result<u64, SizeError> {
        if !cols.is_multiple_of(self.block_len() as u64) {
            return Err(SizeError::PartialBlock { dtype: self, cols });
        }
        (cols / self.block_len() as u64).checked_mul(self.block_bytes() as u64).ok_or(SizeError::Overflow)
    }

    /// Bytes of a tensor of this shape, row-major, the last dimension being the row. A scalar has the shape `[]`.
    pub fn tensor_bytes(self, shape: &[u64]) -> Result<u64, SizeError> {
        let (cols, outer) = shape.split_last().map_or((1, &[][..]), |(cols, outer)| (*cols, outer));
        let elements = shape.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
        let rows = outer.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
        let (Some(_), Some(rows)) = (elements, rows) else { return Err(SizeError::Overflow) };
        self.row_bytes(cols)?.checked_mul(rows).ok_or(SizeError::Overflow)
    }

    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Names any ggml type id for a message: `q4_k`, `iq2_xs`, `ggml type 77`.
pub fn ggml_type_name(id: u32) -> String {
    DType::from_ggml_type(id)
        .map(DType::name)
        .or_else(|| OTHER_GGML_TYPES.iter().find(|(other, _)| *other == id).map(|(_, name)| *name))
        .map_or_else(|| format!("ggml type {id}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_at_their_discriminant() {
        for (index, facts) in FACTS.iter().enumerate() {
            assert_eq!(facts.dtype as usize, index, "{}", facts.name);
            assert_eq!(DType::from_ggml_type(facts.ggml_type), Some(facts.dtype));
            assert!(facts.f16_scales.iter().all(|offset| offset + 2 <= facts.block_bytes));
        }
    }

    #[test]
    fn ids_without_a_dtype_have_a_name() {
        assert_eq!(ggml_type_name(8), "q8_0");
        assert_eq!(ggml_type_name(17), "iq2_xs");
        assert_eq!(ggml_type_name(77), "ggml type 77");
        for (id, name) in OTHER_GGML_TYPES {
            assert_eq!(DType::from_ggml_type(*id), None, "{name} is known");
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(DType::Q8_0.row_bytes(64), Ok(68));
        assert_eq!(DType::F16.row_bytes(172), Ok(344));
        assert_eq!(
            DType::Q8_0.row_bytes(172),
            Err(SizeError::PartialBlock { dtype: DType::Q8_0, cols: 172 })
        );
        assert_eq!(
            DType::Q4K.row_bytes(32).unwrap_err().to_string(),
            "a row of 32 elements is no multiple of the 256 elements of a q4_k block"
        );
        assert_eq!(DType::F32.row_bytes(u64::MAX), Err(SizeError::Overflow));
    }

    #[test]
    fn tensor_sizes_do_not_wrap() {
        assert_eq!(DType::F32.tensor_bytes(&[]), Ok(4));
        assert_eq!(DType::F32.tensor_bytes(&[3, 5]), Ok(60));
        assert_eq!(DType::Q8_0.tensor_bytes(&[2, 3, 32]), Ok(204));
        assert_eq!(DType::F16.tensor_bytes(&[1 << 32, 1 << 32]), Err(SizeError::Overflow));
    }
}
