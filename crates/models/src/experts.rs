//! An MLP made of experts: a router scores them for each row, the row goes through the best few, and what they return is
//! added up by their shares. All of it happens on the device; of the experts' weights only those of chosen ones are read.

use crate::error::ModelError;
use crate::layer_weights::LayerBuilder;
use crate::layers::{Activation, Norm, Rows, Then, handover_of, linear, prepared};
use crate::weights::{Matrix, Source, WeightPlan};
use resident_kernels::choose_experts::{self, ChooseExperts};
use resident_kernels::combine_experts::{self, CombineExperts};
use resident_kernels::group_experts::{self, GroupExperts};
use resident_kernels::linear::{self, Epilogue, Experts, Linear};
use resident_kernels::{Slice, matmul, matvec};
use resident_plan::{PlanBuilder, Program};

/// The experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExpertShape {
    /// How many there are.
    pub(crate) count: u32,
    /// How many a row goes through.
    pub(crate) slots: u32,
    /// Values between the two projections of one.
    pub(crate) intermediate_size: u32,
    /// Whether the shares of the chosen ones add up to 1.
    pub(crate) normalise: bool,
}

/// Router and experts of a layer. Their matrices lie one after the other.
pub(crate) struct ExpertWeights {
    shape: ExpertShape,
    router: Matrix,
    gate_up: Matrix,
    down: Matrix,
}

/// The two products of an MLP.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    /// Gate and up: the slots of a row share its x.
    GateUp,
    /// Down: each slot has its own.
    Down,
}

/// Which experts the rows have chosen.
struct Choice {
    /// What `linear` binds: the choice itself, or the slots grouped by expert.
    experts: Slice,
    /// f32 (rows, slots).
    shares: Slice,
}

impl ExpertWeights {
    pub(crate) fn declare(
        layer: &LayerBuilder,
        shape: ExpertShape,
        hidden: u32,
        program: &mut Program,
        weights: &mut WeightPlan,
    ) -> Result<Self, ModelError> {
        let ExpertShape { count, intermediate_size: mlp, .. } = shape;
        let router = vec![layer.matrix("mlp.gate", count, hidden)];
        let router = weights.stacked(program, &layer.short("router"), router)?;
        // One tensor for all experts, or one for each.
        let stored_together = |part: &str| {
            let tensor = layer.tensor(&format!("mlp.experts.{part}"), "weight");
            weights.checkpoint().is_none_or(|checkpoint| checkpoint.has_tensor(&tensor)).then_some(tensor)
        };
        let sources = |part: &str, rows, cols| match stored_together(part) {
            Some(tensor) => vec![Source::matrices(tensor, count, rows, cols)],
            None => (0..count)
                .map(|expert| layer.matrix(&format!("mlp.experts.{expert}.{part}"), rows, cols))
                .collect(),
        };
        let (gate, up) = (sources("gate_proj", mlp, hidden), sources("up_proj", mlp, hidden));
        let down = sources("down_proj", hidden, mlp);
        let gate_up =
            weights.alternating(program, &layer.short("experts.gate_up_proj"), [gate, up], 2 * mlp)?;
        let down = weights.stacked_units(program, &layer.short("experts.down_proj"), down, hidden)?;
        Ok(Self { shape, router, gate_up, down })
    }

