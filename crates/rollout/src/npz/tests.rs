use super::header::{Header, Refusal};
use super::*;
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file in a folder that lives as long as the test.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file.npz")
    }

    /// An npz file whose member `x.npy` has these bytes.
    fn npz(&self, member: &[u8]) -> Npz {
        self.members(&[("x", member)])
    }

    fn members(&self, members: &[(&str, &[u8])]) -> Npz {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(self.path()).unwrap());
        for (name, bytes) in members {
            archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        Npz::open(&self.path()).unwrap()
    }
}

/// A `.npy` array of version 1.0 with this header and these values.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn header_of(shape: &str) -> String {
    format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n")
}

fn message<T: std::fmt::Debug>(result: Result<T, NpzError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_kind_of_number_comes_as_numpy_wrote_it() {
    for file in ["kinds.npz", "kinds_packed.npz"] {
        let mut npz = Npz::open(&fixture(file)).unwrap();
        for order in ["<", ">"] {
            for code in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"] {
                let name = format!("{order}{code}");
                let array = npz.read::<f64>(&name).unwrap();
                assert_eq!(array.shape, [2, 3, 4], "{name}");
                assert!(array.values.iter().copied().eq((0..24).map(f64::from)), "{file} {name}");
                assert!(npz.read::<i64>(&name).unwrap().values.into_iter().eq(0..24), "{file} {name}");
            }
            let bits = npz.read::<bool>(&format!("{order}b1")).unwrap().values;
            assert!(bits.into_iter().eq((0..24).map(|i| i % 2 == 1)));
        }
    }
}

#[test]
fn fortran_order_is_transposed() {
    let array = Npz::open(&fixture("kinds.npz")).unwrap().read::<f64>("fortran").unwrap();
    assert_eq!(array.shape, [2, 3, 4]);
    assert!(array.values.into_iter().eq((0..24).map(|i| f64::from(i) / 8.0)));
}

#[test]
fn parts_come_in_order_and_can_be_refused() {
    let mut npz = Npz::open(&fixture("kinds_packed.npz")).unwrap();
    for (name, unit) in [("<i4", 1.0), ("fortran", 0.125)] {
        let mut seen = Vec::new();
        npz.read_parts(name, |index, part: &[f64]| {
            assert_eq!((index, part.len()), (seen.len() / 12, 12));
            seen.extend_from_slice(part);
            Ok::<_, NpzError>(())
        })
        .unwrap();
        assert!(seen.into_iter().eq((0..24).map(|i| f64::from(i) * unit)), "{name}");
    }
    let mut calls = 0;
    let stopped = npz.read_parts::<f64, NpzError>("<i4", |_, _| {
        calls += 1;
        Err(NpzError::NotNpz { path: PathBuf::new(), found: "enough".to_owned() })
    });
    assert!(message(stopped).contains("enough") && calls == 1);
    assert!(message(npz.read_parts::<f64, NpzError>("scalar", |_, _| Ok(()))).contains("expected an array"));
}

