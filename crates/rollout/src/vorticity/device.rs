//! Flow, encoder and decoder as programs in f32: on a GPU, on a software driver, or interpreted by the CPU device. The
//! transforms are kernels of the project's own, for powers of two.

use super::error::check_finite;
use super::structure::MAJORITY_PASSES;
use super::{Bands, Codec, DecodeOptions, Decoded, FlowConfig, Pcg64, Place, VorticityError};
use resident_kernels::codec::{self, BandCounts};
use resident_kernels::codec_compose::{self, AtomWords, ComposeOptions};
use resident_kernels::fft::{self, Fft, Lines};
use resident_kernels::{
    Slice, box_smooth, codec_gain, codec_pack, codec_spectra, flow_spectra, heun, max_abs, ternary,
};
use resident_plan::{BufferKind, PlanBuilder, PlanId, Program};
use resident_runtime::{Session, SessionBuilder};

/// Classes of the ledger's bytes.
const TABLES: &str = "tables";
const INPUTS: &str = "inputs";
const FIELDS: &str = "fields";
const VECTORS: &str = "vectors";
/// Time steps in one submission.
const STEPS_PER_SUBMIT: u64 = 128;
/// Vortices that a decoder has room for.
const MAX_ATOMS: usize = 1024;

/// Refuses sizes that the transforms have no kernel for.
pub(super) fn check_size(n: usize) -> Result<(), VorticityError> {
    let known = u32::try_from(n).is_ok_and(|n| fft::SIZES.contains(&n) && n.is_power_of_two());
    if known {
        return Ok(());
    }
    let (least, most) = (fft::SIZES.start(), fft::SIZES.end());
    Err(VorticityError::Invalid(format!(
        "N is {n}: transforms in f32 have kernels for powers of two from {least} to {most}; take --device cpu --dtype f64, \
         which does any size"
    )))
}

/// What both transforms of a program share.
#[derive(Clone, Copy)]
struct Transform {
    n: u32,
    twiddles: Slice,
}

impl Transform {
    fn new(program: &mut Program, n: usize) -> Self {
        // check_size() let it pass.
        let n = n as u32;
        Self { n, twiddles: program.buffer("twiddles", u64::from(n) * 4, BufferKind::Weight) }
    }

    /// Bytes of a field of real values.
    fn field_bytes(&self) -> u64 {
        u64::from(self.n) * u64::from(self.n) * 4
    }

    fn cells(&self) -> u32 {
        self.n * self.n
    }

    fn load(&self, builder: &mut SessionBuilder) -> Result<(), VorticityError> {
        Ok(builder.load(self.twiddles, bytemuck::cast_slice(&fft::twiddles(self.n)), TABLES)?)
    }

    /// The spectrum of a real field, unnormalised but for `scale`.
    fn forward(&self, plan: &mut PlanBuilder<'_>, label: &str, field: Slice, scale: f32) -> Slice {
        let rows = self.rows(1, false);
        self.transform(plan, label, field, Fft { real_input: true, scale, ..rows })
    }

    /// The complex fields of spectra, without 1/N².
    fn back(&self, plan: &mut PlanBuilder<'_>, label: &str, spectra: Slice, fields: u32) -> Slice {
        self.transform(plan, label, spectra, self.rows(fields, true))
    }

    fn rows(&self, fields: u32, inverse: bool) -> Fft {
        Fft { n: self.n, fields, lines: Lines::Rows, inverse, real_input: false, scale: 1.0 }
    }

    /// Transforms the rows as `rows` says, then the columns.
    fn transform(&self, plan: &mut PlanBuilder<'_>, label: &str, x: Slice, rows: Fft) -> Slice {
        let bytes = u64::from(rows.fields) * 2 * self.field_bytes();
        let [half, y] =
            ["rows", "whole"].map(|part| plan.activation_bytes(&format!("{label}.{part}"), bytes));
        let twiddles = self.twiddles;
        plan.dispatch(format!("{label}.rows"), fft::dispatch(&rows, fft::Bindings { x, twiddles, y: half }));
        let columns = Fft { lines: Lines::Columns, real_input: false, scale: 1.0, ..rows };
        let bindings = fft::Bindings { x: half, twiddles, y };
        plan.dispatch(format!("{label}.columns"), fft::dispatch(&columns, bindings));
        y
    }
}

