//! The codec: a field as a vector of its low modes, three statistics and some anchor modes, and a field from such a vector.

use super::error::check_finite;
use super::fft::{Complex, Fft2, wavenumber};
use super::random::Pcg64;
use super::structure::{smooth, support};
use super::{CodecMeta, VorticityError, check_size};
use std::f64::consts::TAU;

/// What the codec keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodecConfig {
    /// Modes with |k| up to this are kept whole.
    pub k_cut: f64,
    /// Modes between `k_cut` and this are the middle band, those above the high one.
    pub mid_cut: f64,
    /// Threshold of the ternary structure.
    pub tau: f64,
    /// Width of the box filter under it.
    pub smooth: usize,
    /// Modes of the middle band that are kept whole: the anchors.
    pub top_k: usize,
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self { k_cut: 8.0, mid_cut: 12.0, tau: 0.35, smooth: 11, top_k: 128 }
    }
}

impl CodecConfig {
    /// Refuses what makes no codec.
    ///
    /// # Errors
    /// Cuts that are negative, not finite or out of order, a threshold outside (0, 1], a filter wider than 4096.
    pub fn check(&self) -> Result<(), VorticityError> {
        let Self { k_cut, mid_cut, tau, smooth, .. } = *self;
        let wrong = |text: String| Err(VorticityError::Invalid(text));
        if !(k_cut.is_finite() && mid_cut.is_finite() && k_cut >= 0.0 && mid_cut >= k_cut) {
            return wrong(format!("k_cut is {k_cut} and mid_cut {mid_cut}, expected 0 ≤ k_cut ≤ mid_cut"));
        }
        if !(tau > 0.0 && tau <= 1.0) {
            return wrong(format!("tau is {tau}, expected above 0 and at most 1"));
        }
        if smooth > *super::SIZES.end() {
            return wrong(format!(
                "the smoothing width is {smooth}, expected at most {}",
                super::SIZES.end()
            ));
        }
        Ok(())
    }
}

/// The bands of a spectrum, as flat indices `ky · N + kx` in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bands {
    /// Kept whole.
    pub low: Vec<usize>,
    /// Anchors and an energy.
    pub mid: Vec<usize>,
    /// An energy.
    pub high: Vec<usize>,
}

impl Bands {
    /// The bands of a codec for N × N cells.
    pub fn new(n: usize, config: &CodecConfig) -> Self {
        Self::with_low(n, config, |at| Self::k(n, at) <= config.k_cut)
    }

    /// The bands around a low one that a file names; the others share the rest.
    pub fn with_low(n: usize, config: &CodecConfig, is_low: impl Fn(usize) -> bool) -> Self {
        let (low, rest): (Vec<_>, Vec<_>) = (0..n * n).partition(|at| is_low(*at));
        let (mid, high) = rest.into_iter().partition(|at| Self::k(n, *at) <= config.mid_cut);
        Self { low, mid, high }
    }

    /// |k| of a flat index.
    fn k(n: usize, at: usize) -> f64 {
        wavenumber(at % n, n).hypot(wavenumber(at / n, n))
    }
}

/// A Gaussian vortex to add to a decoded field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atom {
    /// Centre along x, in [0, 2π).
    pub x: f64,
    /// Centre along y, in [0, 2π).
    pub y: f64,
    /// +1 or −1.
    pub sign: f64,
    /// Height.
    pub gamma: f64,
    /// Width.
    pub radius: f64,
}

/// How to decode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DecodeOptions<'a> {
    /// Seed of the random phases; [`CodecMeta::seed_at`] has that of a step.
    pub seed: u128,
    /// Leave the anchors out, as the earlier program did.
    pub legacy: bool,
    /// Vortices to add.
    pub atoms: &'a [Atom],
}

impl DecodeOptions<'_> {
    /// Refuses what cannot be added to a field.
    ///
    /// # Errors
    /// An atom that is not finite or has no width.
    pub fn check(&self) -> Result<(), VorticityError> {
        for (index, atom) in self.atoms.iter().enumerate() {
            check_finite(&format!("atom {index}"), &[atom.x, atom.y, atom.sign, atom.gamma, atom.radius])?;
            if atom.radius <= 0.0 {
                let text = format!("atom {index} has the radius {}, expected above 0", atom.radius);
                return Err(VorticityError::Invalid(text));
            }
        }
        Ok(())
    }
}

/// A decoded field.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The field.
    pub omega: Vec<f64>,
    /// What the low modes alone give.
    pub low_pass: Vec<f64>,
    /// What the anchors alone give. In `omega` unless decoded as legacy.
    pub anchors: Vec<f64>,
    /// Where the synthesised residual may be.
    pub mask: Vec<bool>,
}

