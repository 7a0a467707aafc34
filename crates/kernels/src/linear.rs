//! What `matvec` and `matmul` share: y = W x per token row, with an optional RMSNorm of x taken along and an epilogue.
//! The two differ only in how the device goes about it, so parameters, reference and host implementation stand here.

pub mod halves;
mod host;
pub mod planes;

pub(crate) use host::host;

use crate::handover::Handover;
use crate::weights::{WeightLayout, dtype_of};
use crate::{Access, Binding, Cost, Dispatch, HostMemory, Slice, matmul, matvec};
use bytemuck::{Pod, Zeroable};
use std::collections::BTreeMap;

/// What happens to a finished product, after its bias has been added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epilogue {
    /// y = W x.
    Store,
    /// y = residual + W x.
    Add,
    /// Rows of W alternate gate, up: `y[i] = silu(gate[i]) · up[i]`, half as many values as rows.
    SiluGated,
    /// As [`SiluGated`](Self::SiluGated), with GELU in its tanh form.
    GeluGated,
    /// y = cap · tanh(W x / cap).
    SoftCap(f32),
}

impl Epilogue {
    /// Whether two rows of W make one value.
    pub fn is_gated(self) -> bool {
        matches!(self, Self::SiluGated | Self::GeluGated)
    }

    /// Its number in `glsl/linear.glsl`.
    fn number(self) -> u32 {
        match self {
            Self::Store => 0,
            Self::Add => 1,
            Self::SiluGated => 2,
            Self::GeluGated => 3,
            Self::SoftCap(_) => 4,
        }
    }

    fn cap(self) -> f32 {
        if let Self::SoftCap(cap) = self { cap } else { 0.0 }
    }

    /// The epilogue of a call.
    fn of(number: u32, cap: f32) -> Self {
        match number {
            0 => Self::Store,
            1 => Self::Add,
            2 => Self::SiluGated,
            3 => Self::GeluGated,
            4 => Self::SoftCap(cap),
            _ => panic!("no epilogue has the number {number}"),
        }
    }
}

/// Which of several matrices a token row goes through. Every token row chooses `slots` experts; a slot is one of its
/// choices, and has a row of y: token · slots + choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// The expert whose matrix comes first.
    pub first: u32,
    /// Experts in the matrix; slots with others are left alone.
    pub count: u32,
    /// Experts that a token row chooses.
    pub slots: u32,
    /// Whether the slots of a token row read one row of x; otherwise each has its own.
    pub shared_x: bool,
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// The matrix; with experts, those of all of them one after the other.
    pub layout: WeightLayout,
    /// Values from one token row of x to the next; a multiple of 4.
    pub x_stride: u32,
    /// Values from one token row of y to the next.
    pub y_stride: u32,
    /// RMSNorm of x by `norm_weight` with this eps, before the product (matvec only).
    pub norm_eps: Option<f32>,
    /// What happens to the product.
    pub epilogue: Epilogue,
    /// Where rows choose their matrix.
    pub experts: Option<Experts>,
    /// How x, residual and y pass from call to call (matvec only).
    pub handover: Handover,
    /// Whether x comes as [`planes`], without a norm (matvec only).
    pub x_planes: bool,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    rows: u32,
    x_stride: u32,
    y_stride: u32,
    eps: f32,
    cap: f32,
    first_expert: u32,
    expert_count: u32,
}

/// Buffers of a linear layer.
#[derive(Clone, Copy, Debug)]
pub struct Bindings {
    /// The matrix: values or quants, then scales.
    pub weight: Slice,
    /// f32 (token rows, x_stride); (token rows · slots, x_stride) where the slots do not share it. [`halves`] of as many rows for
    /// matmul on matrix units.
    pub x: Slice,
    /// f32 (cols), padded to 16 bytes; bound where the norm is taken along.
    pub norm_weight: Option<Slice>,
    /// f32 (rows): what is added to the products, where there is a bias.
    pub bias: Option<Slice>,
    /// u32: how many token rows are in use.
    pub row_count: Slice,
    /// Bound where there are experts. For matvec, u32 (token rows, slots): the experts chosen. For matmul, the tiles and the
    /// order that [`group_experts`](crate::group_experts) made of them.
    pub experts: Option<Slice>,
    /// f32 (token rows, y_stride): what [`Epilogue::Add`] adds to. May be `y` itself.
    pub residual: Option<Slice>,
    /// f32 (token rows or slots, y_stride).
    pub y: Slice,
    /// One row of y as [`planes`] too (matvec only).
    pub y_planes: Option<Slice>,
}

