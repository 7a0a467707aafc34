//! What a rollout begins with: the operator A and the states z, read from NumPy's files, checked, in the type of the run.

use crate::RolloutError;
use crate::npz::{Element, Npz};
use bytemuck::{Pod, Zeroable};
use resident_kernels::real::{Operator, RealType};
use std::path::Path;

/// The largest dimension.
pub const MAX_DIM: usize = 16384;
/// The most trajectories.
pub const MAX_BATCH: usize = 65536;

/// Numbers in the type of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit.
    F32(Vec<f32>),
    /// 64-bit.
    F64(Vec<f64>),
}

impl Values {
    /// Rows without their padding, from bytes as they lie on a device.
    pub(crate) fn from_padded(operator: Operator, bytes: &[u8]) -> Self {
        fn rows<T: Pod + Zeroable>(operator: Operator, bytes: &[u8]) -> Vec<T> {
            let mut padded = vec![T::zeroed(); bytes.len() / size_of::<T>()];
            bytemuck::cast_slice_mut::<T, u8>(&mut padded).copy_from_slice(bytes);
            let rows = padded.chunks(operator.stride() as usize);
            rows.flat_map(|row| row[..operator.dim as usize].iter().copied()).collect()
        }
        match operator.real {
            RealType::F32 => Self::F32(rows(operator, bytes)),
            RealType::F64 => Self::F64(rows(operator, bytes)),
        }
    }

    /// Rows `first .. first + count` with zeros in the padding, as they lie on a device.
    pub(crate) fn padded_rows(&self, operator: Operator, first: usize, count: usize) -> Vec<u8> {
        fn rows<T: Pod + Zeroable>(operator: Operator, values: &[T], first: usize, count: usize) -> Vec<u8> {
            let dim = operator.dim as usize;
            let padding = vec![T::zeroed(); operator.stride() as usize - dim];
            let rows = values[first * dim..(first + count) * dim].chunks(dim);
            rows.flat_map(|row| [bytemuck::cast_slice(row), bytemuck::cast_slice(&padding)].concat())
                .collect()
        }
        match self {
            Self::F32(values) => rows(operator, values, first, count),
            Self::F64(values) => rows(operator, values, first, count),
        }
    }

    /// As f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Self::F64(values) => values.clone(),
        }
    }

    /// The little-endian 32-bit words.
    pub fn words(&self) -> Vec<u32> {
        match self {
            Self::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
            Self::F64(values) => {
                values.iter().flat_map(|v| [v.to_bits() as u32, (v.to_bits() >> 32) as u32]).collect()
            }
        }
    }

    /// How many are NaN or infinite.
    pub fn non_finite(&self) -> u64 {
        let count = match self {
            Self::F32(values) => values.iter().filter(|v| !v.is_finite()).count(),
            Self::F64(values) => values.iter().filter(|v| !v.is_finite()).count(),
        };
        count as u64
    }

    fn first_non_finite(&self) -> Option<usize> {
        match self {
            Self::F32(values) => values.iter().position(|v| !v.is_finite()),
            Self::F64(values) => values.iter().position(|v| !v.is_finite()),
        }
    }

    fn read(file: &mut Npz, name: &str, shape: &[usize], real: RealType) -> Result<Self, RolloutError> {
        fn values<T: Element>(file: &mut Npz, name: &str, shape: &[usize]) -> Result<Vec<T>, RolloutError> {
            Ok(file.read_shaped(name, shape)?)
        }
        Ok(match real {
            RealType::F32 => Self::F32(values(file, name, shape)?),
            RealType::F64 => Self::F64(values(file, name, shape)?),
        })
    }
}

/// The operator and the states of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Type and size of A.
    pub operator: Operator,
    /// A, row-major: row vectors stand on its left.
    pub a: Values,
    /// Trajectories.
    pub rows: u32,
    /// Their states, one after the other.
    pub z: Values,
    /// Whether the states came as a batch, so that results have an axis for it.
    pub is_batch: bool,
}

impl Inputs {
    /// Reads `A` \[D, D\] from `a`, and the states from `batch` (`Z`, `z` or `z0`, \[B, D\]) where there is one, else from `z0`
    /// (`z` or `z0`, \[D\]). `memory_bytes` is what the device has for A, and for the states, looked at before they are read.
    ///
    /// # Errors
    /// Files that are broken, lack a key or have another shape; values that are not finite; an A or states that are too large.
    pub fn read(
        z0: Option<&Path>,
        batch: Option<&Path>,
        a: &Path,
        real: RealType,
        memory_bytes: u64,
    ) -> Result<Self, RolloutError> {
        let mut a_file = Npz::open(a)?;
        let operator = Operator { real, dim: dimension(&mut a_file)? };
        if operator.bytes() > memory_bytes {
            return Err(RolloutError::Invalid(format!(
                "{}: A of {dim} x {dim} takes {} bytes in {real}, the device has room for {memory_bytes}; \
                 use a smaller operator, --dtype f32 or another device",
                a.display(),
                operator.bytes(),
                dim = operator.dim,
            )));
        }
        let (path, names, is_batch): (_, &[&str], _) = match (z0, batch) {
            (_, Some(batch)) => (batch, &["Z", "z", "z0"], true),
            (Some(z0), None) => (z0, &["z", "z0"], false),
            (None, None) => {
                return Err(RolloutError::Usage("no state: give --z0 or --batch-from".to_owned()));
            }
        };
        let mut file = Npz::open(path)?;
        let name = names.iter().find(|name| file.has(name)).unwrap_or(&names[0]);
        let dim = operator.dim as usize;
        let shape = state_shape(&mut file, name, dim, is_batch)?;
        let rows = if is_batch { shape[0] as u32 } else { 1 };
        if operator.state_bytes(rows) > memory_bytes {
            return Err(RolloutError::Invalid(format!(
                "{}: {rows} states of {dim} values take {} bytes in {real}, the device has room for {memory_bytes}; roll fewer \
                 at a time, with --dtype f32 or on another device",
                path.display(),
                operator.state_bytes(rows)
            )));
        }
        let z = Values::read(&mut file, name, &shape, real)?;
        refuse_non_finite(path, name, &z, dim, is_batch)?;
        let a_values = Values::read(&mut a_file, "A", &[dim, dim], real)?;
        refuse_non_finite(a, "A", &a_values, dim, true)?;
        Ok(Self { operator, a: a_values, rows, z, is_batch })
    }