#[test]
fn scalars_empty_arrays_and_special_values() {
    let mut npz = Npz::open(&fixture("kinds.npz")).unwrap();
    assert_eq!(npz.read_scalar::<f64>("scalar").unwrap(), 0.35);
    assert_eq!(npz.header("scalar").unwrap().shape, [0usize; 0]);
    assert_eq!(npz.read::<f32>("empty").unwrap(), Array { shape: vec![0, 5], values: vec![] });
    assert_eq!(npz.read_shaped::<f32>("vector", &[3]).unwrap(), [-1.0, 0.0, 1.0]);
    let specials = npz.read::<f32>("specials").unwrap().values;
    assert!(specials[0].is_nan() && specials[1] == f32::INFINITY && specials[2] == f32::NEG_INFINITY);
    assert_eq!(specials[3].to_bits(), (-0.0f32).to_bits());
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_place() {
    let mut npz = Npz::open(&fixture("kinds.npz")).unwrap();
    assert!(
        message(npz.read::<i64>("scalar"))
            .contains("a value at 0 that is none, expected values that int64 holds")
    );
    assert!(message(npz.read::<u8>("vector")).contains("a value at 0"));
    assert!(message(npz.read::<bool>("<i4")).contains("a value at 2"));
    assert!(message(npz.read_scalar::<f64>("vector")).contains("is float64 (3,), expected a scalar"));
    assert!(message(npz.read_shaped::<f64>("vector", &[2, 2])).contains("expected shape (2, 2)"));
    let scratch = Scratch::new();
    let mut npz = scratch.npz(&npy(&header_of("(1,)"), &1e300f64.to_le_bytes()));
    assert!(message(npz.read::<f32>("x")).contains("a value at 0"));
}

#[test]
fn what_is_no_plain_array_of_numbers_is_refused_by_name() {
    let mut npz = Npz::open(&fixture("refused.npz")).unwrap();
    for (name, what) in [
        ("object", "dtype '|O'; Python objects are pickles"),
        ("structured", "a structured dtype"),
        ("text", "dtype '<U1'"),
        ("complex", "dtype '<c16'"),
        ("half", "dtype '<f2'"),
    ] {
        let found = message(npz.read::<f64>(name));
        assert!(found.contains(what) && found.contains(name), "{found}");
    }
    assert_eq!(npz.read::<f64>("sound").unwrap().values, [0.0, 0.0]);
}

#[test]
fn a_missing_array_is_named_with_what_there_is() {
    let mut npz = Npz::open(&fixture("refused.npz")).unwrap();
    let found = message(npz.read::<f64>("z"));
    assert!(found.contains("no array 'z'; the file has object, structured, text"), "{found}");
}

#[test]
fn other_files_are_called_what_they_are() {
    let scratch = Scratch::new();
    for (bytes, what) in [
        (&b""[..], "the file is empty"),
        (b"\x80\x04\x95abc", "this is a Python pickle"),
        (&npy(&header_of("()"), &[0; 8]), "this is a single npy array"),
        (b"PK\x03\x04 no archive", "this is no whole ZIP archive"),
    ] {
        std::fs::write(scratch.path(), bytes).unwrap();
        let found = message(Npz::open(&scratch.path()));
        assert!(found.contains(what), "{found}");
    }
    assert!(message(Npz::open(scratch.0.path())).contains("this is no regular file"));
    assert!(matches!(Npz::open(&scratch.0.path().join("none.npz")), Err(NpzError::Io { .. })));
}

#[test]
fn every_truncation_and_every_flipped_byte_is_an_error_or_harmless() {
    let whole = std::fs::read(fixture("kinds_packed.npz")).unwrap();
    let scratch = Scratch::new();
    let survives = |bytes: &[u8]| {
        std::fs::write(scratch.path(), bytes).unwrap();
        let Ok(mut npz) = Npz::open(&scratch.path()) else { return };
        let names: Vec<_> = npz.names().map(str::to_owned).collect();
        names.iter().for_each(|name| drop(npz.read::<f64>(name)));
    };
    (0..whole.len()).step_by(53).for_each(|length| survives(&whole[..length]));
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        survives(&bytes);
    }
}

#[test]
fn a_wrong_checksum_is_damage() {
    let scratch = Scratch::new();
    let mut writer = NpzWriter::create(&scratch.path(), Compression::Stored).unwrap();
    writer.array("x", &[4], &[1.0f64, 2.0, 3.0, 4.0]).unwrap();
    writer.finish().unwrap();
    let mut bytes = std::fs::read(scratch.path()).unwrap();
    let at = bytes.windows(8).position(|w| w == 3.0f64.to_le_bytes()).unwrap();
    bytes[at] = 1;
    std::fs::write(scratch.path(), bytes).unwrap();
    let found = message(Npz::open(&scratch.path()).unwrap().read::<f64>("x"));
    assert!(found.contains("damaged"), "{found}");
}

#[test]
fn shapes_that_lie_are_refused_before_memory_is_taken() {
    let scratch = Scratch::new();
    for shape in
        ["(1000000000000,)", "(18446744073709551615, 2)", "(0, 18446744073709551615, 2)", "(3,)", "()"]
    {
        let found = message(scratch.npz(&npy(&header_of(shape), &[0; 16])).read::<f64>("x"));
        assert!(found.contains("does not fit the 16 bytes"), "{shape}: {found}");
    }
}