impl Linear {
    /// Output features: rows of the matrix, or of one expert's.
    pub(crate) fn features(&self) -> u64 {
        self.layout.rows / u64::from(self.experts.map_or(1, |experts| experts.count))
    }

    /// Rows of y for `token_rows` token rows.
    pub(crate) fn y_rows(&self, token_rows: u32) -> u32 {
        token_rows * self.experts.map_or(1, |experts| experts.slots)
    }

    /// Specialization constants 1 to 5 of both kernels.
    pub(crate) fn specialization(&self, bindings: &Bindings) -> [u32; 5] {
        let slots = self.experts.map_or(0, |experts| experts.slots);
        let x_slots = if self.experts.is_some_and(|experts| experts.shared_x) { slots } else { 1 };
        [self.layout.cols, self.epilogue.number(), bindings.bias.is_some().into(), slots, x_slots]
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let Self { x_stride, y_stride, .. } = *self;
        assert!(x_stride.is_multiple_of(4) && x_stride >= self.layout.cols, "x_stride {x_stride}");
        let rows = u32::try_from(self.features()).expect("a matrix has fewer than 2^32 rows");
        let (first_expert, expert_count) =
            self.experts.map_or((0, 0), |experts| (experts.first, experts.count));
        let (eps, cap) = (self.norm_eps.unwrap_or(0.0), self.epilogue.cap());
        bytemuck::bytes_of(&Params { rows, x_stride, y_stride, eps, cap, first_expert, expert_count })
            .to_vec()
    }

    pub(crate) fn bindings(&self, bindings: Bindings) -> Vec<Binding> {
        let Bindings { weight, x, norm_weight, bias, row_count, experts, residual, y, y_planes } = bindings;
        assert_eq!(norm_weight.is_some(), self.norm_eps.is_some(), "a norm needs its weight and its eps");
        assert_eq!(experts.is_some(), self.experts.is_some(), "experts need to be chosen");
        assert_eq!(residual.is_some(), self.epilogue == Epilogue::Add, "a residual is there to be added");
        let scale_bytes = self.layout.rows * self.layout.row_scale_bytes();
        let read = |name, slice| Binding { name, slice, access: Access::Read };
        let handed = |name, slice| Binding { name, slice, access: self.handover.reading() };
        vec![
            read("weight", Some(weight.at(0, self.layout.value_bytes()))),
            read("scales", (scale_bytes > 0).then(|| weight.at(self.layout.value_bytes(), scale_bytes))),
            handed("x", Some(x)),
            read("norm_weight", norm_weight),
            read("bias", bias),
            read("row_count", Some(row_count)),
            read("experts", experts),
            handed("residual", residual),
            Binding { name: "y", slice: Some(y), access: self.handover.writing() },
            Binding { name: "y_planes", slice: y_planes, access: self.handover.writing() },
        ]
    }

    pub(crate) fn cost(&self, token_rows: u32) -> Cost {
        let (cols, tokens) = (u64::from(self.layout.cols), u64::from(token_rows));
        let (features, products) = (self.features(), u64::from(self.y_rows(token_rows)));
        let outputs = if self.epilogue.is_gated() { features / 2 } else { features };
        // Of the experts no more are read than are chosen.
        let rows_read = self.layout.rows.min(features * products.max(1));
        let rows_read = if self.experts.is_some() { rows_read } else { self.layout.rows };
        let x_rows = if self.experts.is_some_and(|experts| !experts.shared_x) { products } else { tokens };
        Cost {
            weight_bytes: rows_read * (self.layout.row_bytes() + self.layout.row_scale_bytes()),
            activation_bytes: (x_rows * cols + products * outputs) * 4,
            operations: products * features * cols * 2,
        }
    }
}

/// Output features of a call.
pub(crate) fn rows_of(call: &Dispatch) -> u64 {
    call.params::<Params>().rows.into()
}

