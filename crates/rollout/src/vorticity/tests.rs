//! The fixture is made by `tests/fixtures/vorticity_oracle.py`: float64 NumPy, N = 32, 40 steps of seed 3.

use super::*;
use crate::npz::{Compression, Npz, NpzWriter};
use resident_ledger::Ledger;
use resident_plan::{BufferKind, Program};
use resident_runtime::{SessionBuilder, SessionOptions, Target};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const N: usize = 32;
/// The frames of the fixture.
const STEPS: [usize; 4] = [0, 1, 10, 40];

fn fixture<T: crate::npz::Element>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vorticity.npz");
    Npz::open(&path).unwrap().read(name).unwrap().values
}

fn frames() -> Vec<Vec<f64>> {
    fixture("frames").chunks(N * N).map(<[f64]>::to_vec).collect()
}

fn flow_config() -> FlowConfig {
    FlowConfig { n: N, dt: 0.01, nu0: 1e-4, cs: 0.17 }
}

fn codec() -> Codec {
    Codec::for_first_frame(N, CodecConfig::default(), &frames()[0]).unwrap()
}

fn meta() -> CodecMeta {
    CodecMeta::of(&codec(), true, 7, 0.01)
}

fn vector(frame: usize) -> Vec<f64> {
    let z = fixture("z");
    let dimension = z.len() / STEPS.len();
    z[frame * dimension..][..dimension].to_vec()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let error = relative_error(found, expected);
    assert!(error <= tolerance, "relative error {error:.2e}, tolerance {tolerance:.0e}");
}

