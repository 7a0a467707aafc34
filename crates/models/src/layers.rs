//! The parts that plans are made of. Each works on any number of token rows: one builder serves prefill and decode.

use crate::weights::{Matrix, MatrixPart};
use resident_kernels::embed::{self, Embed};
use resident_kernels::handover::Handover;
use resident_kernels::linear::{self, Epilogue, Linear, halves, planes};
use resident_kernels::rms_norm::{self, RmsNorm};
use resident_kernels::to_halves::{self, ToHalves};
use resident_kernels::{Slice, matmul, matvec};
use resident_plan::PlanBuilder;

/// Rows of f32 activations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    pub(crate) slice: Slice,
    /// Values from one row to the next.
    pub(crate) stride: u32,
    /// The same as the next products multiply it, where that is not f32: one row as [`planes`], several as [`halves`].
    pub(crate) packed: Option<Slice>,
}

impl Activation {
    /// Room for `rows` rows of `values` values, each at a 16-byte boundary.
    pub(crate) fn new(plan: &mut PlanBuilder, name: &str, rows: u32, values: u32) -> Self {
        let stride = values.next_multiple_of(4);
        let slice = plan.activation_bytes(name, u64::from(rows) * u64::from(stride) * 4);
        Self { slice, stride, packed: None }
    }

    /// As [`new`](Self::new), for what the next phases read: handed over where the plan does that.
    pub(crate) fn handed_on(plan: &mut PlanBuilder, name: &str, rows: u32, values: u32) -> Self {
        let stride = values.next_multiple_of(4);
        let slice = plan.handed_on(name, u64::from(rows) * u64::from(stride) * 4);
        Self { slice, stride, packed: None }
    }

    /// With planes beside it, where it is long and `matrix`, which makes it, and `reader`, which multiplies it next without a
    /// norm, work on them: then it is quantised once, not by every workgroup of the reader, whose shared memory it would fill.
    pub(crate) fn with_planes(
        self,
        plan: &mut PlanBuilder,
        name: &str,
        matrix: &Matrix,
        reader: &Matrix,
    ) -> Self {
        let device = plan.device();
        let makes = matrix.parts.len() == 1 && matvec::quantises(matrix.parts[0].layout, device);
        let takes = reader.parts.iter().all(|part| matvec::takes_planes(part.layout, device));
        let worthwhile = reader.cols >= LEAST_PLANES && reader.cols.is_multiple_of(32);
        if plan.rows() > 1 || !(makes && takes && worthwhile) {
            return self;
        }
        let packed = Some(plan.handed_on(&format!("{name}.planes"), planes::bytes(reader.cols)));
        Self { packed, ..self }
    }

    /// The slice from value `first` of the first row on.
    fn starting_at(self, first: u32) -> Slice {
        let offset = u64::from(first) * 4;
        self.slice.at(offset, self.slice.bytes - offset)
    }
}

/// Values of an activation that is worth planes. With fewer, its makers lose more by working in whole groups than its readers
/// gain: on an H200 12 288 values are too few (347 against 375 tokens/s), 21 504 are not (117 against 96).
const LEAST_PLANES: u32 = 16384;

/// An RMSNorm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Slice,
    pub(crate) eps: f32,
}

/// Token rows of a call: how many the plan has room for, and the word that says how many are in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) capacity: u32,
    pub(crate) count: Slice,
}

/// How a call that reads `x` and writes `y` takes part in the plan's hand-over.
pub(crate) fn handover_of(plan: &PlanBuilder, x: Slice, y: Slice) -> Handover {
    Handover { polls: plan.is_handed_over(x), publishes: plan.is_handed_over(y) }
}

/// What happens to the products of a linear layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// They are the result.
    Store,
    /// They are added to the residual stream.
    AddTo(Activation),
    /// Rows alternate gate, up; this epilogue makes one value of both.
    Gated(Epilogue),
    /// cap · tanh(product / cap).
    SoftCap(f32),
}

/// x as products want it that have `cols` input features, `each` rows of x a token row. One row's norm is left to the matvecs. Several
/// rows are normalised here, once, and become halves where the device has matrix units.
pub(crate) fn prepared(
    plan: &mut PlanBuilder,
    label: &str,
    (x, norm): (Activation, Option<Norm>),
    [cols, each]: [u32; 2],
    rows: Rows,
) -> (Activation, Option<Norm>) {
    if rows.capacity == 1 || x.packed.is_some() {
        return (x, norm);
    }
    if plan.device().matrix_units {
        let bytes = halves::bytes(rows.capacity * each, cols);
        let packed = plan.activation_bytes(&format!("{label}.halves"), bytes);
        let call = ToHalves { cols, stride: x.stride, each, norm_eps: norm.map(|norm| norm.eps) };
        let weight = norm.map(|norm| norm.weight);
        let bindings = to_halves::Bindings { x: x.slice, weight, row_count: rows.count, y: packed };
        plan.dispatch(format!("{label}.halves"), to_halves::dispatch(&call, rows.capacity, bindings));
        return (Activation { packed: Some(packed), ..x }, None);
    }
    let Some(norm) = norm else { return (x, None) };
    let normed = Activation::new(plan, &format!("{label}.normed"), rows.capacity, x.stride);
    norm_rows(plan, format!("{label}.norm"), (x, norm), cols, rows, normed, None);
    (normed, None)
}