/// The saturated ternary structure of what smoothing takes away from a field, whose values are `step` floats apart:
/// that residual and its signs.
fn structure(
    plan: &mut PlanBuilder<'_>,
    transform: &Transform,
    config: &super::CodecConfig,
    field: Slice,
    step: u32,
) -> (Slice, Slice) {
    let (n, cells, bytes) = (transform.n, transform.cells(), transform.field_bytes());
    // A window of no cells changes nothing, as one of one cell.
    let width = (config.smooth as u32).max(1);
    let [smoothed, residual, first, second] =
        ["smoothed", "residual", "signs", "voted"].map(|name| plan.activation_bytes(name, bytes));
    let largest = plan.activation_bytes("largest", 4);
    let rows = box_smooth::BoxSmooth { n, width, lines: Lines::Rows, x_step: step, original_step: step };
    let bindings = box_smooth::Bindings { x: field, original: None, y: smoothed };
    plan.dispatch("smooth.rows", box_smooth::dispatch(&rows, bindings));
    let columns = box_smooth::BoxSmooth { lines: Lines::Columns, x_step: 1, ..rows };
    let bindings = box_smooth::Bindings { x: smoothed, original: Some(field), y: residual };
    plan.dispatch("smooth.columns", box_smooth::dispatch(&columns, bindings));
    plan.dispatch("largest", max_abs::dispatch(cells, max_abs::Bindings { x: residual, largest }));
    let bindings = ternary::threshold::Bindings { x: residual, largest, signs: first };
    plan.dispatch("threshold", ternary::threshold::dispatch(cells, config.tau as f32, bindings));
    let (mut signs, mut voted) = (first, second);
    for pass in 0..MAJORITY_PASSES {
        plan.dispatch(
            format!("vote.{pass}"),
            ternary::vote::dispatch(n, ternary::vote::Bindings { signs, voted }),
        );
        (signs, voted) = (voted, signs);
    }
    (residual, signs)
}

/// What each mode is, and how many are what.
fn places(n: usize, bands: &Bands, anchors: &[usize]) -> (Vec<u32>, BandCounts) {
    let mut places = vec![codec::Place::High.word(); n * n];
    bands.mid.iter().for_each(|at| places[*at] = codec::Place::Mid.word());
    let indexed = |list: &[usize], place: fn(u32) -> codec::Place, places: &mut Vec<u32>| {
        list.iter().enumerate().for_each(|(index, at)| places[*at] = place(index as u32).word());
    };
    indexed(&bands.low, codec::Place::Low, &mut places);
    indexed(anchors, codec::Place::Anchor, &mut places);
    let [low, mid, high, anchors] =
        [bands.low.len(), bands.mid.len(), bands.high.len(), anchors.len()].map(|count| count as u32);
    (places, BandCounts { low, mid, high, anchors })
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
}

/// A flow whose field stays on the device.
pub(super) struct DeviceFlow {
    session: Session,
    step: PlanId,
    omega: Slice,
}

impl DeviceFlow {
    pub(super) fn new(place: &Place, config: &FlowConfig, omega: &[f64]) -> Result<Self, VorticityError> {
        check_size(config.n)?;
        let mut program = Program::default();
        let transform = Transform::new(&mut program, config.n);
        let field = program.buffer("omega", transform.field_bytes(), BufferKind::State);
        let step = Self::plan(&mut program, &transform, config, field);
        let mut builder =
            SessionBuilder::new(&place.target, program, place.ledger.clone(), place.session.clone())?;
        transform.load(&mut builder)?;
        builder.load(field, bytemuck::cast_slice(&narrow(omega)), INPUTS)?;
        let session = builder.seal(&[(field, FIELDS)])?;
        Ok(Self { session, step, omega: field })
    }

