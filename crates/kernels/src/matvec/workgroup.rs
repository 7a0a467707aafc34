//! How a matvec call is shared out over invocations: what is chosen without measuring, what there is to choose from, and calls
//! with another choice. It changes how fast a product is there, and in which order its terms are added up.

use super::{COLS_AT, X_PLANES_AT};
use crate::linear::{Linear, is_gated, rows_of};
use crate::weights::{WeightLayout, chunk_len, dtype_of};
use crate::{DeviceTraits, Dispatch, Grid};
use resident_tensor::DType;

/// How a matvec is shared out. `k_lanes` invocations of each of `k_subgroups` subgroups share a row; the others work on other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroup {
    /// Invocations: whole subgroups, a multiple of `k_subgroups`.
    pub local_size: u32,
    /// Rows of the matrix that an invocation multiplies at a time, with the next ones on their way.
    pub lane_rows: u32,
    /// Neighbouring invocations along a row: a power of two, at most a subgroup.
    pub k_lanes: u32,
    /// Subgroups along a row.
    pub k_subgroups: u32,
    /// Rows of the matrix, at most as many as invocations; even where gate and up alternate.
    pub rows: u32,
}

/// Specialization constants that hold them.
const LOCAL_SIZE_AT: usize = 0;
const FIRST_AT: usize = 7;
const EPILOGUE_AT: usize = 2;
const SLOTS_AT: usize = 4;
const NORM_AT: usize = 6;
const POLLS_AT: usize = 11;
const Y_PLANES_AT: usize = 15;

/// Rows of y, as planes, that a workgroup makes at least: whole groups.
const PLANES_ROWS: u32 = 32;
/// Invocations of a workgroup at most, where the device allows as many.
const LARGEST: u32 = 1024;
/// Rows of a workgroup at most, where there are many: more would leave the last ones without company.
const MOST_ROWS: u64 = 192;
/// Shared memory for the sums of squares of a norm.
pub(super) const SQUARES_BYTES: u32 = 1024;

/// What decides how a call can be shared out.
struct Job {
    /// Rows of the matrix.
    rows: u64,
    /// Chunks in a row.
    chunks: u32,
    /// Rows of a workgroup are a multiple of this.
    multiple: u32,
    /// Invocations of a subgroup.
    subgroup: u32,
    /// Subgroups of a workgroup at most.
    most_subgroups: u32,
    /// Sums that there is shared memory for, beside x.
    sums: u32,
}

/// A way to share out a job.
#[derive(Clone, Copy)]
struct Way {
    /// Lanes along a row, as a share of the subgroup.
    lanes_share: u32,
    /// Chunks of a row that an invocation owns at most, as far as workgroups go.
    steps: u32,
    lane_rows: u32,
    /// Invocations, about.
    invocations: u32,
    /// As many blocks of rows in a workgroup as so many workgroups need.
    groups: u64,
}

impl Way {
    const fn new(steps: u32, lane_rows: u32, invocations: u32, groups: u64) -> Self {
        Self { lanes_share: 1, steps, lane_rows, invocations, groups }
    }

    /// With half a subgroup along a row.
    const fn in_halves(self) -> Self {
        Self { lanes_share: 2, ..self }
    }
}

/// As many workgroups as there are blocks of rows.
const ONE_BLOCK: u64 = u64::MAX;

impl Job {
    /// For rows of `cols` columns, with room for `staged_bytes` of x in shared memory.
    fn new(rows: u64, layout: (DType, u32), multiple: u32, staged_bytes: u32, device: DeviceTraits) -> Self {
        let (dtype, cols) = layout;
        Self {
            rows,
            chunks: cols.div_ceil(chunk_len(dtype)),
            multiple,
            subgroup: device.subgroup_size,
            most_subgroups: (LARGEST.min(device.workgroup_invocations) / device.subgroup_size).max(1),
            sums: (device.shared_memory_bytes.max(16384) - staged_bytes - SQUARES_BYTES) / 4,
        }
    }