fn message<T>(result: Result<T, VorticityError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn random_numbers_are_numpys_bit_for_bit() {
    let randn = |seed, count| -> Vec<f64> {
        let mut random = Mt19937::new(seed);
        (0..count).map(|_| random.normal()).collect()
    };
    assert_eq!(randn(5, 7), fixture::<f64>("randn"));
    assert_eq!(randn(u32::MAX, 3), fixture::<f64>("randn_large_seed"));
    let uniform = |seed, count| -> Vec<f64> {
        let mut random = Pcg64::new(seed);
        (0..count).map(|_| random.uniform()).collect()
    };
    assert_eq!(uniform(7, 9), fixture::<f64>("uniform"));
    assert_eq!(uniform(u128::from(u64::MAX), 3), fixture::<f64>("uniform_large_seed"));
}

#[test]
fn the_flow_is_that_of_the_formulas() {
    let flow = Flow::new(flow_config()).unwrap();
    let expected = frames();
    let mut omega = initial_field(N, 3);
    assert_close(&omega, &expected[0], 1e-14);
    for step in 1..=40 {
        omega = flow.step(&omega).unwrap();
        if let Some(frame) = STEPS.iter().position(|s| *s == step) {
            assert_close(&omega, &expected[frame], 1e-12);
        }
    }
}

#[test]
fn a_flow_without_viscosity_keeps_its_energy_and_a_viscous_one_loses_it() {
    let omega = initial_field(64, 1);
    let loss = |config: FlowConfig| {
        let flow = Flow::new(config).unwrap();
        let (before, _) = flow.energy_and_enstrophy(&omega);
        let after = (0..5).fold(omega.clone(), |omega, _| flow.step(&omega).unwrap());
        (before - flow.energy_and_enstrophy(&after).0) / before
    };
    let config = FlowConfig { n: 64, dt: 0.01, nu0: 0.0, cs: 0.0 };
    assert!(loss(config).abs() < 1e-4, "{}", loss(config));
    assert!(loss(FlowConfig { cs: 0.17, ..config }) > 1e-4);
}

#[test]
fn a_single_mode_decays_as_it_must() {
    // cos(3x) advects nothing: one Heun step multiplies it by 1 − a + a²/2 with a = ν k² dt.
    let config = FlowConfig { n: 32, dt: 0.05, nu0: 0.1, cs: 0.0 };
    let field: Vec<f64> =
        (0..N * N).map(|at| (3.0 * (at % N) as f64 * std::f64::consts::TAU / N as f64).cos()).collect();
    let a = 0.1 * 9.0 * 0.05;
    let expected: Vec<f64> = field.iter().map(|value| value * (1.0 - a + a * a / 2.0)).collect();
    assert_close(&Flow::new(config).unwrap().step(&field).unwrap(), &expected, 1e-14);
}

#[test]
fn encoding_is_that_of_the_formulas() {
    let codec = codec();
    assert!(codec.anchors().iter().copied().eq(fixture::<u64>("anchors").into_iter().map(|at| at as usize)));
    let bands = codec.bands();
    assert_eq!((bands.low.len(), bands.mid.len(), codec.dimension()), (197, 244, 654));
    for (index, frame) in frames().iter().enumerate() {
        let (found, expected) = (codec.encode(frame).unwrap(), vector(index));
        // K = 128 would hide everything else in the norm, so the blocks are compared one by one.
        for block in [0..197, 197..394, 395..396, 396..397, 398..526, 526..654] {
            assert_close(&found[block.clone()], &expected[block], 1e-12);
        }
        assert_eq!((found[394], found[397]), (expected[394], expected[397]));
    }
}

#[test]
fn decoding_is_that_of_the_formulas() {
    let codec = codec();
    let decode = |z: &[f64], legacy, atoms: &[Atom]| {
        let seed = meta().seed_at(40);
        codec.decode(z, &DecodeOptions { seed, legacy, atoms }).unwrap().omega
    };
    let atoms: Vec<f64> = fixture("atoms");
    let atom = |v: &[f64]| Atom { x: v[0], y: v[1], sign: v[2], gamma: v[3], radius: v[4] };
    let atoms: Vec<Atom> = atoms.chunks(5).map(atom).collect();
    assert_close(&decode(&vector(3), true, &[]), &fixture::<f64>("legacy"), 1e-12);
    assert_close(&decode(&vector(3), false, &[]), &fixture::<f64>("corrected"), 1e-12);
    assert_close(&decode(&vector(3), false, &atoms), &fixture::<f64>("with_atoms"), 1e-12);
    // K drifted to 99.6, so 100 anchors are kept and the other 28 belong to the band again.
    assert_close(&decode(&fixture::<f64>("drifted"), false, &[]), &fixture::<f64>("drifted_field"), 1e-12);
}

#[test]
fn k_is_rounded_and_clamped() {
    let codec = codec();
    let kept = [-5.0, 0.5, 1.5, 127.98, 119.7, 1e30, 300.0].map(|k| codec.kept_anchors(k));
    assert_eq!(kept, [0, 0, 2, 128, 120, 128, 128]);
}

#[test]
fn the_support_is_that_of_the_formulas() {
    let omega = &frames()[3];
    let smoothed = structure::smooth(omega, N, 11);
    let residual: Vec<f64> = omega.iter().zip(&smoothed).map(|(a, b)| a - b).collect();
    assert_eq!(structure::support(&residual, N, 0.35), fixture::<bool>("support"));
}

#[test]
fn smoothing_pads_with_zeros_and_even_windows_lean_back() {
    let mut field = vec![0.0; 64];
    field[3 * 8 + 1] = 16.0;
    // A window of 4 covers i − 2 … i + 1, so the impulse at 1 reaches cells 0 to 3.
    let smoothed = structure::smooth(&field, 8, 4);
    for (at, value) in smoothed.iter().enumerate() {
        let inside = (2..=5).contains(&(at / 8)) && (0..=3).contains(&(at % 8));
        assert_eq!(*value, if inside { 1.0 } else { 0.0 }, "{at}");
    }
    assert_eq!(structure::smooth(&field, 8, 1), field);
}

/// Without viscosity of the eddies and with an odd or a prime size nothing special happens.
#[test]
fn sizes_that_are_no_powers_of_two_work() {
    for n in [9, 27, 30, 37] {
        let mut omega = initial_field(n, 2);
        let flow = Flow::new(FlowConfig { n, ..flow_config() }).unwrap();
        omega = flow.step(&omega).unwrap();
        let codec = Codec::for_first_frame(n, CodecConfig::default(), &omega).unwrap();
        let z = codec.encode(&omega).unwrap();
        let decoded = codec.decode(&z, &DecodeOptions::default()).unwrap();
        assert!(relative_error(&decoded.low_pass, &omega) < 1.0, "{n}");
    }
}

#[test]
fn a_fit_finds_the_operator_of_a_linear_sequence() {
    let dimension = 11;
    let mut random = Pcg64::new(1);
    let a: Vec<f64> = (0..dimension * dimension).map(|_| (random.uniform() - 0.5) / 2.0).collect();
    let mut z: Vec<f64> = Vec::new();
    // Fresh starts keep X of full rank; the first fit sees transitions between them, so they are left out of it.
    let next = |row: &[f64]| -> Vec<f64> {
        (0..dimension).map(|j| (0..dimension).map(|i| row[i] * a[i * dimension + j]).sum()).collect()
    };
    let mut row: Vec<f64> = (0..dimension).map(|_| random.uniform() * 1e3).collect();
    for _ in 0..dimension * 2 {
        z.extend(&row);
        row = next(&row);
    }
    let fitted = fit(&z, dimension, 1e-9).unwrap();
    let predicted: Vec<f64> = next(&z[..dimension]);
    let from_fit: Vec<f64> =
        (0..dimension).map(|j| (0..dimension).map(|i| z[i] * fitted[i * dimension + j]).sum()).collect();
    assert_close(&from_fit, &predicted, 1e-6);
}

#[test]
fn a_fit_solves_the_normal_equations() {
    let (frames, dimension, ridge) = (40, 21, 1e-3);
    let mut random = Pcg64::new(2);
    let z: Vec<f64> = (0..frames * dimension).map(|_| random.uniform() - 0.5).collect();
    let a = fit(&z, dimension, ridge).unwrap();
    let at = |t: usize, i: usize| z[t * dimension + i];
    for i in 0..dimension {
        for j in 0..dimension {
            let gram = |k: usize| {
                (0..frames - 1).map(|t| at(t, i) * at(t, k)).sum::<f64>() + if i == k { ridge } else { 0.0 }
            };
            let left: f64 = (0..dimension).map(|k| gram(k) * a[k * dimension + j]).sum();
            let right: f64 = (0..frames - 1).map(|t| at(t, i) * at(t + 1, j)).sum();
            assert!((left - right).abs() < 1e-11, "({i}, {j}): {left} and {right}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let codec = codec();
    let z = vector(0);
    let decode = |z: &[f64]| message(codec.decode(z, &DecodeOptions::default()));
    assert!(decode(&z[1..]).contains("653 values, expected 654 (2·197 low modes + 4 + 2·128 anchors)"));
    let mut broken = z.clone();
    broken[7] = f64::NAN;
    assert!(decode(&broken).contains("value 7 is NaN, expected finite"));
    let mut frame = frames()[0].clone();
    frame[9] = f64::INFINITY;
    assert!(message(codec.encode(&frame)).contains("value 9 is inf"));
    assert!(message(codec.encode(&[1.0; 5])).contains("5 values, expected 1024"));
    let flat = Atom { x: 0.0, y: 0.0, sign: 1.0, gamma: 1.0, radius: 0.0 };
    let options = DecodeOptions { atoms: &[flat], ..DecodeOptions::default() };
    assert!(message(codec.decode(&z, &options)).contains("radius 0, expected above 0"));
    for (config, what) in [
        (FlowConfig { n: 7, ..flow_config() }, "N is 7"),
        (FlowConfig { dt: 0.0, ..flow_config() }, "dt is 0"),
        (FlowConfig { nu0: -1.0, ..flow_config() }, "nu0 is -1"),
        (FlowConfig { cs: f64::NAN, ..flow_config() }, "Cs is NaN"),
    ] {
        assert!(message(Flow::new(config)).contains(what));
    }
    let flow = Flow::new(FlowConfig { dt: 1e200, ..flow_config() }).unwrap();
    assert!(message(flow.step(&frames()[0])).contains("take a smaller dt"));
    assert!(message(fit(&[1.0; 4], 4, 1.0)).contains("two vectors or more"));
    assert!(message(fit(&[1.0; 8], 4, 0.0)).contains("λ is 0"));
    assert!(message(fit(&[f64::NAN; 8], 4, 1.0)).contains("value 0 is NaN and 7 more"));
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn scratch() -> Scratch {
    Scratch(tempfile::tempdir().unwrap())
}

#[test]
fn a_state_comes_back_as_it_was() {
    let folder = scratch();
    let path = folder.path("run_z0.npz");
    let state = State { z: vector(0), meta: meta() };
    state.write(&path).unwrap();
    assert_eq!(State::read(&path).unwrap(), state);
    let narrow = State { meta: CodecMeta { f64: false, ..meta() }, ..state };
    narrow.write(&path).unwrap();
    let read = State::read(&path).unwrap();
    assert_eq!(read.meta, narrow.meta);
    assert!(read.z.iter().zip(&narrow.z).all(|(read, z)| *read == f64::from(*z as f32)));
}

#[test]
fn a_file_that_contradicts_itself_is_refused_by_key() {
    let folder = scratch();
    let path = folder.path("z0.npz");
    let refused = |change: &dyn Fn(&mut CodecMeta)| {
        let mut meta = meta();
        change(&mut meta);
        State { z: vector(0), meta }.write(&path).unwrap();
        message(State::read(&path))
    };
    assert!(refused(&|m| m.anchors[3] = 0).contains("'anchor_idx' is [… 0 …], expected distinct"));
    assert!(refused(&|m| m.anchors[3] = m.anchors[4]).contains("expected distinct"));
    assert!(
        refused(&|m| m.mask_low.truncate(100)).contains("'mask_low' is bool (100,), expected shape (1024,)")
    );
    assert!(refused(&|m| m.mask_low[500] = true).contains("'z' is float64 (654,), expected shape (656,)"));
    assert!(refused(&|m| m.n = 64).contains("expected shape (4096,)"));
    assert!(refused(&|m| m.n = 5000).contains("N is 5000 cells a side, expected 8 to 4096"));
    assert!(refused(&|m| m.config.tau = f64::NAN).contains("tau is NaN"));
    assert!(refused(&|m| m.config.mid_cut = 1.0).contains("0 ≤ k_cut ≤ mid_cut"));
    let mut file = NpzWriter::create(&path, Compression::Stored).unwrap();
    file.array("z", &[3], &[1.0, 2.0, 3.0]).unwrap();
    file.scalar("N", 32i64).unwrap();
    file.finish().unwrap();
    let found = message(State::read(&path));
    assert!(
        found.contains("decoding needs mask_low, anchor_idx, k_cut") && found.contains("it has z, N"),
        "{found}"
    );
}

#[test]
fn sequences_operators_and_atoms_come_back_and_wrong_shapes_are_refused() {
    let folder = scratch();
    let path = folder.path("file.npz");
    write_sequence(&path, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, true).unwrap();
    assert_eq!(read_sequence(&path).unwrap(), (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2));
    assert!(message(read_operator(&path, 2)).contains("there is no array 'A'; the file has Z"));
    write_operator(&path, &[1.0, 2.0, 3.0, 4.0], 2).unwrap();
    assert_eq!(read_operator(&path, 2).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert!(message(read_operator(&path, 3)).contains("expected shape (3, 3)"));
    let mut file = NpzWriter::create(&path, Compression::Stored).unwrap();
    file.array("atoms", &[1, 5], &[1.0, 2.0, -1.0, 3.0, 0.5]).unwrap();
    file.array("Z", &[3], &[1.0, 2.0, 3.0]).unwrap();
    file.finish().unwrap();
    let atom = Atom { x: 1.0, y: 2.0, sign: -1.0, gamma: 3.0, radius: 0.5 };
    assert_eq!(read_atoms(&path).unwrap(), [atom]);
    assert!(message(read_sequence(&path)).contains("expected (frames, D)"));
}

#[test]
fn a_vector_is_found_by_its_step() {
    let folder = scratch();
    let path = folder.path("file.npz");
    let write = |name: &str, shape: &[usize], steps: bool| {
        let mut file = NpzWriter::create(&path, Compression::Stored).unwrap();
        let values: Vec<f64> = (0..shape.iter().product()).map(|at: usize| at as f64).collect();
        file.array(name, shape, &values).unwrap();
        if steps {
            file.array("steps", &[3], &[0i64, 500, 1000]).unwrap();
        }
        file.finish().unwrap();
    };
    let read = |row, step| read_vector(&path, row, step, 2);
    write("z", &[2], false);
    assert_eq!(read(None, 7).unwrap(), [0.0, 1.0]);
    write("Z", &[3, 2], false);
    assert_eq!(read(None, 2).unwrap(), [4.0, 5.0]);
    assert!(message(read(None, 3)).contains("of 3 rows, expected more than the row 3"));
    write("z", &[3, 2], false);
    assert_eq!((read(None, 2).unwrap(), read(Some(1), 2).unwrap()), (vec![0.0, 1.0], vec![2.0, 3.0]));
    write("z", &[3, 2], true);
    assert_eq!((read(None, 500).unwrap(), read(Some(2), 0).unwrap()), (vec![2.0, 3.0], vec![4.0, 5.0]));
    assert!(message(read(None, 501)).contains("of 3 steps from 0 to 1000, expected the step 501 among them"));
    assert!(message(read_vector(&path, None, 0, 3)).contains("expected (3,) or (rows, 3)"));
}

#[test]
fn a_picture_shows_signs_scale_and_the_y_axis_upwards() {
    let folder = scratch();
    let path = folder.path("field.png");
    let n = 16;
    let mut field = vec![0.0; n * n];
    field[0] = 2.0; // lower left
    field[n * n - 1] = -2.0; // upper right
    write_png(&path, &field, n).unwrap();
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let at = |x: usize, y: usize| &pixels[(y * info.width as usize + x) * 3..][..3];
    assert_eq!((info.width, info.height), (384 + 36 + 18 + 76, 408));
    assert_eq!(at(14, 393), [103, 0, 31], "red below");
    assert_eq!(at(393, 14), [5, 48, 97], "blue above");
    assert_eq!(at(200, 200), [247, 247, 247]);
    let ink = pixels.chunks(3).filter(|pixel| *pixel == [40, 40, 40]).count();
    assert!(ink > 200, "the scale has numbers: {ink}");
}

/// Every way to compute in f32 on this machine: the interpreter, and the best Vulkan device if there is one.
fn places() -> Vec<Place> {
    let listing = resident_runtime::list_devices().expect("list devices");
    let best =
        resident_runtime::rank(&listing.devices).first().map(|ranked| listing.devices[ranked.index].clone());
    if best.is_none() {
        assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none(), "there is no Vulkan device");
        eprintln!("skipped on the device: no Vulkan driver");
    }
    let targets = [Some(Target::Cpu), best.map(|info| Target::Vulkan(info.into()))].into_iter().flatten();
    let place = |target| {
        let (ledger, session) = (Arc::new(Ledger::new()), SessionOptions::default());
        Place { target, precision: Precision::F32, ledger, session }
    };
    targets.map(place).collect()
}

#[test]
fn the_flow_in_f32_follows_that_in_f64() {
    for place in places() {
        let expected = frames();
        let mut simulation = Simulation::new(&place, flow_config(), expected[0].clone()).unwrap();
        for (frame, pair) in STEPS.windows(2).enumerate() {
            simulation.advance((pair[1] - pair[0]) as u64).unwrap();
            assert_close(&simulation.field().unwrap(), &expected[frame + 1], 2e-6);
        }
    }
}

#[test]
fn vectors_in_f32_are_those_in_f64() {
    for place in places() {
        let mut encoder = Encoder::new(&place, codec()).unwrap();
        for (index, frame) in frames().iter().enumerate() {
            let (found, expected) = (encoder.encode(frame).unwrap(), vector(index));
            for block in [0..197, 197..394, 395..396, 396..397, 398..526, 526..654] {
                assert_close(&found[block.clone()], &expected[block], 1e-5);
            }
            assert_eq!((found[394], found[397]), (expected[394], expected[397]));
        }
    }
}

#[test]
fn fields_in_f32_are_those_in_f64() {
    let atom = Atom { x: 6.2, y: 0.1, sign: -1.0, gamma: 2.0, radius: 0.2 };
    for place in places() {
        let mut decoder = Decoder::new(&place, meta()).unwrap();
        for z in [vector(3), fixture("drifted"), vector(0)] {
            for (legacy, atoms) in [(true, &[][..]), (false, &[atom])] {
                let options = DecodeOptions { seed: meta().seed_at(40), legacy, atoms };
                let expected = codec().decode(&z, &options).unwrap();
                let found = decoder.decode(&z, &options).unwrap();
                assert_close(&found.omega, &expected.omega, 3e-6);
                assert_close(&found.low_pass, &expected.low_pass, 1e-6);
                assert_close(&found.anchors, &expected.anchors, 1e-6);
                assert_eq!(found.mask, expected.mask);
            }
        }
    }
}

/// Bands without modes, no anchors or nothing but anchors, windows that do nothing or reach beyond the field.
#[test]
fn codecs_at_their_limits_agree_in_f32_and_f64() {
    let limits = |k_cut, mid_cut, smooth, top_k| CodecConfig { k_cut, mid_cut, tau: 0.35, smooth, top_k };
    for (n, config) in [
        (16, CodecConfig::default()), // no high band, and every middle mode is an anchor
        (16, limits(20.0, 20.0, 11, 5)), // nothing but low modes
        (16, limits(0.0, 0.0, 40, 0)),
        (32, limits(3.0, 9.0, 4, 0)),
        (32, limits(3.0, 9.0, 4, 17)),
    ] {
        let omega = initial_field(n, 2);
        let codec = || Codec::for_first_frame(n, config, &omega).unwrap();
        let z = codec().encode(&omega).unwrap();
        let meta = CodecMeta::of(&codec(), true, 3, 0.01);
        let expected = codec().decode(&z, &DecodeOptions::default()).unwrap();
        for place in places() {
            let found = Encoder::new(&place, codec()).unwrap().encode(&omega).unwrap();
            assert_close(&found, &z, 1e-6);
        }
        for place in places() {
            let mut decoder = Decoder::new(&place, meta.clone()).unwrap();
            let found = decoder.decode(&z, &DecodeOptions::default()).unwrap();
            assert_close(&found.omega, &expected.omega, 3e-6);
        }
    }
}

/// Without smoothing there is no residual: no support, no energies, and a division by almost nothing.
#[test]
fn a_window_of_one_cell_leaves_no_residual() {
    let config = CodecConfig { smooth: 1, ..CodecConfig::default() };
    let omega = initial_field(N, 2);
    let codec = Codec::for_first_frame(N, config, &omega).unwrap();
    let z = codec.encode(&omega).unwrap();
    assert_eq!(z[394..397], [0.0; 3]);
    for place in places() {
        let codec = Codec::for_first_frame(N, config, &omega).unwrap();
        assert_eq!(Encoder::new(&place, codec).unwrap().encode(&omega).unwrap()[394..397], [0.0; 3]);
    }
}

/// A rollout's own program decodes the state where it lies: the vector never leaves the device.
#[test]
fn a_state_on_the_device_is_decoded_there() {
    let (z, options) = (vector(3), DecodeOptions { seed: meta().seed_at(40), ..DecodeOptions::default() });
    let expected = codec().decode(&z, &options).unwrap();
    for place in places() {
        let mut program = Program::default();
        let state = program.buffer("z", z.len() as u64 * 4, BufferKind::State);
        let decode = DecodeProgram::declare(&mut program, &codec(), &[state]).unwrap();
        let mut builder =
            SessionBuilder::new(&place.target, program, place.ledger.clone(), place.session.clone()).unwrap();
        decode.load(&mut builder).unwrap();
        let narrow: Vec<f32> = z.iter().map(|value| *value as f32).collect();
        builder.load(state, bytemuck::cast_slice(&narrow), "inputs").unwrap();
        let mut session = builder.seal(&[decode.readback()]).unwrap();
        let found = decode.run(&mut session, 0, &options).unwrap();
        assert_close(&found.omega, &expected.omega, 3e-6);
        let read = place.ledger.snapshot().after_seal.readback_bytes;
        assert!(read.keys().all(|class| class == "fields"), "{read:?}");
    }
}

/// The field stays on the device: a step is a replay, and only what was asked for comes back.
#[test]
fn a_flow_on_a_device_reads_back_only_the_fields_asked_for() {
    let Some(place) = places().into_iter().find(|place| matches!(place.target, Target::Vulkan(_))) else {
        return;
    };
    let mut simulation = Simulation::new(&place, flow_config(), frames()[0].clone()).unwrap();
    simulation.advance(130).unwrap();
    simulation.field().unwrap();
    let hot = place.ledger.snapshot().after_seal;
    assert_eq!(hot.readback_bytes.values().sum::<u64>(), (N * N * 4) as u64);
    assert_eq!(hot.dispatches["fft"], 130 * 8);
    assert_eq!(hot.dispatches["heun_correct"], 130);
    assert!(hot.upload_bytes.is_empty() && hot.allocations == 0 && hot.cpu_ops.is_empty(), "{hot:?}");
    // 128 steps a submission, and one to read.
    assert_eq!(hot.submits, 3);
}

#[test]
fn what_has_no_kernel_is_refused_by_name() {
    let place = places().remove(0);
    for n in [8, 48, 2048] {
        let config = FlowConfig { n, ..flow_config() };
        let found = message(Simulation::new(&place, config, vec![0.0; n * n]));
        assert!(found.contains("powers of two from 16 to 1024; take --device cpu --dtype f64"), "{found}");
    }
    let mut decoder = Decoder::new(&place, meta()).unwrap();
    let atoms = vec![Atom { x: 0.0, y: 0.0, sign: 1.0, gamma: 1.0, radius: 1.0 }; 1025];
    let found =
        message(decoder.decode(&vector(0), &DecodeOptions { atoms: &atoms, ..DecodeOptions::default() }));
    assert!(found.contains("1025 atoms, a decoder in f32 has room for 1024"), "{found}");
    if let Some(vulkan) = places().into_iter().find(|place| matches!(place.target, Target::Vulkan(_))) {
        let place = Place { precision: Precision::F64, ..vulkan };
        assert!(message(Decoder::new(&place, meta())).contains("f64 needs --device cpu"));
    }
}