    /// One time step by Heun's method.
    fn plan(program: &mut Program, transform: &Transform, config: &FlowConfig, omega: Slice) -> PlanId {
        let bytes = transform.field_bytes();
        let length = config.cs * std::f64::consts::TAU / config.n as f64;
        let step = heun::Step {
            cells: transform.cells(),
            dt: config.dt as f32,
            nu0: config.nu0 as f32,
            length_square: (length * length) as f32,
        };
        let mut plan = program.plan("flow_step", 1);
        let [viscosity, tendency, ahead] =
            ["viscosity", "tendency", "ahead"].map(|name| plan.activation_bytes(name, bytes));
        let fields = derivatives(&mut plan, transform, "begin", omega, true);
        let bindings = heun::predict::Bindings { omega, fields, viscosity, tendency, ahead };
        plan.dispatch("predict", heun::predict::dispatch(&step, bindings));
        let fields = derivatives(&mut plan, transform, "ahead", ahead, false);
        let bindings = heun::correct::Bindings { fields, viscosity, tendency, omega };
        plan.dispatch("correct", heun::correct::dispatch(&step, bindings));
        plan.finish()
    }

    pub(super) fn advance(&mut self, steps: u64) -> Result<(), VorticityError> {
        let mut left = steps;
        while left > 0 {
            let now = left.min(STEPS_PER_SUBMIT);
            let ticket = self.session.submit(&vec![self.step; now as usize])?;
            self.session.wait(ticket)?;
            left -= now;
        }
        Ok(())
    }

    pub(super) fn field(&mut self) -> Result<Vec<f64>, VorticityError> {
        let field = floats(&self.session.readback(self.omega)?);
        check_finite(super::flow::DIVERGED, &field)?;
        Ok(field)
    }
}

/// Velocity, gradient, Laplacian and, where wanted, strain of a vorticity field.
fn derivatives(
    plan: &mut PlanBuilder<'_>,
    transform: &Transform,
    label: &str,
    omega: Slice,
    with_strain: bool,
) -> Slice {
    let scale = 1.0 / transform.cells() as f32;
    let hat = transform.forward(plan, &format!("{label}.forward"), omega, scale);
    let count = 3 + u32::from(with_strain);
    let bytes = u64::from(count) * 2 * transform.field_bytes();
    let spectra = plan.activation_bytes(&format!("{label}.spectra"), bytes);
    let bindings = flow_spectra::Bindings { omega: hat, spectra };
    plan.dispatch(format!("{label}.spectra"), flow_spectra::dispatch(transform.n, with_strain, bindings));
    transform.back(plan, &format!("{label}.back"), spectra, count)
}

/// Encodes fields one by one.
pub(super) struct DeviceEncoder {
    session: Session,
    plan: PlanId,
    omega: Slice,
    z: Slice,
}

impl DeviceEncoder {
    pub(super) fn new(place: &Place, codec: &Codec) -> Result<Self, VorticityError> {
        check_size(codec.n())?;
        let mut program = Program::default();
        let transform = Transform::new(&mut program, codec.n());
        let (words, counts) = places(codec.n(), codec.bands(), codec.anchors());
        let places = program.buffer("places", transform.field_bytes(), BufferKind::Weight);
        let omega = program.buffer("omega", transform.field_bytes(), BufferKind::Mailbox);
        let z = program.buffer("z", u64::from(counts.dimension()) * 4, BufferKind::State);

        let mut plan = program.plan("encode", 1);
        let (residual, signs) = structure(&mut plan, &transform, codec.config(), omega, 1);
        let omega_hat = transform.forward(&mut plan, "omega.forward", omega, 1.0);
        let residual_hat = transform.forward(&mut plan, "residual.forward", residual, 1.0);
        let bindings = codec_pack::Bindings { omega: omega_hat, residual: residual_hat, signs, places, z };
        plan.dispatch("pack", codec_pack::dispatch(transform.n, &counts, bindings));
        let plan = plan.finish();

        let mut builder =
            SessionBuilder::new(&place.target, program, place.ledger.clone(), place.session.clone())?;
        transform.load(&mut builder)?;
        builder.load(places, bytemuck::cast_slice(&words), TABLES)?;
        let session = builder.seal(&[(z, VECTORS)])?;
        Ok(Self { session, plan, omega, z })
    }

