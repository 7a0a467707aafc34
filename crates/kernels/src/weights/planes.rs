//! Where the bits of a group of 32 quants and its scales lie in a row. `glsl/weights.glsl` reads the same.
//!
//! A group's weights are two halves of four words of four bytes: weight = 16 · half + 4 · word + byte. Quants of types
//! without a minimum are centred and stored in two's complement, so that a shift to the top of a byte makes a signed byte
//! of them; those with a minimum are stored as they are.

use half::f16;
use resident_tensor::DType;
use resident_tensor::codec::{GROUP, Group, IQ4_NL_VALUES};

/// Groups of a q8_0 row whose halves are stored together.
const RUN: usize = 32;
/// Groups that share the f16 of a k-quant.
const SUPER_BLOCK: usize = 8;

/// How a type's groups are stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    low: Low,
    high: High,
    values: Values,
    pub(super) scales: Scales,
}

/// The low bits of a group's quants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Low {
    /// Whole bytes, in runs.
    Bytes,
    /// Byte 4 · word + byte of 16: the first half's quant in the low nibble, the second half's in the high one.
    Nibbles,
    /// Byte 4 · half + byte of 8: word w's quant at bit 2 · w.
    Pairs,
}

/// The bits above them, in a plane of their own behind the row's low bits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum High {
    None,
    /// Byte `byte` of 4: at bit word + 4 · half.
    Bits,
    /// As [`Low::Pairs`].
    Pairs,
}

/// What the stored bits stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    Signed,
    Unsigned,
    /// Places in iq4_nl's table.
    Table,
}

/// The scales of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scales {
    /// f16 a group.
    Scale,
    /// f16 scale and f16 minimum a group.
    ScaleAndMin,
    /// 16 bytes for 8 groups: f16 scale, f16 minimum, then by group the low 4 bits of its scale, the low 4 of its minimum,
    /// the high 2 of its scale, the high 2 of its minimum.
    SixBits,
    /// A signed byte a half; behind those of the row, an f16 for 8 groups.
    Halves,
    /// A byte a half, scale in the low nibble, minimum in the high one; behind those of the row, f16 scale and f16 minimum
    /// for 8 groups.
    HalvesAndMins,
}

impl Planes {
    #[inline(always)]
    pub(super) fn of(dtype: DType) -> Self {
        let (low, high, values, scales) = match dtype {
            DType::Q8_0 => (Low::Bytes, High::None, Values::Signed, Scales::Scale),
            DType::Q4_0 => (Low::Nibbles, High::None, Values::Signed, Scales::Scale),
            DType::Q4_1 => (Low::Nibbles, High::None, Values::Unsigned, Scales::ScaleAndMin),
            DType::Q5_0 => (Low::Nibbles, High::Bits, Values::Signed, Scales::Scale),
            DType::Q5_1 => (Low::Nibbles, High::Bits, Values::Unsigned, Scales::ScaleAndMin),
            DType::IQ4NL => (Low::Nibbles, High::None, Values::Table, Scales::Scale),
            DType::Q4K => (Low::Nibbles, High::None, Values::Unsigned, Scales::SixBits),
            DType::Q5K => (Low::Nibbles, High::Bits, Values::Unsigned, Scales::SixBits),
            DType::Q6K => (Low::Nibbles, High::Pairs, Values::Signed, Scales::Halves),
            DType::Q3K => (Low::Pairs, High::Bits, Values::Signed, Scales::Halves),
            DType::Q2K => (Low::Pairs, High::None, Values::Unsigned, Scales::HalvesAndMins),
            DType::F32 | DType::F16 | DType::BF16 => panic!("{dtype} has no groups"),
        };
        Self { low, high, values, scales }
    }

    /// Bits of a quant.
    pub(super) fn bits(&self) -> u32 {
        self.low_bits() + self.high_bits()
    }

    fn low_bits(&self) -> u32 {
        match self.low {
            Low::Bytes => 8,
            Low::Nibbles => 4,
            Low::Pairs => 2,
        }
    }

    fn high_bits(&self) -> u32 {
        match self.high {
            High::None => 0,
            High::Bits => 1,
            High::Pairs => 2,
        }
    }