/// Whether two rows of a call's matrix make one value.
pub(crate) fn is_gated(call: &Dispatch) -> bool {
    Epilogue::of(call.specialization[2], 0.0).is_gated()
}

/// Rows of x that go through the same matrix, and where their products go.
struct Group {
    /// The row of the weights where the matrix begins.
    first_row: usize,
    /// Rows of x and of y.
    rows: Vec<(usize, usize)>,
}

/// The arguments of a call, seen from the host.
struct Arguments {
    /// All rows of the weights.
    layout: WeightLayout,
    params: Params,
    epilogue: Epilogue,
    /// Rows of x in use.
    x_rows: usize,
    groups: Vec<Group>,
}

impl Arguments {
    fn of(dispatch: &Dispatch, memory: &HostMemory) -> Self {
        let params: Params = dispatch.params();
        let dtype = dtype_of(dispatch.kernel.name);
        let [_, cols, epilogue, _, slots, x_slots] = [0, 1, 2, 3, 4, 5].map(|i| dispatch.specialization[i]);
        let rows = u64::from(params.rows) * u64::from(params.expert_count.max(1));
        let tokens = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
        let slots_in_use = tokens * slots.max(1) as usize;
        let groups = match dispatch.bound("experts") {
            None => vec![Group { first_row: 0, rows: (0..tokens).map(|row| (row, row)).collect() }],
            Some(experts) => {
                let words = memory.read::<u32>(experts);
                let chosen = match dispatch.kernel.name.starts_with("matmul") {
                    true => crate::group_experts::slots_by_expert(&words, dispatch.grid),
                    false => {
                        (0..).zip(&words[..slots_in_use]).map(|(slot, expert)| (*expert, slot)).collect()
                    }
                };
                groups_of(chosen, &params, x_slots)
            }
        };
        Self {
            layout: WeightLayout { dtype, rows, cols },
            params,
            epilogue: Epilogue::of(epilogue, params.cap),
            x_rows: slots_in_use / x_slots as usize,
            groups,
        }
    }

    fn cols(&self) -> usize {
        self.layout.cols as usize
    }

    /// The residual, where there is one; it may be y, so it is copied.
    fn residual(dispatch: &Dispatch, memory: &HostMemory) -> Vec<f32> {
        dispatch.bound("residual").map_or(Vec::new(), |slice| memory.read::<f32>(slice).to_vec())
    }

    /// Writes the products of one row of x into row `to` of y, by output feature.
    fn store(&self, products: &mut [f32], bias: &[f32], residual: &[f32], to: usize, y: &mut [f32]) {
        let first = to * self.params.y_stride as usize;
        let (y, residual) = (&mut y[first..], residual.get(first..).unwrap_or_default());
        products.iter_mut().zip(bias).for_each(|(product, bias)| *product += bias);
        let pairs = products.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match self.epilogue {
            Epilogue::Store => y[..products.len()].copy_from_slice(products),
            Epilogue::Add => {
                y.iter_mut().zip(products).zip(residual).for_each(|((y, p), r)| *y = r + *p);
            }
            Epilogue::SiluGated => {
                y.iter_mut().zip(pairs).for_each(|(y, (gate, up))| *y = gate / (1.0 + (-gate).exp()) * up);
            }
            Epilogue::GeluGated => {
                y.iter_mut().zip(pairs).for_each(|(y, (gate, up))| *y = gelu_tanh(gate) * up);
            }
            Epilogue::SoftCap(cap) => {
                y.iter_mut().zip(products).for_each(|(y, p)| *y = cap * (*p / cap).tanh());
            }
        }
    }
}

/// Slots by their expert, those of this matrix's experts.
fn groups_of(chosen: Vec<(u32, usize)>, params: &Params, x_slots: u32) -> Vec<Group> {
    let mut groups = BTreeMap::<usize, Vec<(usize, usize)>>::new();
    for (expert, slot) in chosen {
        let index = expert.wrapping_sub(params.first_expert);
        if index < params.expert_count {
            groups.entry(index as usize).or_default().push((slot / x_slots as usize, slot));
        }
    }
    let group = |(index, rows)| Group { first_row: index * params.rows as usize, rows };
    groups.into_iter().map(group).collect()
}