    pub(super) fn encode(&mut self, omega: &[f64]) -> Result<Vec<f64>, VorticityError> {
        self.session.write_mailbox(self.omega, bytemuck::cast_slice(&narrow(omega)), INPUTS);
        let ticket = self.session.submit(&[self.plan])?;
        self.session.wait(ticket)?;
        Ok(floats(&self.session.readback(self.z)?))
    }
}

/// A decoder as part of a program: it decodes the f32 vectors of some slices where they lie, so a rollout can decode its state
/// without reading it back.
pub struct DecodeProgram {
    transform: Transform,
    /// By the vector.
    plans: Vec<PlanId>,
    tables: [(Slice, Vec<u32>); 2],
    generator: Slice,
    options: Slice,
    atoms: Slice,
    decoded: Slice,
}

impl DecodeProgram {
    /// Adds the decoder's buffers to a program, and a plan for each of the vectors `zs`, f32 (D).
    ///
    /// # Errors
    /// A size without kernels.
    ///
    /// # Panics
    /// If a vector is not of the codec's dimension.
    pub fn declare(program: &mut Program, codec: &Codec, zs: &[Slice]) -> Result<Self, VorticityError> {
        check_size(codec.n())?;
        let transform = Transform::new(program, codec.n());
        let (n, bytes) = (transform.n, transform.field_bytes());
        let (place_words, counts) = places(codec.n(), codec.bands(), codec.anchors());
        let jump_words = codec_spectra::jumps(n);
        let places = program.buffer("places", bytes, BufferKind::Weight);
        let jumps = program.buffer("jumps", size_of_val(&jump_words[..]) as u64, BufferKind::Weight);
        let generator = program.buffer("generator", 32, BufferKind::Mailbox);
        let options = program.buffer("options", size_of::<ComposeOptions>() as u64, BufferKind::Mailbox);
        let atoms_bytes = (MAX_ATOMS * size_of::<AtomWords>()) as u64;
        let atoms = program.buffer("atoms", atoms_bytes, BufferKind::Mailbox);
        let decoded = program.buffer("decoded", 4 * bytes, BufferKind::State);

        let mut plan_of = |z: Slice| {
            assert_eq!(z.bytes, u64::from(counts.dimension()) * 4, "a vector of the codec in f32");
            let mut plan = program.plan("decode_field", 1);
            let spectra = plan.activation_bytes("spectra", 8 * bytes);
            let gains = plan.activation_bytes("gains", 8);
            let bindings = codec_spectra::Bindings { z, places, jumps, generator, spectra };
            plan.dispatch("spectra", codec_spectra::dispatch(n, &counts, bindings));
            let fields = transform.back(&mut plan, "back", spectra, 4);
            let low = fields.at(0, 2 * bytes);
            let (_, signs) = structure(&mut plan, &transform, codec.config(), low, 2);
            let bindings = codec_gain::Bindings { z, fields, signs, gains };
            plan.dispatch("gain", codec_gain::dispatch(n, &counts, bindings));
            let bindings = codec_compose::Bindings { fields, signs, gains, options, atoms, decoded };
            plan.dispatch("compose", codec_compose::dispatch(n, bindings));
            plan.finish()
        };
        let plans = zs.iter().map(|z| plan_of(*z)).collect();
        let tables = [(places, place_words), (jumps, jump_words)];
        Ok(Self { transform, plans, tables, generator, options, atoms, decoded })
    }

    /// Loads the tables.
    ///
    /// # Errors
    /// Device errors.
    pub fn load(&self, builder: &mut SessionBuilder) -> Result<(), VorticityError> {
        self.transform.load(builder)?;
        for (slice, words) in &self.tables {
            builder.load(*slice, bytemuck::cast_slice(words), TABLES)?;
        }
        Ok(())
    }

    /// What has to be declared for [`run`](Self::run) when the session is sealed.
    pub fn readback(&self) -> (Slice, &'static str) {
        (self.decoded, FIELDS)
    }