/// A file whose directory says that member `x.npy` is larger by `more` bytes, and so is what it packs into if `packed`.
fn claiming(scratch: &Scratch, member: &[u8], more: u32, packed: bool) -> Npz {
    drop(scratch.npz(member));
    let mut bytes = std::fs::read(scratch.path()).unwrap();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let claimed = (member.len() as u32 + more).to_le_bytes();
    bytes[directory + 24..directory + 28].copy_from_slice(&claimed);
    if packed {
        bytes[directory + 20..directory + 24].copy_from_slice(&claimed);
    }
    std::fs::write(scratch.path(), &bytes).unwrap();
    Npz::open(&scratch.path()).unwrap()
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    // Shape and directory agree on 2 GiB, but there is nothing that could unpack to them.
    let scratch = Scratch::new();
    let mut npz = claiming(&scratch, &npy(&header_of("(268435456,)"), &[]), 1 << 31, false);
    let found = message(npz.read::<f64>("x"));
    assert!(found.contains("cannot unpack to"), "{found}");
}

#[test]
fn an_array_beyond_the_limit_is_refused() {
    let scratch = Scratch::new();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (629145600,), }\n";
    let mut npz = claiming(&scratch, &npy(header, &[]), 600 << 20, true);
    assert!(message(npz.read::<f64>("x")).contains("expected at most 4294967296 bytes"));
    // Within the limit the missing bytes are found when they are read.
    assert!(message(npz.read::<u8>("x")).contains("damaged"));
}

#[test]
fn what_is_written_comes_back_and_the_same_arrays_make_the_same_bytes() {
    let scratch = Scratch::new();
    let write = |compression| {
        let mut writer = NpzWriter::create(&scratch.path(), compression).unwrap();
        writer.begin::<f64>("traj", &[3, 2, 2]).unwrap();
        (0..3).for_each(|t| writer.append(&[f64::from(t); 4]).unwrap());
        writer.array("z", &[2], &[1.5f32, -0.0]).unwrap();
        writer.array("mask_low", &[3], &[true, false, true]).unwrap();
        writer.array("anchor_idx", &[2], &[7i64, -1]).unwrap();
        writer.scalar("N", 64i64).unwrap();
        writer.finish().unwrap();
        std::fs::read(scratch.path()).unwrap()
    };
    for compression in [Compression::Stored, Compression::Deflated] {
        assert_eq!(write(compression), write(compression));
        let mut npz = Npz::open(&scratch.path()).unwrap();
        assert!(npz.names().eq(["traj", "z", "mask_low", "anchor_idx", "N"]));
        assert_eq!(npz.read_shaped::<f64>("traj", &[3, 2, 2]).unwrap()[8..], [2.0; 4]);
        assert_eq!(npz.read::<f32>("z").unwrap().values[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(npz.read::<bool>("mask_low").unwrap().values, [true, false, true]);
        assert_eq!(npz.read::<i64>("anchor_idx").unwrap().values, [7, -1]);
        assert_eq!(npz.read_scalar::<u32>("N").unwrap(), 64);
    }
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let scratch = Scratch::new();
    let mut writer = NpzWriter::create(&scratch.path(), Compression::Stored).unwrap();
    writer.begin::<f64>("traj", &[3]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 0);
}

#[test]
fn headers_are_numpys_to_the_byte() {
    // numpy.save(f, numpy.zeros((3, 4))) begins so.
    let expected = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }");
    assert_eq!(Header::to_bytes(Dtype::Float(8), &[3, 4]), npy(&expected, &[]));
}

#[test]
fn headers_that_are_not_understood_are_refused() {
    for text in [
        "",
        "[]",
        "{",
        "{}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'shape': (4,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} + 1",
        &"(".repeat(5000),
    ] {
        assert!(matches!(Header::parse(text, 0), Err(Refusal::Damaged(_))), "{text}");
    }
    let double_quotes = r#"{"shape":(3L,4),"descr":">i2","fortran_order":True}"#;
    let header = Header::parse(double_quotes, 7).unwrap();
    assert!(header.fortran_order && header.big_endian && header.shape == [3, 4]);
}

proptest! {
    #[test]
    fn no_header_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Header::parse(&text, 0);
        let _ = Header::parse(&format!("{{'descr': '{text}', 'fortran_order': False, 'shape': ({text})}}"), 0);
        let _ = Header::read(&mut bytes.as_slice());
        let _ = Header::read(&mut [&b"\x93NUMPY\x01\x00"[..], &bytes].concat().as_slice());
    }
}
