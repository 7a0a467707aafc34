//! The workgroup of a matvec call: what is chosen without measuring, what there is to choose from, and calls with another
//! choice. It changes how fast a product is there, not what it is (only the sum of squares of a norm taken along is added
//! up in another order).

use crate::linear::{Linear, is_gated, rows_of};
use crate::{Dispatch, Grid, LOCAL_SIZE};

/// How a matvec is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroup {
    /// Invocations.
    pub local_size: u32,
    /// Output features of a subgroup, at most 4.
    pub subgroup_rows: u32,
}

/// Specialization constants that hold them.
const LOCAL_SIZE_AT: usize = 0;
const SUBGROUP_ROWS_AT: usize = 7;
const COLS_AT: usize = 1;
const EPILOGUE_AT: usize = 2;
const SLOTS_AT: usize = 4;
const NORM_AT: usize = 6;

impl Workgroup {
    /// The choice without measuring. A large workgroup with many rows shares what it costs to stage a long x; a short one is
    /// staged so quickly that more workgroups are worth more; and whatever x, a card of a hundred cores wants a workgroup
    /// for each. Measured on an H200, see docs/performance.md.
    pub(super) fn of(layer: &Linear, int16: bool) -> Self {
        let (local_size, most) = match layer.layout.cols {
            4096.. => (2 * LOCAL_SIZE, 4),
            2048.. => (LOCAL_SIZE, 4),
            _ => (LOCAL_SIZE, 2),
        };
        // In subgroups of 32.
        let rows = layer.features() * u64::from(layer.y_rows(1));
        let workgroups = |subgroup_rows: u32| rows / u64::from(local_size / 32 * subgroup_rows);
        let enough =
            |subgroup_rows: u32| workgroups(subgroup_rows) >= if subgroup_rows == 4 { 256 } else { 128 };
        // Gate and up of one feature must meet in one subgroup; and a single row of wider weights takes so many steps that
        // its loads, one after the other, cost more than the additional workgroups bring.
        let least = if layer.epilogue.is_gated() || !int16 { 2 } else { 1 };
        let subgroup_rows =
            [4, 2, 1].into_iter().find(|n| *n <= most && enough(*n)).unwrap_or(least).max(least);
        Self { local_size, subgroup_rows }
    }

    /// The workgroup of a matvec call.
    pub fn of_call(call: &Dispatch) -> Self {
        let [local_size, subgroup_rows] = [LOCAL_SIZE_AT, SUBGROUP_ROWS_AT].map(|at| call.specialization[at]);
        Self { local_size, subgroup_rows }
    }

    /// The same call with this workgroup.
    pub fn applied_to(self, call: &Dispatch) -> Dispatch {
        let Grid::Subgroups { y, z, .. } = call.grid else { panic!("{}: not a matvec", call.kernel.name) };
        let mut call = call.clone();
        let jobs = rows_of(&call).div_ceil(u64::from(self.subgroup_rows)) as u32;
        call.grid = Grid::Subgroups { jobs, y, z };
        call.specialization[LOCAL_SIZE_AT] = self.local_size;
        call.specialization[SUBGROUP_ROWS_AT] = self.subgroup_rows;
        call
    }

    /// What is worth measuring for a call.
    pub fn candidates(call: &Dispatch) -> Vec<Self> {
        let gated = is_gated(call);
        let sizes = [(256, 1), (256, 2), (256, 4), (512, 2), (512, 4), (128, 2)];
        let candidates = sizes.map(|(local_size, subgroup_rows)| Self { local_size, subgroup_rows });
        candidates.into_iter().filter(|c| !gated || c.subgroup_rows > 1).collect()
    }
}

/// What the best workgroup of a matvec call depends on besides the device, as text; `None` for other kernels, and where rows
/// choose experts: a trial has nobody who chooses, and one expert over and over would be measured from the card's caches.
pub fn tunable(call: &Dispatch) -> Option<String> {
    let name = call.kernel.name;
    (name.starts_with("matvec_") && call.specialization[SLOTS_AT] == 0).then(|| {
        let [cols, epilogue, norm] = [COLS_AT, EPILOGUE_AT, NORM_AT].map(|at| call.specialization[at]);
        format!("{name} {}x{cols} epilogue {epilogue} norm {norm}", rows_of(call))
    })
}