    /// What has to be declared for [`field`](Self::field): a quarter of that.
    pub fn field_readback(&self) -> (Slice, &'static str) {
        (self.decoded.at(0, self.transform.field_bytes()), FIELDS)
    }

    /// The plan that decodes a vector.
    pub fn plan(&self, vector: usize) -> PlanId {
        self.plans[vector]
    }

    /// Decodes what the slice of a vector holds after all submitted work. The caller has checked the vector, if it can: one
    /// that is not finite gives a field that is not, which is an error.
    ///
    /// # Errors
    /// Atoms that make no sense or are too many, a field that is not finite; device errors.
    pub fn run(
        &self,
        session: &mut Session,
        vector: usize,
        options: &DecodeOptions,
    ) -> Result<Decoded, VorticityError> {
        self.replay(session, vector, options)?;
        let bytes = session.readback(self.readback().0)?;
        let mut parts = bytes.chunks_exact(bytes.len() / 4);
        let mut part = || parts.next().expect("four parts");
        let (omega, low_pass, anchors) = (floats(part()), floats(part()), floats(part()));
        let mask = part().chunks_exact(4).map(|word| word[0] == 1).collect();
        check_finite("the decoded field", &omega)?;
        Ok(Decoded { omega, low_pass, anchors, mask })
    }

    /// As [`run`](Self::run), and only the field comes back.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn field(
        &self,
        session: &mut Session,
        vector: usize,
        options: &DecodeOptions,
    ) -> Result<Vec<f64>, VorticityError> {
        self.replay(session, vector, options)?;
        let omega = floats(&session.readback(self.field_readback().0)?);
        check_finite("the decoded field", &omega)?;
        Ok(omega)
    }

    fn replay(
        &self,
        session: &mut Session,
        vector: usize,
        options: &DecodeOptions,
    ) -> Result<(), VorticityError> {
        options.check()?;
        if options.atoms.len() > MAX_ATOMS {
            let text = format!("{} atoms, a decoder in f32 has room for {MAX_ATOMS}", options.atoms.len());
            return Err(VorticityError::Invalid(text));
        }
        let atoms = options.atoms.iter().map(|atom| AtomWords {
            x: atom.x as f32,
            y: atom.y as f32,
            height: (atom.sign * atom.gamma) as f32,
            falloff: (1.0 / (2.0 * atom.radius * atom.radius)) as f32,
        });
        let atoms: Vec<AtomWords> = atoms.collect();
        let compose = ComposeOptions { without_anchors: options.legacy.into(), atoms: atoms.len() as u32 };
        let write = |to, bytes: &[u8]| session.write_mailbox(to, bytes, INPUTS);
        write(self.generator, bytemuck::cast_slice(&Pcg64::new(options.seed).words()));
        write(self.options, bytemuck::bytes_of(&compose));
        write(self.atoms, bytemuck::cast_slice(&atoms));
        let ticket = session.submit(&[self.plan(vector)])?;
        Ok(session.wait(ticket)?)
    }
}

/// Decodes vectors of the host's one by one.
pub(super) struct DeviceDecoder {
    session: Session,
    decode: DecodeProgram,
    z: Slice,
}

impl DeviceDecoder {
    pub(super) fn new(place: &Place, codec: &Codec) -> Result<Self, VorticityError> {
        let mut program = Program::default();
        let z = program.buffer("z", codec.dimension() as u64 * 4, BufferKind::Mailbox);
        let decode = DecodeProgram::declare(&mut program, codec, &[z])?;
        let mut builder =
            SessionBuilder::new(&place.target, program, place.ledger.clone(), place.session.clone())?;
        decode.load(&mut builder)?;
        let session = builder.seal(&[decode.readback()])?;
        Ok(Self { session, decode, z })
    }

    pub(super) fn decode(&mut self, z: &[f64], options: &DecodeOptions) -> Result<Decoded, VorticityError> {
        self.session.write_mailbox(self.z, bytemuck::cast_slice(&narrow(z)), INPUTS);
        self.decode.run(&mut self.session, 0, options)
    }
}