/// GELU in its tanh form.
fn gelu_tanh(x: f32) -> f32 {
    let u = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

/// The matrix of a call with its rows decoded one at a time.
struct Rows<'a> {
    layout: WeightLayout,
    values: &'a [u8],
    scales: &'a [u8],
}

impl Rows<'_> {
    #[inline(always)]
    fn decode(&self, row: usize, into: &mut [f32]) {
        let values = self.layout.row_bytes() as usize;
        let scales = self.layout.row_scale_bytes() as usize;
        self.layout.decode_row(
            &self.values[row * values..][..values],
            &self.scales[row * scales..][..scales],
            into,
        );
    }
}

/// Runs `body` with the token rows of x (normalised where the call asks for it) and the rows of W.
fn with_operands(
    dispatch: &Dispatch,
    memory: &HostMemory,
    arguments: &Arguments,
    body: impl FnOnce(&[f32], &Rows),
) {
    let (cols, stride) = (arguments.cols(), arguments.params.x_stride as usize);
    let norm_weight = dispatch.bound("norm_weight").map(|slice| memory.read::<f32>(slice));
    let root = |squares: f64| (1.0 / (squares / cols as f64 + f64::from(arguments.params.eps)).sqrt()) as f32;
    let mut x = Vec::with_capacity(arguments.x_rows * cols);
    if matvec::reads_planes(dispatch) {
        x = planes::decode(memory, dispatch.slice("x"));
    } else if matmul::reads_halves(dispatch) {
        x = halves::decode(memory, dispatch.slice("x"), arguments.x_rows, cols);
    } else {
        for row in memory.read::<f32>(dispatch.slice("x")).chunks(stride).take(arguments.x_rows) {
            match &norm_weight {
                None => x.extend_from_slice(&row[..cols]),
                Some(weight) => {
                    let scale = root(row[..cols].iter().map(|v| f64::from(*v).powi(2)).sum());
                    x.extend(row[..cols].iter().zip(weight.iter()).map(|(v, w)| v * w * scale));
                }
            }
        }
    }
    let values = memory.read::<u8>(dispatch.slice("weight"));
    let scales = dispatch.bound("scales").map(|slice| memory.read::<u8>(slice));
    let scales: &[u8] = scales.as_deref().unwrap_or(&[]);
    body(&x, &Rows { layout: arguments.layout, values: &values, scales });
}

/// The plain reference: every product summed in f64.
pub(crate) fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let arguments = Arguments::of(dispatch, memory);
    with_operands(dispatch, memory, &arguments, |x, rows| {
        plain_products(dispatch, memory, &arguments, x, rows)
    });
}

fn plain_products(dispatch: &Dispatch, memory: &HostMemory, arguments: &Arguments, x: &[f32], rows: &Rows) {
    let (cols, features) = (arguments.cols(), arguments.params.rows as usize);
    let bias = dispatch.bound("bias").map(|slice| memory.read::<f32>(slice));
    let residual = Arguments::residual(dispatch, memory);
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    let mut row = vec![0.0; cols];
    let mut products = vec![0.0; features];
    for Group { first_row, rows: pairs } in &arguments.groups {
        for (from, to) in pairs {
            let x = &x[from * cols..][..cols];
            for (feature, product) in products.iter_mut().enumerate() {
                rows.decode(first_row + feature, &mut row);
                *product = row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() as f32;
            }
            let bias = bias.as_deref().map_or(&[][..], |bias| &bias[*first_row..]);
            arguments.store(&mut products, bias, &residual, *to, &mut y);
        }
    }
}

/// As [`reference`], with x in 16 bits: in groups of 32, x = s · q with |q| ≤ 32512.
pub(crate) fn host_int16(dispatch: &Dispatch, memory: &HostMemory) {
    let arguments = Arguments::of(dispatch, memory);
    with_operands(dispatch, memory, &arguments, |x, rows| {
        let mut rounded = x.to_vec();
        for group in rounded.chunks_mut(32) {
            let largest = group.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let inverse = if largest > 0.0 { 32512.0 / largest } else { 0.0 };
            group.iter_mut().for_each(|v| *v = (*v * inverse).round_ties_even() * (largest / 32512.0));
        }
        plain_products(dispatch, memory, &arguments, &rounded, rows);
    });
    if let Some(slice) = dispatch.bound("y_planes") {
        let y = memory.read::<f32>(dispatch.slice("y"));
        let outputs = slice.bytes as usize / planes::GROUP_BYTES * planes::GROUP;
        planes::encode(memory, slice, &y[..outputs]);
    }
}

