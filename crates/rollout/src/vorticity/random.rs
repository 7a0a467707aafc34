//! NumPy's two generators, bit for bit: what `numpy.random.seed(s)` with `numpy.random.randn` and
//! `numpy.random.default_rng(s)` with `random` draw. Files of the earlier program can only be reproduced with them.

use resident_kernels::codec_spectra::{PCG_MULTIPLIER, words};

const MT_WORDS: usize = 624;
const MT_SHIFT: usize = 397;

/// Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) with the polar method for normal numbers, as `numpy.random.seed`.
pub struct Mt19937 {
    words: [u32; MT_WORDS],
    next: usize,
    /// The second number of the last pair.
    normal: Option<f64>,
}

impl Mt19937 {
    /// The state after `numpy.random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut words = [0; MT_WORDS];
        words[0] = seed;
        for i in 1..MT_WORDS {
            let before = words[i - 1];
            words[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { words, next: MT_WORDS, normal: None }
    }

    fn refill(&mut self) {
        for i in 0..MT_WORDS {
            let mixed = (self.words[i] & 0x8000_0000) | (self.words[(i + 1) % MT_WORDS] & 0x7fff_ffff);
            let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[i] = self.words[(i + MT_SHIFT) % MT_WORDS] ^ (mixed >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == MT_WORDS {
            self.refill();
        }
        let mut y = self.words[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in [0, 1), 53 bits of two words.
    fn uniform(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// The next number of `numpy.random.randn`. Its last bit rests on the platform's logarithm.
    pub fn normal(&mut self) -> f64 {
        if let Some(normal) = self.normal.take() {
            return normal;
        }
        loop {
            let (x1, x2) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x1 * x1 + x2 * x2;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.normal = Some(factor * x1);
                return factor * x2;
            }
        }
    }
}

/// PCG64 XSL-RR 128/64 (O'Neill 2014) seeded through SeedSequence, as `numpy.random.default_rng`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
}

impl Pcg64 {
    /// The state of `numpy.random.default_rng(seed)`.
    pub fn new(seed: u128) -> Self {
        let words = seed_sequence(seed);
        let half = |at: usize| u128::from(words[at + 1]) << 32 | u128::from(words[at]);
        let wide = |at: usize| half(at) << 64 | half(at + 2);
        let (state, sequence) = (wide(0), wide(4));
        let mut generator = Self { state: 0, increment: sequence << 1 | 1 };
        generator.step();
        generator.state = generator.state.wrapping_add(state);
        generator.step();
        generator
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(PCG_MULTIPLIER).wrapping_add(self.increment);
    }

    /// State and increment as kernels take them.
    pub(super) fn words(&self) -> [[u32; 4]; 2] {
        [words(self.state), words(self.increment)]
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `numpy.random.SeedSequence(seed).generate_state(8)`: a hash of the seed's 32-bit words into a pool of four, and out of it.
fn seed_sequence(seed: u128) -> [u32; 8] {
    let words = [0, 32, 64, 96].map(|shift| (seed >> shift) as u32);
    let mut constant = 0x43b0_d7e5u32;
    let mut hash = |value: u32| {
        let mixed = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let mixed = mixed.wrapping_mul(constant);
        mixed ^ mixed >> 16
    };
    let mut pool = words.map(&mut hash);
    for from in 0..4 {
        for to in (0..4).filter(|to| *to != from) {
            let hashed = hash(pool[from]).wrapping_mul(0x4973_f715);
            let mixed = pool[to].wrapping_mul(0xca01_f9dd).wrapping_sub(hashed);
            pool[to] = mixed ^ mixed >> 16;
        }
    }
    let mut constant = 0x8b51_f9ddu32;
    std::array::from_fn(|i| {
        let mixed = pool[i % 4] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let mixed = mixed.wrapping_mul(constant);
        mixed ^ mixed >> 16
    })
}
