//! NumPy itself beside what is written and drawn here: its generators bit for bit, its reader on our files, our reader on its.
//! Skipped with a note without the virtual environment that `scripts/install-test-packages` makes.

use resident_rollout::npz::{Compression, Npz, NpzWriter};
use resident_rollout::vorticity::{Mt19937, Pcg64};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Runs Python with NumPy in a folder; false, with a printed reason, where there is none.
fn python(folder: &TempDir, program: &str) -> bool {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-tests/bin/python");
    if !python.exists() {
        eprintln!("skipped: no {}; scripts/install-test-packages makes it", python.display());
        return false;
    }
    let output = Command::new(python).args(["-c", program]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("file.npz")
}

#[test]
fn random_numbers_are_numpys_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    // 700 normal numbers need more words than one state holds; 2000 fields of 64-bit draws turn every rotation.
    let program = "
import numpy as np
out = {}
for seed in (0, 1, 42, 12345, 2**31, 2**32 - 1):
    np.random.seed(seed)
    out[f'normal_{seed}'] = np.random.randn(2001)
for seed in (0, 1, 42, 2**32 - 1, 2**32, 2**63 + 5, 2**64 + 99999):
    out[f'uniform_{seed}'] = np.random.default_rng(seed).uniform(0, 2 * np.pi, 2000)
np.savez('file.npz', **out)";
    if !python(&folder, program) {
        return;
    }
    let mut file = Npz::open(&file(&folder)).unwrap();
    let names: Vec<_> = file.names().map(str::to_owned).collect();
    assert_eq!(names.len(), 13);
    for name in names {
        let expected: Vec<u64> =
            file.read::<f64>(&name).unwrap().values.iter().map(|v| v.to_bits()).collect();
        let (kind, seed) = name.split_once('_').unwrap();
        let found: Vec<u64> = if kind == "normal" {
            let mut random = Mt19937::new(seed.parse().unwrap());
            expected.iter().map(|_| random.normal().to_bits()).collect()
        } else {
            let mut random = Pcg64::new(seed.parse().unwrap());
            expected.iter().map(|_| (std::f64::consts::TAU * random.uniform()).to_bits()).collect()
        };
        assert!(found == expected, "{name}");
    }
}

#[test]
fn numpy_loads_what_is_written() {
    let folder = TempDir::new().unwrap();
    for compression in [Compression::Stored, Compression::Deflated] {
        let mut writer = NpzWriter::create(&file(&folder), compression).unwrap();
        let ramp: Vec<f64> = (0..24).map(f64::from).collect();
        writer.array("f8", &[2, 3, 4], &ramp).unwrap();
        writer.array("f4", &[3], &[0.5f32, -0.0, f32::INFINITY]).unwrap();
        writer.array("b1", &[2, 2], &[true, false, false, true]).unwrap();
        writer.array("i8", &[1], &[i64::MIN]).unwrap();
        writer.array("u4", &[0, 7], &[0u32; 0]).unwrap();
        writer.scalar("u8", u64::MAX).unwrap();
        writer.finish().unwrap();
        let program = "
import numpy as np
file = np.load('file.npz', allow_pickle=False)
assert {k: (file[k].dtype.str, file[k].shape) for k in file} == {
    'f8': ('<f8', (2, 3, 4)), 'f4': ('<f4', (3,)), 'b1': ('|b1', (2, 2)), 'i8': ('<i8', (1,)), 'u4': ('<u4', (0, 7)),
    'u8': ('<u8', ())}
assert (file['f8'] == np.arange(24.0).reshape(2, 3, 4)).all() and file['u8'] == 2**64 - 1 and file['i8'][0] == -2**63
assert file['f4'].tobytes() == np.array([0.5, -0.0, np.inf], 'f4').tobytes() and (file['b1'] == np.eye(2, dtype=bool)).all()";
        python(&folder, program);
    }
}

#[test]
fn what_numpy_writes_is_read_in_every_order() {
    let folder = TempDir::new().unwrap();
    let program = "
import numpy as np
a = np.arange(35.0).reshape(5, 7)
np.savez_compressed('file.npz', c=a, fortran=np.asfortranarray(a), transposed=a.T, big=a.astype('>f4'), strided=a[::2, ::3],
                    column=np.asfortranarray(a[:, :1]))";
    if !python(&folder, program) {
        return;
    }
    let mut file = Npz::open(&file(&folder)).unwrap();
    let mut read = |name: &str, shape: &[usize]| file.read_shaped::<f64>(name, shape).unwrap();
    let ramp: Vec<f64> = (0..35).map(f64::from).collect();
    for name in ["c", "fortran", "big"] {
        assert_eq!(read(name, &[5, 7]), ramp, "{name}");
    }
    let transposed: Vec<f64> = (0..35).map(|at| f64::from(at % 5 * 7 + at / 5)).collect();
    assert_eq!(read("transposed", &[7, 5]), transposed);
    assert_eq!(read("strided", &[3, 3]), [0.0, 3.0, 6.0, 14.0, 17.0, 20.0, 28.0, 31.0, 34.0]);
    assert_eq!(read("column", &[5, 1]), [0.0, 7.0, 14.0, 21.0, 28.0]);
}