    /// Adds group `at` of a row of `groups` to the row's zeroed bytes.
    pub(super) fn pack(&self, quants: &[i8; GROUP], row: &mut [u8], at: usize, groups: usize) {
        let in_table =
            |quant: i8| IQ4_NL_VALUES.iter().position(|v| *v == quant).expect("a table value") as u8;
        // Asked once a group and not once a quant, which is what loading a large model would wait for.
        let quants = match self.values {
            Values::Signed | Values::Unsigned => quants.map(|quant| quant as u8),
            Values::Table => quants.map(in_table),
        };
        if self.low == Low::Bytes {
            for (half, quants) in quants.chunks_exact(16).enumerate() {
                row[byte_half(at, half, groups)..][..16].copy_from_slice(quants);
            }
            return;
        }
        let (low_bits, low_bytes) = (self.low_bits(), 4 * self.low_bits() as usize);
        let (low, high) = row.split_at_mut(groups * low_bytes);
        let low = &mut low[at * low_bytes..][..low_bytes];
        let high_bytes = 4 * self.high_bits() as usize;
        let high = &mut high[at * high_bytes..][..high_bytes];
        for (index, quant) in quants.iter().enumerate() {
            let (half, word, byte) = (index / 16, index % 16 / 4, index % 4);
            match self.low {
                Low::Nibbles => low[4 * word + byte] |= (quant & 15) << (4 * half),
                _ => low[4 * half + byte] |= (quant & 3) << (2 * word),
            }
            let above = quant >> low_bits;
            match self.high {
                High::None => {}
                High::Bits => high[byte] |= (above & 1) << (word + 4 * half),
                High::Pairs => high[4 * half + byte] |= (above & 3) << (2 * word),
            }
        }
    }

    /// Group `at` of a row of `groups`.
    #[inline(always)]
    pub(super) fn group(&self, values: &[u8], scales: &[u8], at: usize, groups: usize) -> Group {
        self.scales.group(self.unpack(values, at, groups), scales, at, groups)
    }

    /// The quants of group `at`.
    #[inline(always)]
    fn unpack(&self, row: &[u8], at: usize, groups: usize) -> [i8; GROUP] {
        let mut quants = [0u8; GROUP];
        if self.low == Low::Bytes {
            for (half, quants) in quants.chunks_exact_mut(16).enumerate() {
                quants.copy_from_slice(&row[byte_half(at, half, groups)..][..16]);
            }
            return quants.map(|quant| quant as i8);
        }
        let low_bytes = 4 * self.low_bits() as usize;
        let (low, high) = row.split_at(groups * low_bytes);
        match self.low {
            Low::Nibbles => {
                for (index, byte) in low[at * 16..][..16].iter().enumerate() {
                    quants[index] = byte & 15;
                    quants[index + 16] = byte >> 4;
                }
            }
            _ => add_pairs(&mut quants, &low[at * 8..][..8], 0),
        }
        match self.high {
            High::None => {}
            High::Bits => {
                let high = &high[at * 4..][..4];
                for (index, quant) in quants.iter_mut().enumerate() {
                    *quant |= (high[index % 4] >> (index % 16 / 4 + index / 16 * 4) & 1) << self.low_bits();
                }
            }
            High::Pairs => add_pairs(&mut quants, &high[at * 8..][..8], self.low_bits()),
        }
        match self.values {
            Values::Unsigned => quants.map(|quant| quant as i8),
            Values::Signed => {
                let above = 8 - self.bits();
                quants.map(|quant| ((quant << above) as i8) >> above)
            }
            Values::Table => quants.map(|quant| IQ4_NL_VALUES[usize::from(quant & 15)]),
        }
    }
}

/// Where half `half` of a q8_0 group begins.
#[inline(always)]
fn byte_half(at: usize, half: usize, groups: usize) -> usize {
    let run = at / RUN * RUN;
    let in_run = RUN.min(groups - run);
    run * GROUP + half * in_run * 16 + at % RUN * 16
}

#[inline(always)]
fn add_pairs(quants: &mut [u8; GROUP], bytes: &[u8], shift: u32) {
    for (index, quant) in quants.iter_mut().enumerate() {
        *quant |= (bytes[index / 16 * 4 + index % 4] >> (index % 16 / 4 * 2) & 3) << shift;
    }
}