/// Random layers for the tests of both kernels.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::testing::Case;
    use half::f16;
    use resident_tensor::{DType, codec};

    /// A layer to check; `active` 0 means that all `tokens` rows are in use.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct LinearCase {
        pub(crate) dtype: DType,
        pub(crate) rows: u32,
        pub(crate) cols: u32,
        pub(crate) tokens: u32,
        pub(crate) active: u32,
        pub(crate) epilogue: Epilogue,
        pub(crate) norm_eps: Option<f32>,
        pub(crate) bias: bool,
        pub(crate) experts: Option<Experts>,
        pub(crate) handover: Handover,
        /// x as planes, y as planes too.
        pub(crate) planes: [bool; 2],
        /// x as halves.
        pub(crate) halves: bool,
    }

    impl Default for LinearCase {
        fn default() -> Self {
            Self {
                dtype: DType::F32,
                rows: 1,
                cols: 32,
                tokens: 1,
                active: 0,
                epilogue: Epilogue::Store,
                norm_eps: None,
                bias: false,
                experts: None,
                handover: Handover::default(),
                planes: [false; 2],
                halves: false,
            }
        }
    }

    /// `cols` rounded up to whole blocks.
    pub(crate) fn whole_blocks(dtype: DType, cols: u32) -> u32 {
        cols.next_multiple_of(dtype.block_len() as u32)
    }

    /// A stored row of random weights: every exponent and sign that weights have, every bit pattern of quants, no NaN.
    pub(crate) fn random_row(case: &mut Case, dtype: DType, cols: usize) -> Vec<u8> {
        if dtype.is_quantised() {
            let mut stored = case.random_bytes(cols / dtype.block_len() * dtype.block_bytes());
            for block in stored.chunks_exact_mut(dtype.block_bytes()) {
                for &at in dtype.f16_scale_offsets() {
                    let scale = f16::from_f32(f32::from(block[at]) / 8192.0 + 0.001);
                    block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
            }
            return stored;
        }
        let random = case.random_bytes(cols * 2);
        let weight =
            |i: usize| (f32::from(random[2 * i]) - 127.5) / 64.0 + f32::from(random[2 * i + 1]) / 4096.0;
        let weights: Vec<f32> = (0..cols).map(weight).collect();
        let mut stored = vec![0; dtype.row_bytes(cols as u64).expect("floats of any number") as usize];
        codec::encode(dtype, &weights, &mut stored).expect("floats are written");
        stored
    }

    /// A matrix of random weights in this layout: see [`random_row`].
    pub(crate) fn random_matrix(case: &mut Case, layout: WeightLayout) -> Vec<u8> {
        let (cols, rows) = (layout.cols as usize, layout.rows as usize);
        let value_bytes = layout.value_bytes() as usize;
        let mut bytes = vec![0; layout.bytes() as usize];
        let (values, scales) = bytes.split_at_mut(value_bytes);
        let (row_bytes, scale_bytes) = (layout.row_bytes() as usize, layout.row_scale_bytes() as usize);
        for row in 0..rows {
            let stored = random_row(case, layout.dtype, cols);
            let scales = &mut scales[row * scale_bytes..][..scale_bytes];
            layout.repack_row(&stored, &mut values[row * row_bytes..][..row_bytes], scales);
        }
        bytes
    }

    /// The buffers of a random layer, and its call.
    pub(crate) fn case_of(
        dispatch: impl Fn(&Linear, u32, Bindings) -> Dispatch,
        layer: LinearCase,
    ) -> (Case, Dispatch, Slice) {
        let LinearCase {
            dtype,
            rows,
            cols,
            tokens,
            active,
            epilogue,
            norm_eps,
            bias,
            experts,
            handover,
            planes,
            halves,
        } = layer;
        let mut case = Case::new();
        let matrices = experts.map_or(1, |experts| experts.count);
        let layout = WeightLayout { dtype, rows: (rows * matrices).into(), cols };
        let x_stride = cols.next_multiple_of(4) + 4;
        let outputs = if epilogue.is_gated() { rows / 2 } else { rows };
        let y_stride = outputs + 3;
        let slots = tokens * experts.map_or(1, |experts| experts.slots);
        let x_rows = if experts.is_some_and(|experts| !experts.shared_x) { slots } else { tokens };
        let active = if active == 0 { tokens } else { active };
        let matrix = random_matrix(&mut case, layout);
        let [x_planes, y_planes] = planes;
        let linear = Linear { layout, x_stride, y_stride, norm_eps, epilogue, experts, handover, x_planes };
        let is_matmul = |bindings| dispatch(&linear, tokens, bindings).kernel.name.starts_with("matmul");
        let mut bindings = Bindings {
            weight: case.values(&matrix),
            x: case.floats((x_stride * x_rows) as usize),
            norm_weight: norm_eps.map(|_| case.floats(cols.next_multiple_of(4) as usize)),
            bias: bias.then(|| case.floats(layout.rows as usize)),
            row_count: case.words(&[active]),
            experts: None,
            residual: (epilogue == Epilogue::Add).then(|| case.floats((y_stride * slots) as usize)),
            y: case.output((y_stride * slots) as usize * 4),
            y_planes: y_planes.then(|| case.output(planes::bytes(outputs) as usize)),
        };
        if x_planes {
            let row: Vec<f32> = case.random_reals(cols as usize).into_iter().map(|x| x as f32).collect();
            let slice = case.output(planes::bytes(cols) as usize);
            planes::encode(case.memory(), slice, &row);
            bindings.x = slice;
        }
        if halves {
            let (cols, x_rows) = (cols as usize, x_rows as usize);
            let x: Vec<f32> = case.random_reals(cols * x_rows).into_iter().map(|x| x as f32).collect();
            let slice = case.output(super::halves::bytes(x_rows as u32, cols as u32) as usize);
            super::halves::encode(case.memory(), slice, &x, cols);
            bindings.x = slice;
        }
        if let Some(experts) = experts {
            // Also experts of other parts, before and behind those of this one.
            let all = experts.first + experts.count + 1;
            let chosen: Vec<u32> = (0..slots).map(|slot| (slot * 7 + slot / 3) % all).collect();
            let chosen_slice = case.words(&chosen);
            let probe = Bindings { experts: Some(chosen_slice), ..bindings };
            bindings.experts = Some(match is_matmul(probe) {
                false => chosen_slice,
                true => case.words(&crate::group_experts::grouped(
                    &chosen[..(active * experts.slots) as usize],
                    all,
                    slots,
                )),
            });
        }
        let call = dispatch(&linear, tokens, bindings);
        (case, call, bindings.y)
    }

    /// Compares reference, host and device on random weights and activations.
    pub(crate) fn check(dispatch: impl Fn(&Linear, u32, Bindings) -> Dispatch, layer: LinearCase) {
        let (case, call, _) = case_of(dispatch, layer);
        if layer.halves && !crate::testing::device_has_matrix_units() {
            eprintln!("skipped on the device: it has no matrix units");
            return case.check_host(&call, 1e-5);
        }
        // In 16 bits a value that lies between two steps may go either way; and a single output may be what is left of
        // much larger terms.
        let tolerance = if call.kernel.name.ends_with("_int16") { 3e-5 } else { 1e-5 };
        case.check(&call, tolerance);
    }

    /// The relative distance of a variant's reference from the exact product.
    pub(crate) fn exact_difference(
        dispatch: impl Fn(&Linear, u32, Bindings) -> Dispatch,
        layer: LinearCase,
    ) -> f64 {
        let (case, call, y) = case_of(dispatch, layer);
        let floats = |words: Vec<u32>| {
            words.into_iter().take(layer.rows as usize).map(f32::from_bits).collect::<Vec<_>>()
        };
        let found = floats(case.reference_words(&call, y));
        let memory = case.copy();
        reference(&call, &memory);
        let exact = floats(memory.read::<u32>(y).to_vec());
        resident_tensor::compare(&found, &exact).relative_l2
    }
}