/// y = norm(x), or residual + norm(x).
pub(crate) fn norm_rows(
    plan: &mut PlanBuilder,
    label: String,
    (x, norm): (Activation, Norm),
    cols: u32,
    rows: Rows,
    y: Activation,
    residual: Option<Activation>,
) {
    let strides = [Some(y), residual].map(|other| other.map_or(x.stride, |other| other.stride));
    assert_eq!(strides, [x.stride; 2], "{label}: strides differ");
    let handover = handover_of(plan, x.slice, y.slice);
    let params = RmsNorm { cols, stride: x.stride, eps: norm.eps, handover };
    let bindings = rms_norm::Bindings {
        x: x.slice,
        weight: norm.weight,
        row_count: rows.count,
        residual: residual.map(|residual| residual.slice),
        y: y.slice,
    };
    plan.dispatch(label, rms_norm::dispatch(&params, rows.capacity, bindings));
}

/// sum = stream + W x, or with the norm of W x where the architecture normalises results.
pub(crate) fn add_to_stream(
    plan: &mut PlanBuilder,
    label: &str,
    matrix: &Matrix,
    (x, norm): (Activation, Option<Norm>),
    rows: Rows,
    stream: Activation,
    sum: Activation,
) {
    let Some(norm) = norm else {
        return linear(plan, label, matrix, (x, None), rows, sum, Then::AddTo(stream));
    };
    let result = Activation::handed_on(plan, &format!("{label}.result"), rows.capacity, matrix.rows);
    linear(plan, label, matrix, (x, None), rows, result, Then::Store);
    norm_rows(plan, format!("{label}.norm"), (result, norm), matrix.rows, rows, sum, Some(stream));
}

/// y = W norm(x), with what the epilogue makes of it. One row goes through matvecs that take the norm along; several
/// are normalised once and go through matrix products.
pub(crate) fn linear(
    plan: &mut PlanBuilder,
    label: &str,
    matrix: &Matrix,
    (x, norm): (Activation, Option<Norm>),
    rows: Rows,
    y: Activation,
    then: Then,
) {
    let (epilogue, residual) = match then {
        Then::Store => (Epilogue::Store, None),
        Then::AddTo(residual) => (Epilogue::Add, Some(residual)),
        Then::Gated(epilogue) => (epilogue, None),
        Then::SoftCap(cap) => (Epilogue::SoftCap(cap), None),
    };
    let as_matvec = rows.capacity == 1;
    let (x, norm) = prepared(plan, label, (x, norm), [matrix.cols, 1], rows);
    for part in &matrix.parts {
        let layer = Linear {
            layout: part.layout,
            x_stride: x.stride,
            y_stride: y.stride,
            norm_eps: norm.map(|n| n.eps),
            epilogue,
            experts: None,
            handover: handover_of(plan, x.slice, y.slice),
            x_planes: as_matvec && x.packed.is_some(),
        };
        let first_value = if epilogue.is_gated() { part.first_row / 2 } else { part.first_row };
        let values = if epilogue.is_gated() { part.layout.rows / 2 } else { part.layout.rows };
        let part_of = |rows: Activation| match as_matvec {
            // One row: the part's values lie together, so parts need not wait for each other.
            true => rows.starting_at(first_value).at(0, values * 4),
            false => rows.starting_at(first_value),
        };
        assert!(residual.is_none_or(|residual| residual.stride == y.stride), "{label}: strides differ");
        let bindings = linear::Bindings {
            weight: part.slice,
            x: x.packed.unwrap_or(x.slice),
            norm_weight: norm.map(|n| n.weight),
            bias: matrix.bias.map(|bias| bias.at(u64::from(part.first_row) * 4, part.layout.rows * 4)),
            row_count: rows.count,
            experts: None,
            residual: residual.map(part_of),
            y: part_of(y),
            y_planes: y.packed,
        };
        let dispatch = match as_matvec {
            true => matvec::dispatch(&layer, rows.capacity, plan.device(), bindings),
            false => matmul::dispatch(&layer, rows.capacity, plan.device(), bindings),
        };
        plan.dispatch(label, dispatch);
    }
}

/// y[r] = table[token of row r] · scale.
pub(crate) fn embedding(
    plan: &mut PlanBuilder,
    table: &Matrix,
    rows: Rows,
    step_rows: Slice,
    scale: f32,
    y: Activation,
) {
    for part in &table.parts {
        // A part leaves the rows of the others alone, and a word of a hand-over is written once.
        let publishes = table.parts.len() == 1 && plan.is_handed_over(y.slice);
        let MatrixPart { layout, first_row: first_token, .. } = *part;
        let embed = Embed { layout, first_token, y_stride: y.stride, scale, publishes };
        let bindings = embed::Bindings { weight: part.slice, row_count: rows.count, step_rows, y: y.slice };
        plan.dispatch("embed_tokens", embed::dispatch(&embed, rows.capacity, bindings));
    }
}
