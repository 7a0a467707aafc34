//! The number types of rollouts, f32 and f64, and the operator A in memory, for the kernels that advance and check z.

use crate::Slice;
use bytemuck::Pod;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Declares `fn NAME(RealType) -> &'static Kernel`: a kernel a type, from `<op>_f32.spv` and `<op>_f64.spv` beside the caller's
/// source.
macro_rules! real_kernels {
    ($name:ident, $op:literal, $host:ident, $reference:ident) => {
        fn $name(real: $crate::real::RealType) -> &'static $crate::Kernel {
            static F32: $crate::Kernel = $crate::Kernel {
                name: concat!($op, "_f32"),
                spirv: include_bytes!(concat!($op, "_f32.spv")),
                host: $host::<f32>,
                reference: $reference::<f32>,
            };
            static F64: $crate::Kernel = $crate::Kernel {
                name: concat!($op, "_f64"),
                spirv: include_bytes!(concat!($op, "_f64.spv")),
                host: $host::<f64>,
                reference: $reference::<f64>,
            };
            match real {
                $crate::real::RealType::F32 => &F32,
                $crate::real::RealType::F64 => &F64,
            }
        }
    };
}

/// A number type of z and A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealType {
    /// 32-bit floats.
    F32,
    /// 64-bit floats; on a GPU only where the device has them.
    F64,
}

impl RealType {
    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        4 * u64::from(self.words())
    }

    /// 32-bit words of a value.
    pub fn words(self) -> u32 {
        match self {
            Self::F32 => 1,
            Self::F64 => 2,
        }
    }
}

impl fmt::Display for RealType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// A square operator A, row-major, and states z that it acts on from the right: `z[t+1] = z[t] · A`. Rows of both are padded
/// to whole quads of values; the padding holds zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Type of the values.
    pub real: RealType,
    /// Rows and columns.
    pub dim: u32,
}

impl Operator {
    /// Values from one row to the next, of A and of z.
    pub fn stride(self) -> u32 {
        self.dim.next_multiple_of(4)
    }

    /// Bytes of A.
    pub fn bytes(self) -> u64 {
        u64::from(self.dim) * self.row_bytes()
    }

    /// Bytes of a row of A, and of z.
    pub fn row_bytes(self) -> u64 {
        u64::from(self.stride()) * self.real.bytes()
    }

    /// Bytes of the states of `rows` trajectories.
    pub fn state_bytes(self, rows: u32) -> u64 {
        u64::from(rows) * self.row_bytes()
    }

    /// # Panics
    /// If the slices are too small for A and the states of `rows` trajectories.
    pub(crate) fn check(self, rows: u32, a: Option<Slice>, states: &[Slice]) {
        assert!(self.dim > 0 && rows > 0, "{self:?} of {rows} trajectories");
        assert!(a.is_none_or(|a| a.bytes >= self.bytes()), "A of {self:?} in {a:?}");
        assert!(states.iter().all(|z| z.bytes >= self.state_bytes(rows)), "z of {self:?} in {states:?}");
    }
}

/// Arithmetic of a number type on the host.
pub(crate) trait Real:
    Pod
    + Send
    + Sync
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
{
    const TYPE: RealType;
    const ZERO: Self;
    /// A value that threads hand to each other.
    type Shared: Default + Send + Sync;
    fn fused(self, factor: Self, addend: Self) -> Self;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn load(shared: &Self::Shared) -> Self;
    fn store(self, shared: &Self::Shared);
}

macro_rules! real {
    ($float:ty, $type:ident, $atomic:ty) => {
        impl Real for $float {
            const TYPE: RealType = RealType::$type;
            const ZERO: Self = 0.0;
            type Shared = $atomic;
            #[inline(always)]
            fn fused(self, factor: Self, addend: Self) -> Self {
                self.mul_add(factor, addend)
            }
            fn from_f64(value: f64) -> Self {
                value as Self
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn load(shared: &Self::Shared) -> Self {
                Self::from_bits(shared.load(Ordering::Relaxed))
            }
            #[inline(always)]
            fn store(self, shared: &Self::Shared) {
                shared.store(self.to_bits(), Ordering::Relaxed);
            }
        }
    };
}

real!(f32, F32, AtomicU32);
real!(f64, F64, AtomicU64);

/// Values a line: y is loaded and stored once for so many rows of A.
const ROWS_AT_A_TIME: usize = 8;

/// `y[j] = Σ z[i] · a[i · stride + first + j]`: the columns of A that `y` is long. Every column is summed in the same order,
/// whatever else is computed beside it.
pub(crate) fn product<T: Real>(z: &[T], a: &[T], stride: usize, first: usize, y: &mut [T]) {
    pulp::Arch::new().dispatch(Product { z, a, stride, first, y });
}

/// A product, to be compiled for each set of vector instructions. Not a closure: one that is called from several places is not
/// inlined, and then it is compiled for none of them.
struct Product<'a, T> {
    z: &'a [T],
    a: &'a [T],
    stride: usize,
    first: usize,
    y: &'a mut [T],
}

impl<T: Real> pulp::WithSimd for Product<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        vectorised_product(self.z, self.a, self.stride, self.first, self.y);
    }
}

#[inline(always)]
fn vectorised_product<T: Real>(z: &[T], a: &[T], stride: usize, first: usize, y: &mut [T]) {
    y.fill(T::ZERO);
    let width = y.len();
    let (eights, rest) = z.as_chunks::<ROWS_AT_A_TIME>();
    for (z, rows) in eights.iter().zip(a.chunks(ROWS_AT_A_TIME * stride)) {
        let row = |i: usize| &rows[i * stride + first..][..width];
        let (r0, r1, r2, r3, r4, r5, r6, r7) =
            (row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7));
        for j in 0..width {
            let low = z[3].fused(r3[j], z[2].fused(r2[j], z[1].fused(r1[j], z[0] * r0[j])));
            let high = z[7].fused(r7[j], z[6].fused(r6[j], z[5].fused(r5[j], z[4] * r4[j])));
            y[j] = y[j] + (low + high);
        }
    }
    let done = z.len() - rest.len();
    for (i, z) in rest.iter().enumerate() {
        let row = &a[(done + i) * stride + first..][..width];
        y.iter_mut().zip(row).for_each(|(y, a)| *y = z.fused(*a, *y));
    }
}

/// The plain reference: z · A, every product summed in f64.
pub(crate) fn plain_product<T: Real>(z: &[T], a: &[T], stride: usize) -> Vec<T> {
    let sum = |j: usize| z.iter().enumerate().map(|(i, z)| z.to_f64() * a[i * stride + j].to_f64()).sum();
    (0..stride).map(|j| T::from_f64(sum(j))).collect()
}