    /// sum = stream + the experts' MLPs of the normalised rows of the stream.
    pub(crate) fn add_to_stream(
        &self,
        plan: &mut PlanBuilder,
        label: &impl Fn(&str) -> String,
        norm: Norm,
        rows: Rows,
        stream: Activation,
        sum: Activation,
    ) {
        let ExpertShape { slots, intermediate_size: mlp, .. } = self.shape;
        let cols = self.router.cols;
        let x = prepared(plan, &label("mlp"), (stream, Some(norm)), [cols, 1], rows);
        let choice = self.choose(plan, label, x, rows);
        let slot_rows = rows.capacity * slots;
        let gated = Activation::new(plan, &label("experts.gated"), slot_rows, mlp);
        self.product(plan, &label("experts.gate_up_proj"), Product::GateUp, x, rows, &choice, gated);
        let results = Activation::new(plan, &label("experts.results"), slot_rows, cols);
        let gated = prepared(plan, &label("experts.gated"), (gated, None), [mlp, slots], rows);
        self.product(plan, &label("experts.down_proj"), Product::Down, gated, rows, &choice, results);
        let combine = CombineExperts { cols, slots, x_stride: results.stride, y_stride: sum.stride };
        let bindings = combine_experts::Bindings {
            x: results.slice,
            weights: choice.shares,
            row_count: rows.count,
            residual: stream.slice,
            y: sum.slice,
        };
        plan.dispatch(label("experts.combine"), combine_experts::dispatch(&combine, rows.capacity, bindings));
    }

    fn choose(
        &self,
        plan: &mut PlanBuilder,
        label: &impl Fn(&str) -> String,
        x: (Activation, Option<Norm>),
        rows: Rows,
    ) -> Choice {
        let ExpertShape { count, slots, normalise, .. } = self.shape;
        let logits = Activation::new(plan, &label("router_logits"), rows.capacity, count);
        linear(plan, &label("router"), &self.router, x, rows, logits, Then::Store);
        let slot_bytes = u64::from(rows.capacity * slots) * 4;
        let experts = plan.activation_bytes(&label("experts.chosen"), slot_bytes);
        let shares = plan.activation_bytes(&label("experts.shares"), slot_bytes);
        let choose = ChooseExperts { experts: count, slots, normalise, stride: logits.stride };
        let bindings = choose_experts::Bindings {
            logits: logits.slice,
            row_count: rows.count,
            experts,
            weights: shares,
        };
        plan.dispatch(label("experts.choose"), choose_experts::dispatch(&choose, rows.capacity, bindings));
        if rows.capacity == 1 {
            return Choice { experts, shares };
        }
        let group = GroupExperts { experts: count, slots };
        let groups = plan.activation_bytes(&label("experts.groups"), group.group_bytes(rows.capacity));
        let bindings = group_experts::Bindings { row_count: rows.count, experts, groups };
        plan.dispatch(label("experts.group"), group_experts::dispatch(&group, rows.capacity, bindings));
        Choice { experts: groups, shares }
    }

    /// y = what the chosen experts' matrices make of x.
    #[allow(clippy::too_many_arguments)]
    fn product(
        &self,
        plan: &mut PlanBuilder,
        label: &str,
        product: Product,
        (x, norm): (Activation, Option<Norm>),
        rows: Rows,
        choice: &Choice,
        y: Activation,
    ) {
        let (matrix, epilogue) = match product {
            Product::GateUp => (&self.gate_up, Epilogue::SiluGated),
            Product::Down => (&self.down, Epilogue::Store),
        };
        let features = matrix.rows / self.shape.count;
        for part in &matrix.parts {
            let experts = Experts {
                first: part.first_row / features,
                count: (part.layout.rows / u64::from(features)) as u32,
                slots: self.shape.slots,
                shared_x: product == Product::GateUp,
            };
            let layer = Linear {
                layout: part.layout,
                x_stride: x.stride,
                y_stride: y.stride,
                norm_eps: norm.map(|norm| norm.eps),
                epilogue,
                experts: Some(experts),
                handover: handover_of(plan, x.slice, y.slice),
                x_planes: false,
            };
            let bindings = linear::Bindings {
                weight: part.slice,
                x: x.packed.unwrap_or(x.slice),
                norm_weight: norm.map(|norm| norm.weight),
                bias: None,
                row_count: rows.count,
                experts: Some(choice.experts),
                residual: None,
                y: y.slice,
                y_planes: None,
            };
            let dispatch = match rows.capacity {
                1 => matvec::dispatch(&layer, 1, plan.device(), bindings),
                many => matmul::dispatch(&layer, many, plan.device(), bindings),
            };
            plan.dispatch(label, dispatch);
        }
    }
}
