//! A kernel call as data: which kernel, on which byte ranges, with which parameters, over which grid, at what cost.

use crate::HostMemory;
use bytemuck::Pod;
use std::fmt;

/// Invocations in a workgroup of a kernel that does not say otherwise; specialization constant 0 of every kernel.
pub const LOCAL_SIZE: u32 = 256;

/// What of a device decides between variants of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTraits {
    /// Shared memory of a workgroup.
    pub shared_memory_bytes: u32,
    /// Whether packed 8-bit dot products are fast, and subgroups have 8 invocations or more, in clusters of 8.
    pub packed_dot_product: bool,
    /// Whether subgroups multiply f16 matrices of 16 × 16 into f32 ones on matrix units (`VK_KHR_cooperative_matrix`).
    pub matrix_units: bool,
    /// Invocations of a subgroup.
    pub subgroup_size: u32,
    /// Invocations of a workgroup at most.
    pub workgroup_invocations: u32,
}

impl DeviceTraits {
    /// What every Vulkan device has; also the CPU device's, whose kernels need neither.
    pub const LEAST: Self = Self {
        shared_memory_bytes: 16384,
        packed_dot_product: false,
        matrix_units: false,
        subgroup_size: 32,
        workgroup_invocations: 256,
    };
}

impl Default for DeviceTraits {
    fn default() -> Self {
        Self::LEAST
    }
}

/// Names a buffer of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// A byte range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte.
    pub offset_bytes: u64,
    /// Length.
    pub bytes: u64,
}

impl Slice {
    /// `bytes` bytes of this slice from `offset_bytes` on.
    ///
    /// # Panics
    /// If the range does not lie inside the slice.
    pub fn at(self, offset_bytes: u64, bytes: u64) -> Self {
        assert!(
            offset_bytes + bytes <= self.bytes,
            "slice [{offset_bytes}, +{bytes}) leaves its {} bytes",
            self.bytes
        );
        Self { buffer: self.buffer, offset_bytes: self.offset_bytes + offset_bytes, bytes }
    }

    /// Whether the two share a byte.
    pub fn overlaps(&self, other: &Slice) -> bool {
        self.buffer == other.buffer
            && self.offset_bytes < other.offset_bytes + other.bytes
            && other.offset_bytes < self.offset_bytes + self.bytes
    }
}

/// What a kernel does with a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only loads.
    Read,
    /// Only stores.
    Write,
    /// Loads and stores.
    ReadWrite,
    /// Loads words of a hand-over once they are ready: needs no barrier behind a call that publishes them.
    Poll,
    /// Stores every word once, as words of a hand-over that say by themselves that they are ready.
    Publish,
}

impl Access {
    /// Whether it stores.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::ReadWrite | Access::Publish)
    }

    /// Whether it loads.
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::ReadWrite | Access::Poll)
    }
}

/// One buffer argument of a call. The push constants begin with the addresses of all bindings, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The field's name in the kernel's `Bindings` and in its GLSL.
    pub name: &'static str,
    /// The bytes it may touch; `None` passes address 0 to a kernel whose variant does not use it.
    pub slice: Option<Slice>,
    /// What it does with them.
    pub access: Access,
}

/// How many workgroups to launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Exactly these.
    Groups([u32; 3]),
    /// As many along x as hold `jobs` subgroups, one job each; y and z as given. Depends on the device's subgroup size.
    Subgroups {
        /// Subgroups wanted along x.
        jobs: u32,
        /// Workgroups along y.
        y: u32,
        /// Workgroups along z.
        z: u32,
    },
}

impl Grid {
    /// Workgroup counts for a workgroup of `local_size` invocations in subgroups of `subgroup_size`.
    pub fn groups(self, local_size: u32, subgroup_size: u32) -> [u32; 3] {
        match self {
            Grid::Groups(groups) => groups,
            Grid::Subgroups { jobs, y, z } => [jobs.div_ceil(local_size / subgroup_size), y, z],
        }
    }
}

/// What a call must move and compute at the least, for floors and shares of the card's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Weight bytes read.
    pub weight_bytes: u64,
    /// Other bytes read or written (activations, caches, tables).
    pub activation_bytes: u64,
    /// Floating-point operations; a multiply-add is two.
    pub operations: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            weight_bytes: self.weight_bytes + other.weight_bytes,
            activation_bytes: self.activation_bytes + other.activation_bytes,
            operations: self.operations + other.operations,
        }
    }
}

/// Runs a call on host memory.
pub type HostFn = fn(&Dispatch, &HostMemory);

/// What is the same for every call of a kernel.
pub struct Kernel {
    /// `<op>_<weight type>[_<variant>]`: the name in plans, profiles and ledgers.
    pub name: &'static str,
    /// Committed SPIR-V.
    pub spirv: &'static [u8],
    /// The CPU device's implementation: the plain reference, or a SIMD one that a test compares with it.
    pub host: HostFn,
    /// The plain reference: what the tests of both compare with.
    pub reference: HostFn,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A call: everything the recorder, the interpreter, the printer and the profiler need.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Specialization constants 0, 1, 2 …; constant 0 is the workgroup size.
    pub specialization: Vec<u32>,
    /// Buffer arguments in push-constant order.
    pub bindings: Vec<Binding>,
    /// The kernel's `Params` as they follow the addresses in the push constants.
    pub params: Vec<u8>,
    /// Launch size.
    pub grid: Grid,
    /// Least bytes and operations.
    pub cost: Cost,
}

impl Dispatch {
    /// The typed parameters.
    ///
    /// # Panics
    /// If `P` is not the type that `dispatch` of this kernel stored.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// The slice bound as `name`.
    ///
    /// # Panics
    /// If there is no such binding or it is unbound: a bug of the kernel that asks.
    pub fn slice(&self, name: &str) -> Slice {
        self.bound(name).unwrap_or_else(|| panic!("{}: binding '{name}' is not bound", self.kernel.name))
    }

    /// The slice bound as `name`, if it is bound.
    ///
    /// # Panics
    /// If the kernel has no such binding.
    pub fn bound(&self, name: &str) -> Option<Slice> {
        let binding = self.bindings.iter().find(|b| b.name == name);
        binding.unwrap_or_else(|| panic!("{} has no binding '{name}'", self.kernel.name)).slice
    }

    /// Invocations a workgroup.
    pub fn local_size(&self) -> u32 {
        self.specialization[0]
    }

    /// The push constants: the bindings' addresses, then the parameters.
    pub fn push_constants(&self, address: impl Fn(Slice) -> u64) -> Vec<u8> {
        let addresses = self.bindings.iter().map(|b| b.slice.map_or(0, &address));
        addresses.flat_map(u64::to_le_bytes).chain(self.params.iter().copied()).collect()
    }
}

/// Declares a kernel's `Bindings` struct: fields in push-constant order with their access.
/// `Option<Slice>` fields may be unbound.
#[macro_export]
macro_rules! bindings {
    ($(#[$meta:meta])* pub struct Bindings { $($(#[$doc:meta])* $field:ident: $access:ident $($optional:literal)?),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub struct Bindings {
            $($(#[$doc])* pub $field: $crate::bindings!(@type $($optional)?)),+
        }
        impl Bindings {
            fn list(self) -> Vec<$crate::Binding> {
                vec![$($crate::Binding {
                    name: stringify!($field),
                    slice: self.$field.into(),
                    access: $crate::Access::$access,
                }),+]
            }
        }
    };
    (@type) => { $crate::Slice };
    (@type $optional:literal) => { Option<$crate::Slice> };
}
