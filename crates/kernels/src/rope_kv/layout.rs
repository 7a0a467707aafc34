//! How the KV cache of a layer lies in memory.
//!
//! Blocks of [`KV_BLOCK`] positions, found through the block table of a sequence. A position of a head takes `words`
//! words, one f32 or two f16 each, padded with zeros to whole 16-byte quads.
//!
//! | cache | order of words | so that |
//! |---|---|---|
//! | K | `[block][kv_head][quad][position][4]` | lanes over positions read consecutive quads: a score needs no shuffles |
//! | V | `[block][kv_head][position][word]` | lanes over dimensions read consecutive quads |
//!
//! `glsl/kv_cache.glsl` declares the same.

/// Positions in a block of the KV cache.
pub const KV_BLOCK: u32 = 32;

/// Element type of a KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// One value a word.
    F32,
    /// Two values a word.
    F16,
}

impl KvType {
    /// Values in a 32-bit word.
    pub fn values_per_word(self) -> u32 {
        match self {
            KvType::F32 => 1,
            KvType::F16 => 2,
        }
    }

    /// The cache type in a kernel's name.
    pub(crate) fn of_kernel(name: &str) -> Self {
        if name.contains("_f16") { KvType::F16 } else { KvType::F32 }
    }

    /// The name as it stands in kernel names.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
        }
    }
}

/// Shape of the K cache, and of the V cache, of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Element type.
    pub dtype: KvType,
    /// Heads that K and V have.
    pub kv_heads: u32,
    /// Values of a head; even.
    pub head_dim: u32,
}

impl KvLayout {
    /// The largest K or V cache of a layer: a word's index stays below 2^31, where signed and unsigned indices agree.
    pub const MAX_BYTES: u64 = 1 << 33;

    /// Words of a position of a head.
    pub fn words(self) -> u32 {
        (self.head_dim / self.dtype.values_per_word()).next_multiple_of(4)
    }

    /// Bytes of a block in the K cache; a block in the V cache has as many.
    pub fn block_bytes(self) -> u64 {
        u64::from(self.kv_heads) * u64::from(KV_BLOCK) * u64::from(self.words()) * 4
    }

    /// Bytes of the K cache, and of the V cache, with room for `blocks` blocks.
    pub fn cache_bytes(self, blocks: u32) -> u64 {
        u64::from(blocks) * self.block_bytes()
    }

    /// Index of a word of K.
    pub fn k_index(self, block: u32, kv_head: u32, position: u32, word: u32) -> usize {
        let (quads, quad, part) = (self.words() / 4, word / 4, word % 4);
        let head = self.head_index(block, kv_head) * quads as usize;
        ((head + quad as usize) * KV_BLOCK as usize + (position % KV_BLOCK) as usize) * 4 + part as usize
    }

    /// Index of a word of V.
    pub fn v_index(self, block: u32, kv_head: u32, position: u32, word: u32) -> usize {
        let position = self.head_index(block, kv_head) * KV_BLOCK as usize + (position % KV_BLOCK) as usize;
        position * self.words() as usize + word as usize
    }

    fn head_index(self, block: u32, kv_head: u32) -> usize {
        block as usize * self.kv_heads as usize + kv_head as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_has_its_own_place() {
        for (dtype, head_dim) in [(KvType::F32, 6), (KvType::F16, 6), (KvType::F16, 24)] {
            let layout = KvLayout { dtype, kv_heads: 3, head_dim };
            let places = |index: fn(KvLayout, u32, u32, u32, u32) -> usize| -> BTreeSet<usize> {
                let mut found = BTreeSet::new();
                for (block, head, position) in
                    (0..2).flat_map(|b| (0..3).flat_map(move |h| (0..KV_BLOCK).map(move |p| (b, h, p))))
                {
                    found.extend((0..layout.words()).map(|w| index(layout, block, head, 64 + position, w)));
                }
                found
            };
            let all: BTreeSet<usize> = (0..layout.cache_bytes(2) as usize / 4).collect();
            assert_eq!(places(KvLayout::k_index), all);
            assert_eq!(places(KvLayout::v_index), all);
        }
    }

    #[test]
    fn heads_are_padded_to_whole_quads() {
        let words = |dtype, head_dim| KvLayout { dtype, kv_heads: 1, head_dim }.words();
        assert_eq!((words(KvType::F32, 128), words(KvType::F16, 128)), (128, 64));
        assert_eq!((words(KvType::F32, 6), words(KvType::F16, 6), words(KvType::F16, 10)), (8, 4, 8));
    }
}