    fn shared_out(&self, way: Way) -> Workgroup {
        let Way { lanes_share, steps, lane_rows, invocations, groups } = way;
        let k_lanes = (self.subgroup / lanes_share).min(self.chunks.next_power_of_two());
        let most = self.most_subgroups;
        let k_subgroups =
            self.chunks.div_ceil(k_lanes * steps).min(most).min(self.sums / self.multiple).max(1);
        let row_subgroups = (invocations / self.subgroup / k_subgroups).clamp(1, most / k_subgroups);
        let local_size = k_subgroups * row_subgroups * self.subgroup;
        let block = row_subgroups * (self.subgroup / k_lanes) * lane_rows;
        let unit = block.next_multiple_of(self.multiple);
        let wanted = self.rows.div_ceil(groups).min(MOST_ROWS) as u32;
        let most_rows = local_size.min(self.sums / k_subgroups);
        let rows = (unit * (wanted / unit).max(1)).min(most_rows / self.multiple * self.multiple);
        Workgroup { local_size, lane_rows, k_lanes, k_subgroups, rows }
    }

    /// The way without measuring where x is quantised or comes as planes, and is handed over. Workgroups that wait for x poll it and
    /// quantise it, so there are few, and the more chunks a row has, the more subgroups share it. Each was the best, or
    /// close to it, of some dozens tried in decode steps of Qwen3-0.6B, Qwen3-8B and Gemma-3-27B shapes on an H200.
    fn handed_over(&self, reads_planes: bool) -> Way {
        let is_head = self.rows > 65536;
        match self.chunks / self.subgroup {
            _ if reads_planes => Way::new(4, 1, 384, 224),
            0..4 if is_head => Way::new(2, 2, 256, 1187).in_halves(),
            0..4 => Way::new(1, 2, 1024, 256).in_halves(),
            4 if is_head => Way::new(1, 1, 512, 256),
            4 if self.rows > 16384 => Way::new(2, 2, 512, 128).in_halves(),
            4 if self.rows > 4096 => Way::new(1, 2, 512, 256),
            4 => Way::new(1, 2, 1024, 128).in_halves(),
            5..8 if is_head => Way::new(2, 3, 384, 256).in_halves(),
            5..8 if self.rows > 16384 => Way::new(3, 1, 512, 336).in_halves(),
            5..8 => Way::new(1, 1, 576, 224),
            _ => Way::new(1, 4, 768, 128),
        }
    }

    /// The same for f32 activations, of Qwen3-0.6B in bf16.
    fn handed_over_f32(&self) -> Way {
        let way = match self.chunks / self.subgroup {
            _ if self.rows > 65536 => Way::new(2, 2, 256, 3166),
            4 if self.rows <= 4096 => Way::new(3, 4, 480, 103),
            9..16 => Way::new(2, 4, 768, 256),
            _ => Way::new(4, 4, 512, 256),
        };
        way.in_halves()
    }
}

impl Workgroup {
    /// The choice without measuring.
    pub(super) fn of(layer: &Linear, call: Traits, device: DeviceTraits) -> Self {
        let Traits { int16, polls, makes_planes, reads_planes, staged_bytes } = call;
        let WeightLayout { dtype, cols, .. } = layer.layout;
        let rows = layer.features() * u64::from(layer.y_rows(1));
        let multiple = rows_multiple(layer.epilogue.is_gated(), makes_planes);
        let job = Job::new(rows, (dtype, cols), multiple, staged_bytes, device);
        job.shared_out(match (int16, polls) {
            (true, true) => job.handed_over(reads_planes),
            (false, true) => job.handed_over_f32(),
            (true, false) if !reads_planes => Way::new(1, 2, 512, 512),
            (true, false) => Way::new(4, 1, 384, 224),
            (false, false) => Way::new(4, 2, 256, ONE_BLOCK),
        })
    }