/// Encodes and decodes fields of N × N cells in f64 on the CPU.
pub struct Codec {
    n: usize,
    config: CodecConfig,
    bands: Bands,
    anchors: Vec<usize>,
    fft: Fft2,
}

impl Codec {
    /// The codec of a trajectory: its anchors are the strongest modes of the middle band of the first frame's residual, in
    /// descending order, of equal ones the lower index first.
    ///
    /// # Errors
    /// A configuration or a frame that makes no sense.
    pub fn for_first_frame(n: usize, config: CodecConfig, frame: &[f64]) -> Result<Self, VorticityError> {
        check_size(n)?;
        config.check()?;
        let mut codec =
            Self { n, config, bands: Bands::new(n, &config), anchors: Vec::new(), fft: Fft2::new(n) };
        codec.check_frame(frame)?;
        let hat = codec.fft.forward(&codec.residual(frame));
        // The modes k and −k of a real field are equally strong; rounding must not decide between them.
        let mirrored = |at: usize| (n - at / n) % n * n + (n - at % n) % n;
        let strength = |at: usize| hat[at].norm().min(hat[mirrored(at)].norm());
        let mut order = codec.bands.mid.clone();
        order.sort_by(|a, b| strength(*b).total_cmp(&strength(*a)));
        order.truncate(config.top_k);
        codec.anchors = order;
        Ok(codec)
    }

    /// The codec that a file describes.
    ///
    /// # Errors
    /// A configuration that makes no sense.
    pub fn from_meta(meta: &CodecMeta) -> Result<Self, VorticityError> {
        check_size(meta.n)?;
        meta.config.check()?;
        let bands = Bands::with_low(meta.n, &meta.config, |at| meta.mask_low[at]);
        let fft = Fft2::new(meta.n);
        Ok(Self { n: meta.n, config: meta.config, bands, anchors: meta.anchors.clone(), fft })
    }

    /// Cells a side.
    pub fn n(&self) -> usize {
        self.n
    }

    /// What it keeps.
    pub fn config(&self) -> &CodecConfig {
        &self.config
    }

    /// The bands.
    pub fn bands(&self) -> &Bands {
        &self.bands
    }

    /// Flat indices of the anchors, in their order in a vector.
    pub fn anchors(&self) -> &[usize] {
        &self.anchors
    }

    /// The length D of a vector: real and imaginary parts of low modes and anchors, and four numbers.
    pub fn dimension(&self) -> usize {
        2 * self.bands.low.len() + 4 + 2 * self.anchors.len()
    }

    /// `[Re low, Im low, support, E_mid, E_high, K, Re anchors, Im anchors]` of a field, the modes divided by N².
    ///
    /// # Errors
    /// A field of another size, or not finite.
    pub fn encode(&self, omega: &[f64]) -> Result<Vec<f64>, VorticityError> {
        self.check_frame(omega)?;
        let scale = (self.n * self.n) as f64;
        let hat = self.fft.forward(omega);
        let residual = self.residual(omega);
        let support = support(&residual, self.n, self.config.tau);
        let support = support.iter().filter(|s| **s).count() as f64 / scale;
        let residual_hat = self.fft.forward(&residual);
        let energy = |band: &[usize]| {
            band.iter().map(|at| residual_hat[*at].norm_sqr()).sum::<f64>() / (scale * scale)
        };
        let rest = self.bands.mid.len() - self.anchors.len();
        let mean = |energy: f64, modes: usize| if modes > 0 { energy / modes as f64 } else { 0.0 };
        let low = || self.bands.low.iter().map(|at| hat[*at] / scale);
        let anchors = || self.anchors.iter().map(|at| residual_hat[*at] / scale);

        let mut z: Vec<f64> = low().map(|c| c.re).chain(low().map(|c| c.im)).collect();
        z.push(support);
        z.push(mean(energy(&self.bands.mid) - energy(&self.anchors), rest));
        z.push(mean(energy(&self.bands.high), self.bands.high.len()));
        z.push(self.anchors.len() as f64);
        z.extend(anchors().map(|c| c.re).chain(anchors().map(|c| c.im)));
        Ok(z)
    }