    /// The shape of a state in a file.
    pub fn state_shape(&self) -> Vec<usize> {
        let dim = self.operator.dim as usize;
        if self.is_batch { vec![self.rows as usize, dim] } else { vec![dim] }
    }
}

/// The dimension of `A`, which must be square and of a size that is supported.
fn dimension(file: &mut Npz) -> Result<u32, RolloutError> {
    let shape = file.header("A")?.shape;
    match shape[..] {
        [rows, cols] if rows == cols && (1..=MAX_DIM).contains(&rows) => Ok(rows as u32),
        _ => {
            let expected = format!("a square matrix (D, D) with D from 1 to {MAX_DIM}");
            Err(file.mismatch("A", format!("of shape {shape:?}"), expected).into())
        }
    }
}

fn state_shape(file: &mut Npz, name: &str, dim: usize, is_batch: bool) -> Result<Vec<usize>, RolloutError> {
    let shape = file.header(name)?.shape;
    match shape[..] {
        [cols] if cols == dim && !is_batch => Ok(shape),
        [rows, cols] if cols == dim && is_batch && (1..=MAX_BATCH).contains(&rows) => Ok(shape),
        _ => {
            let expected = match is_batch {
                false => format!("[{dim}], a row vector for A; a batch of trajectories goes to --batch-from"),
                true => format!("[B, {dim}], row vectors for A, with B from 1 to {MAX_BATCH}"),
            };
            Err(file.mismatch(name, format!("of shape {shape:?}"), expected).into())
        }
    }
}

fn refuse_non_finite(
    path: &Path,
    name: &str,
    values: &Values,
    dim: usize,
    is_matrix: bool,
) -> Result<(), RolloutError> {
    let Some(at) = values.first_non_finite() else { return Ok(()) };
    let place = if is_matrix { format!("{}, {}", at / dim, at % dim) } else { at.to_string() };
    Err(RolloutError::Invalid(format!(
        "{}: {name}[{place}] is NaN or infinite ({} such values in all), expected finite numbers",
        path.display(),
        values.non_finite()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::{Compression, NpzWriter};
    use proptest::prelude::*;

    #[test]
    fn padding_is_zeros_on_the_device_and_absent_elsewhere() {
        let operator = Operator { real: RealType::F32, dim: 3 };
        let values = Values::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let bytes = values.padded_rows(operator, 0, 2);
        let words: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(words, [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
        assert_eq!(values.padded_rows(operator, 1, 1), bytes[16..]);
    }

    #[test]
    fn what_the_device_has_no_room_for_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, key: &str, shape: &[usize]| {
            let path = folder.path().join(name);
            let mut file = NpzWriter::create(&path, Compression::Stored).unwrap();
            file.array(key, shape, &vec![0.5f32; shape.iter().product()]).unwrap();
            file.finish().unwrap();
            // Whoever reads the values finds damage.
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(4).position(|word| word == 0.5f32.to_le_bytes()).unwrap();
            bytes[at] = 1;
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (a, batch) = (write("a.npz", "A", &[5, 5]), write("z.npz", "Z", &[30, 5]));
        let refused = |real, room| Inputs::read(None, Some(&batch), &a, real, room).unwrap_err().to_string();
        // Rows are padded to 8 values.
        assert!(
            refused(RealType::F32, 159)
                .contains("A of 5 x 5 takes 160 bytes in f32, the device has room for 159")
        );
        assert!(refused(RealType::F64, 319).contains("A of 5 x 5 takes 320 bytes in f64"));
        assert!(refused(RealType::F32, 959).contains("30 states of 5 values take 960 bytes in f32"));
        assert!(refused(RealType::F32, 960).contains("damaged"));
    }

    #[test]
    fn the_largest_operator_counts_in_64_bits() {
        let operator = Operator { real: RealType::F64, dim: MAX_DIM as u32 };
        assert_eq!((operator.bytes(), operator.state_bytes(MAX_BATCH as u32)), (1 << 31, 1 << 33));
    }

    proptest! {
        #[test]
        fn states_come_back_as_they_went(dim in 1u32..20, rows in 1usize..5, double: bool) {
            let real = if double { RealType::F64 } else { RealType::F32 };
            let operator = Operator { real, dim };
            let numbers = (0..rows * dim as usize).map(|i| i as f64 / 3.0);
            let values = match real {
                RealType::F32 => Values::F32(numbers.map(|v| v as f32).collect()),
                RealType::F64 => Values::F64(numbers.collect()),
            };
            prop_assert_eq!(&Values::from_padded(operator, &values.padded_rows(operator, 0, rows)), &values);
            prop_assert_eq!(values.words().len() as u32, rows as u32 * dim * real.words());
        }
    }
}
