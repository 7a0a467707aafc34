//! What the kernels of the vorticity codec share on the host's side: `glsl/codec.glsl` is its twin. The codec itself, with
//! its bands and files, stands in the rollout crate.

use bytemuck::{Pod, Zeroable};

/// The sizes of a codec's bands, as kernels take them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BandCounts {
    /// Modes of the low band, M.
    pub low: u32,
    /// Modes of the middle band, anchors among them.
    pub mid: u32,
    /// Modes of the high band.
    pub high: u32,
    /// Anchors.
    pub anchors: u32,
}

impl BandCounts {
    /// The length of a vector.
    pub fn dimension(&self) -> u32 {
        2 * self.low + 4 + 2 * self.anchors
    }

    /// How many anchors a vector's K stands for: rounded half to even, clamped.
    pub(crate) fn kept_anchors(&self, k: f32) -> u32 {
        k.round_ties_even().clamp(0.0, self.anchors as f32) as u32
    }
}

/// What a mode is to the codec, as `places` holds it: the band in two bits, above them an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This one of the low band.
    Low(u32),
    /// In the middle band, no anchor.
    Mid,
    /// In the high band.
    High,
    /// This one of the anchors.
    Anchor(u32),
}

impl Place {
    /// The word in `places`.
    pub fn word(self) -> u32 {
        match self {
            Self::Low(index) => index << 2,
            Self::Mid => 1,
            Self::High => 2,
            Self::Anchor(index) => index << 2 | 3,
        }
    }

    pub(crate) fn of(word: u32) -> Self {
        match word & 3 {
            0 => Self::Low(word >> 2),
            1 => Self::Mid,
            2 => Self::High,
            _ => Self::Anchor(word >> 2),
        }
    }
}

/// Bands for the kernels' tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::{BandCounts, Place};

    /// Places of all modes: low, anchors, middle and high ones take turns as long as there are some, indices backwards.
    pub(crate) fn places(counts: &BandCounts) -> Vec<u32> {
        let BandCounts { low, mid, high, anchors } = *counts;
        let mut left = [low, anchors, mid - anchors, high];
        let mut places = Vec::new();
        while left.iter().any(|count| *count > 0) {
            for band in 0..4 {
                if left[band] > 0 {
                    left[band] -= 1;
                    let index = left[band];
                    places.push(
                        [Place::Low(index), Place::Anchor(index), Place::Mid, Place::High][band].word(),
                    );
                }
            }
        }
        places
    }
}