impl Scales {
    /// Bytes of a row.
    pub(super) fn row_bytes(self, groups: usize) -> usize {
        match self {
            Scales::Scale => groups * 2,
            Scales::ScaleAndMin => groups * 4,
            Scales::SixBits => groups / SUPER_BLOCK * 16,
            Scales::Halves => groups * 2 + groups / SUPER_BLOCK * 2,
            Scales::HalvesAndMins => groups * 2 + groups / SUPER_BLOCK * 4,
        }
    }

    /// Minima that a group has.
    pub(super) fn mins_a_group(self) -> u32 {
        match self {
            Scales::Scale | Scales::Halves => 0,
            Scales::ScaleAndMin | Scales::SixBits => 1,
            Scales::HalvesAndMins => 2,
        }
    }

    /// Adds group `at` of a row of `groups` to the row's zeroed bytes.
    pub(super) fn pack(self, group: &Group, row: &mut [u8], at: usize, groups: usize) {
        let [scale, min] = [group.scale, group.min].map(f16::to_le_bytes);
        let (block, within) = (at / SUPER_BLOCK, at % SUPER_BLOCK);
        let behind = groups * 2;
        match self {
            Scales::Scale => row[at * 2..][..2].copy_from_slice(&scale),
            Scales::ScaleAndMin => row[at * 4..][..4].copy_from_slice(&[scale, min].concat()),
            Scales::SixBits => {
                let row = &mut row[block * 16..][..16];
                row[..4].copy_from_slice(&[scale, min].concat());
                let (scale, min) = (group.sub_scales[0] as u8, group.sub_mins[0]);
                row[4 + within / 2] |= (scale & 15) << (within % 2 * 4);
                row[8 + within / 2] |= (min & 15) << (within % 2 * 4);
                row[12 + within / 4] |= scale >> 4 << (within % 4 * 2);
                row[14 + within / 4] |= min >> 4 << (within % 4 * 2);
            }
            Scales::Halves => {
                row[at * 2..][..2].copy_from_slice(&group.sub_scales.map(|scale| scale as u8));
                row[behind + block * 2..][..2].copy_from_slice(&scale);
            }
            Scales::HalvesAndMins => {
                for half in 0..2 {
                    row[at * 2 + half] = group.sub_scales[half] as u8 | group.sub_mins[half] << 4;
                }
                row[behind + block * 4..][..4].copy_from_slice(&[scale, min].concat());
            }
        }
    }

    /// Group `at` with these quants.
    #[inline(always)]
    fn group(self, quants: [i8; GROUP], row: &[u8], at: usize, groups: usize) -> Group {
        let half_at = |at: usize| f16::from_le_bytes([row[at], row[at + 1]]);
        let (block, within) = (at / SUPER_BLOCK, at % SUPER_BLOCK);
        let behind = groups * 2;
        match self {
            Scales::Scale => Group::plain(quants, half_at(at * 2), f16::ZERO),
            Scales::ScaleAndMin => Group::plain(quants, half_at(at * 4), half_at(at * 4 + 2)),
            Scales::SixBits => {
                let row = &row[block * 16..][..16];
                let of = |low: usize, high: usize| {
                    row[low + within / 2] >> (within % 2 * 4) & 15
                        | (row[high + within / 4] >> (within % 4 * 2) & 3) << 4
                };
                Group {
                    sub_scales: [of(4, 12) as i8; 2],
                    sub_mins: [of(8, 14); 2],
                    ..Group::plain(quants, half_at(block * 16), half_at(block * 16 + 2))
                }
            }
            Scales::Halves => Group {
                sub_scales: [row[at * 2] as i8, row[at * 2 + 1] as i8],
                ..Group::plain(quants, half_at(behind + block * 2), f16::ZERO)
            },
            Scales::HalvesAndMins => {
                let halves = [row[at * 2], row[at * 2 + 1]];
                Group {
                    sub_scales: halves.map(|byte| (byte & 15) as i8),
                    sub_mins: halves.map(|byte| byte >> 4),
                    ..Group::plain(quants, half_at(behind + block * 4), half_at(behind + block * 4 + 2))
                }
            }
        }
    }
}

/// Decodes a row, group by group.
#[inline(always)]
pub(super) fn decode_row(planes: &Planes, values: &[u8], scales: &[u8], row: &mut [[f32; GROUP]]) {
    let groups = row.len();
    for (at, weights) in row.iter_mut().enumerate() {
        planes.group(values, scales, at, groups).write(weights);
    }
}