    /// The field of a vector: its low modes and anchors, and a residual of random phases with the energies that it names.
    ///
    /// # Errors
    /// A vector of another length, or not finite; an atom that is not finite or has no width.
    pub fn decode(&self, z: &[f64], options: &DecodeOptions) -> Result<Decoded, VorticityError> {
        self.check_vector(z)?;
        options.check()?;
        let modes = self.bands.low.len();
        let head = &z[2 * modes..2 * modes + 4];
        let low_pass = self.field_of(&self.bands.low, &z[..modes], &z[modes..]);
        let residual = subtract(&low_pass, &smooth(&low_pass, self.n, self.config.smooth));
        let mask = support(&residual, self.n, self.config.tau);

        let kept = self.kept_anchors(head[3]);
        let (re, im) = z[2 * modes + 4..].split_at(self.anchors.len());
        let anchors = self.field_of(&self.anchors[..kept], re, im);
        let mut mid = self.bands.mid.clone();
        mid.retain(|at| !self.anchors[..kept].contains(at));

        let mut random = Pcg64::new(options.seed);
        let mut omega = low_pass.clone();
        if !options.legacy {
            add(&mut omega, &anchors);
        }
        for (band, energy) in [(&mid, head[1]), (&self.bands.high, head[2])] {
            if !band.is_empty() && energy > 0.0 {
                add(&mut omega, &self.synthesise(band, energy, &mask, &mut random));
            }
        }
        options.atoms.iter().for_each(|atom| atom.add_to(&mut omega, self.n));
        Ok(Decoded { omega, low_pass, anchors, mask })
    }

    /// How many anchors a vector's K stands for: K drifts when an operator rolls it.
    pub fn kept_anchors(&self, k: f64) -> usize {
        // Half to even, as Python rounds; the cast takes what is negative as 0.
        (k.round_ties_even() as usize).min(self.bands.mid.len()).min(self.anchors.len())
    }

    /// Refuses a vector that cannot be decoded.
    ///
    /// # Errors
    /// Another length, or not finite.
    pub fn check_vector(&self, z: &[f64]) -> Result<(), VorticityError> {
        if z.len() != self.dimension() {
            let (low, anchors) = (self.bands.low.len(), self.anchors.len());
            return Err(VorticityError::Invalid(format!(
                "the vector has {} values, expected {} (2·{low} low modes + 4 + 2·{anchors} anchors)",
                z.len(),
                self.dimension()
            )));
        }
        check_finite("the vector", z)
    }

    /// Refuses a field that cannot be encoded.
    ///
    /// # Errors
    /// Another size, or not finite.
    pub fn check_frame(&self, omega: &[f64]) -> Result<(), VorticityError> {
        let cells = self.n * self.n;
        if omega.len() != cells {
            return Err(VorticityError::Invalid(format!(
                "a field has {} values, expected {cells}",
                omega.len()
            )));
        }
        check_finite("a field", omega)
    }

    fn residual(&self, omega: &[f64]) -> Vec<f64> {
        subtract(omega, &smooth(omega, self.n, self.config.smooth))
    }

    /// The real part of the field that has these modes, times N², and no others.
    fn field_of(&self, modes: &[usize], re: &[f64], im: &[f64]) -> Vec<f64> {
        let scale = (self.n * self.n) as f64;
        let mut hat = vec![Complex::default(); self.n * self.n];
        for ((at, re), im) in modes.iter().zip(re).zip(im) {
            hat[*at] = Complex::new(*re, *im) * scale;
        }
        self.fft.inverse_real(hat)
    }

    /// A field with this energy in each mode of the band, at random phases, where the mask lets it; N² numbers are drawn.
    fn synthesise(&self, band: &[usize], energy: f64, mask: &[bool], random: &mut Pcg64) -> Vec<f64> {
        let cells = self.n * self.n;
        let phases: Vec<f64> = (0..cells).map(|_| TAU * random.uniform()).collect();
        let magnitude = energy.sqrt() * cells as f64;
        let mut hat = vec![Complex::default(); cells];
        for at in band {
            hat[*at] = Complex::from_polar(magnitude, phases[*at]);
        }
        let mut field = self.fft.inverse_real(hat);
        for (value, open) in field.iter_mut().zip(mask) {
            if !open {
                *value = 0.0;
            }
        }
        let mean_square = field.iter().map(|value| value * value).sum::<f64>() / cells as f64;
        if mean_square > 1e-30 {
            let scale = (band.len() as f64 * energy / mean_square).sqrt();
            field.iter_mut().for_each(|value| *value *= scale);
        }
        field
    }
}

impl Atom {
    /// Adds sign · gamma · exp(−d²/2r²) with the periodic distance d from cell centres (i + ½) 2π/N.
    fn add_to(&self, omega: &mut [f64], n: usize) {
        let distance = |index: usize, centre: f64| {
            let d = ((index as f64 + 0.5) * TAU / n as f64 - centre).abs();
            d.min(TAU - d)
        };
        for (at, value) in omega.iter_mut().enumerate() {
            let (dx, dy) = (distance(at % n, self.x), distance(at / n, self.y));
            let square = dx * dx + dy * dy;
            *value += self.sign * self.gamma * (-square / (2.0 * self.radius * self.radius)).exp();
        }
    }
}

fn subtract(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn add(to: &mut [f64], what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += what);
}