    /// Whether the kernel can be compiled with it.
    pub fn is_sound(&self) -> bool {
        let Self { local_size, lane_rows, k_lanes, k_subgroups, rows } = *self;
        (32..=LARGEST).contains(&local_size)
            && (1..=16).contains(&lane_rows)
            && k_lanes.is_power_of_two()
            && k_lanes <= 128
            && (1..=32).contains(&k_subgroups)
            && local_size.is_multiple_of(k_lanes * k_subgroups)
            && (1..=local_size).contains(&rows)
    }

    /// The workgroup of a matvec call.
    pub fn of_call(call: &Dispatch) -> Self {
        let at = |index: usize| call.specialization[FIRST_AT + index];
        let local_size = call.specialization[LOCAL_SIZE_AT];
        Self { local_size, lane_rows: at(0), k_lanes: at(1), k_subgroups: at(2), rows: at(3) }
    }

    pub(super) fn constants(&self) -> [u32; 4] {
        [self.lane_rows, self.k_lanes, self.k_subgroups, self.rows]
    }

    /// Workgroups for so many rows of the matrix.
    pub(super) fn groups(&self, rows: u64) -> u32 {
        rows.div_ceil(self.rows.into()) as u32
    }

    /// The same call with this workgroup.
    pub fn applied_to(self, call: &Dispatch) -> Dispatch {
        let Grid::Groups([_, y, z]) = call.grid else { panic!("{}: not a matvec", call.kernel.name) };
        let mut call = call.clone();
        call.grid = Grid::Groups([self.groups(rows_of(&call)), y, z]);
        call.specialization[LOCAL_SIZE_AT] = self.local_size;
        call.specialization[FIRST_AT..FIRST_AT + 4].copy_from_slice(&self.constants());
        call
    }

    /// What is worth measuring for a call on a device with such subgroups.
    pub fn candidates(call: &Dispatch, device: DeviceTraits) -> Vec<Self> {
        let layout = (dtype_of(call.kernel.name), call.specialization[COLS_AT]);
        let multiple = rows_multiple(is_gated(call), call.specialization[Y_PLANES_AT] != 0);
        let job = Job::new(rows_of(call), layout, multiple, super::staged_bytes_of(call), device);
        let ways = [
            Way::new(1, 2, 256, ONE_BLOCK),
            Way::new(1, 2, 512, 512),
            Way::new(1, 1, 256, ONE_BLOCK),
            Way::new(4, 1, 384, 224),
            Way::new(2, 3, 384, 1024).in_halves(),
            Way::new(3, 1, 512, 336).in_halves(),
        ];
        let mut found = vec![Self::of_call(call)];
        for candidate in ways.map(|way| job.shared_out(way)) {
            if !found.contains(&candidate) {
                found.push(candidate);
            }
        }
        found
    }
}

/// What the rows of a workgroup must be a multiple of.
fn rows_multiple(gated: bool, makes_planes: bool) -> u32 {
    let outputs = if makes_planes { PLANES_ROWS } else { 1 };
    if gated { 2 * outputs } else { outputs }
}

/// What of a call besides its layer decides how it is shared out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) int16: bool,
    pub(super) polls: bool,
    pub(super) makes_planes: bool,
    pub(super) reads_planes: bool,
    /// Shared memory that x takes.
    pub(super) staged_bytes: u32,
}

/// What the best workgroup of a matvec call depends on besides the device, as text; `None` for other kernels, and where rows
/// choose experts: a trial has nobody who chooses, and one expert over and over would be measured from the card's caches.
pub fn tunable(call: &Dispatch) -> Option<String> {
    let name = call.kernel.name;
    (name.starts_with("matvec_") && call.specialization[SLOTS_AT] == 0).then(|| {
        let at = |index: usize| call.specialization[index];
        let [cols, epilogue, norm] = [COLS_AT, EPILOGUE_AT, NORM_AT].map(at);
        let named = [(POLLS_AT, " handed over"), (X_PLANES_AT, " from planes"), (Y_PLANES_AT, " to planes")];
        let how: String =
            named.into_iter().filter(|(index, _)| at(*index) != 0).map(|(_, name)| name).collect();
        format!("{name} {}x{cols} epilogue {epilogue} norm {norm}{how}", rows_of(call))
    })
}
